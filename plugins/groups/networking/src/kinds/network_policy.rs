//! `NetworkPolicy`: who may talk to whom.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy, cells};

use super::cidr;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Pod-Selector", |policy, _| cells::selector_text(&policy["spec"]["podSelector"]).into()),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(NetworkPolicyStrategy).short_names(&["netpol"]).columns(COLUMNS).generation()
}

struct NetworkPolicyStrategy;
impl Strategy for NetworkPolicyStrategy {
    type Object = NetworkPolicy;

    fn default(&self, policy: &mut NetworkPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        let ingress = spec.ingress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        let egress = spec.egress.iter_mut().flatten().flat_map(|rule| rule.ports.iter_mut().flatten());
        for port in ingress.chain(egress) {
            port.protocol.get_or_insert_with(|| "TCP".into());
        }
        if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
            let mut types = vec!["Ingress".to_owned()];
            if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
                types.push("Egress".into());
            }
            spec.policy_types = Some(types);
        }
    }

    fn validate(&self, new: &NetworkPolicy, old: Option<&NetworkPolicy>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        if let Some(selector) = &spec.pod_selector {
            checks::label_selector(&mut found, "spec.podSelector", selector);
        }
        // Ranges that are stored were good once.
        let known = old.map(ranges).unwrap_or_default();
        for (at, rule) in spec.ingress.iter().flatten().enumerate() {
            let field = format!("spec.ingress[{at}]");
            validate_ports(&mut found, &field, rule.ports.as_deref().unwrap_or_default());
            let peers = rule.from.as_deref().unwrap_or_default();
            validate_peers(&mut found, &format!("{field}.from"), peers, &known);
        }
        for (at, rule) in spec.egress.iter().flatten().enumerate() {
            let field = format!("spec.egress[{at}]");
            validate_ports(&mut found, &field, rule.ports.as_deref().unwrap_or_default());
            let peers = rule.to.as_deref().unwrap_or_default();
            validate_peers(&mut found, &format!("{field}.to"), peers, &known);
        }
        let types = spec.policy_types.as_deref().unwrap_or_default();
        if types.len() > 2 {
            let value = serde_json::json!(types);
            found.invalid("spec.policyTypes", value, "may not specify more than two policyTypes");
        } else {
            for (at, kind) in types.iter().enumerate() {
                if !matches!(kind.as_str(), "Ingress" | "Egress") {
                    found.not_supported(format!("spec.policyTypes[{at}]"), kind.as_str(), &["Egress", "Ingress"]);
                }
            }
        }
        found
    }
}

fn validate_ports(found: &mut Violations, rule: &str, ports: &[NetworkPolicyPort]) {
    for (at, port) in ports.iter().enumerate() {
        let field = format!("{rule}.ports[{at}]");
        match port.protocol.as_deref() {
            Some("TCP" | "UDP" | "SCTP") | None => {}
            Some(other) => found.not_supported(format!("{field}.protocol"), other, &["SCTP", "TCP", "UDP"]),
        }
        match &port.port {
            Some(IntOrString::Int(number)) => {
                for problem in names::port_number(i64::from(*number)) {
                    found.invalid(format!("{field}.port"), *number, problem);
                }
                if let Some(end) = port.end_port {
                    if end < *number {
                        found.invalid(format!("{field}.endPort"), *number, "must be greater than or equal to `port`");
                    }
                    for problem in names::port_number(i64::from(end)) {
                        found.invalid(format!("{field}.endPort"), end, problem);
                    }
                }
            }
            Some(IntOrString::String(name)) => {
                if let Some(end) = port.end_port {
                    found.invalid(format!("{field}.endPort"), end, "may not be specified when `port` is non-numeric");
                }
                for problem in names::port_name(name) {
                    found.invalid(format!("{field}.port"), name.as_str(), problem);
                }
            }
            None => {
                if let Some(end) = port.end_port {
                    found.invalid(format!("{field}.endPort"), end, "may not be specified when `port` is not specified");
                }
            }
        }
    }
}

/// All ranges that a policy names.
fn ranges(policy: &NetworkPolicy) -> BTreeSet<String> {
    let spec = policy.spec.clone().unwrap_or_default();
    let from = spec.ingress.into_iter().flatten().flat_map(|rule| rule.from.unwrap_or_default());
    let to = spec.egress.into_iter().flatten().flat_map(|rule| rule.to.unwrap_or_default());
    let blocks = from.chain(to).filter_map(|peer| peer.ip_block);
    blocks.flat_map(|block| block.except.unwrap_or_default().into_iter().chain([block.cidr])).collect()
}

fn validate_peers(found: &mut Violations, list: &str, peers: &[NetworkPolicyPeer], known: &BTreeSet<String>) {
    for (at, peer) in peers.iter().enumerate() {
        let field = format!("{list}[{at}]");
        for (name, selector) in [("podSelector", &peer.pod_selector), ("namespaceSelector", &peer.namespace_selector)] {
            if let Some(selector) = selector {
                checks::label_selector(found, format!("{field}.{name}"), selector);
            }
        }
        if let Some(block) = &peer.ip_block {
            validate_block(found, &format!("{field}.ipBlock"), block, known);
        }
        let has_selector = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        match (peer.ip_block.is_some(), has_selector) {
            (false, false) => found.required(&field, "must specify a peer"),
            (true, true) => found.forbidden(&field, "may not specify both ipBlock and another peer"),
            _ => {}
        }
    }
}

fn validate_block(found: &mut Violations, field: &str, block: &IPBlock, known: &BTreeSet<String>) {
    let mut range = |field: String, text: &str| {
        let parsed = cidr::range(text);
        if let Err(why) = parsed
            && !known.contains(text)
        {
            found.invalid(field, text, why);
        }
        parsed.ok()
    };
    if block.cidr.is_empty() {
        return found.required(format!("{field}.cidr"), "");
    }
    let Some(whole) = range(format!("{field}.cidr"), &block.cidr) else { return };
    let mut outside = Vec::new();
    for (at, text) in block.except.iter().flatten().enumerate() {
        let field = format!("{field}.except[{at}]");
        let part = range(field.clone(), text);
        if part.is_some_and(|part| !whole.contains(&part) || whole.prefix_len() >= part.prefix_len()) {
            outside.push((field, text));
        }
    }
    for (field, text) in outside {
        found.invalid(field, text.as_str(), "must be a strict subset of `cidr`");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(spec: Value) -> NetworkPolicy {
        let mut policy = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        NetworkPolicyStrategy.default(&mut policy);
        policy
    }

    #[test]
    fn directions_and_protocols_are_filled_in() {
        for (spec, types) in [
            (json!({"podSelector": {}}), vec!["Ingress"]),
            (json!({"podSelector": {}, "egress": [{}]}), vec!["Ingress", "Egress"]),
            (json!({"podSelector": {}, "policyTypes": ["Egress"]}), vec!["Egress"]),
        ] {
            assert_eq!(policy(spec).spec.unwrap().policy_types.unwrap(), types);
        }
        let ports = policy(json!({"ingress": [{"ports": [{"port": 80}]}]})).spec.unwrap().ingress.unwrap();
        assert_eq!(ports[0].ports.as_ref().unwrap()[0].protocol.as_deref(), Some("TCP"));
    }

    #[test]
    fn peers_and_ports_are_checked() {
        for (case, spec, wrong) in [
            ("everything", json!({"ingress": [{}]}), vec![]),
            ("no peer", json!({"ingress": [{"from": [{}]}]}), vec!["spec.ingress[0].from[0]"]),
            (
                "two kinds of peer",
                json!({"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
                vec!["spec.ingress[0].from[0]"],
            ),
            (
                "a bad block",
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}),
                vec!["spec.egress[0].to[0].ipBlock.cidr"],
            ),
            (
                "bits too many",
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8", "except": ["x"]}}]}]}),
                vec!["spec.egress[0].to[0].ipBlock.cidr"],
            ),
            (
                "an exception of everything",
                json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]}),
                vec!["spec.egress[0].to[0].ipBlock.except[0]"],
            ),
            (
                "an exception outside",
                json!({"egress": [{"to": [
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16"]}},
                ]}]}),
                vec!["spec.egress[0].to[0].ipBlock.except[1]"],
            ),
            (
                "a range that ends before it starts",
                json!({"ingress": [{"ports": [{"port": 80, "endPort": 79}]}]}),
                vec!["spec.ingress[0].ports[0].endPort"],
            ),
            ("an unknown direction", json!({"policyTypes": ["Sideways"]}), vec!["spec.policyTypes[0]"]),
        ] {
            assert_eq!(NetworkPolicyStrategy.validate(&policy(spec), None).fields(), wrong, "{case}");
        }
        let stored = policy(json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}));
        assert!(NetworkPolicyStrategy.validate(&stored, Some(&stored)).is_empty());
    }
}
