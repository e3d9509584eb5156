//! What is wrong with a service, and what of it may not change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Violations, names};
use sdk_workload::validate::{each_invalid, metadata};

use super::super::endpoints::ordinary_ip;
use super::super::fields::text;
use super::strategy::{has_health_check_port, is_headless, is_reachable_from_outside};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const AFFINITY_SECONDS_MAX: i32 = 86_400;

/// What is wrong with a spec by itself.
pub fn spec(spec: &ServiceSpec) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    let type_ = text(&spec.type_);
    let headless = is_headless(spec);
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !headless && type_ != "ExternalName" {
        out.required("spec.ports", "");
    }
    match type_ {
        "" => out.required("spec.type", ""),
        "LoadBalancer" | "NodePort" if headless => {
            out.invalid("spec.clusterIPs[0]", "None", format!("may not be set to 'None' for {type_} services"));
        }
        "ExternalName" => {
            let name = text(&spec.external_name).trim_end_matches('.');
            if name.is_empty() {
                out.required("spec.externalName", "");
            } else {
                each_invalid(out, "spec.externalName", name, names::dns1123_subdomain(name));
            }
        }
        known if TYPES.contains(&known) => {}
        other => out.not_supported("spec.type", other, &TYPES),
    }
    self::ports(out, spec, ports);
    metadata::labels(out, spec.selector.as_ref(), "spec.selector");
    affinity(out, spec);
    addresses(out, spec);
    balancer(out, spec);
    policies(out, spec);
    found
}

fn ports(found: &mut Violations, spec: &ServiceSpec, ports: &[ServicePort]) {
    let (mut seen, mut pairs, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let at = |field: &str| format!("{path}.{field}");
        match text(&port.name) {
            "" if ports.len() > 1 => found.required(at("name"), ""),
            "" => {}
            name => {
                each_invalid(found, &at("name"), name, names::dns1123_label(name));
                if !seen.insert(name) {
                    found.duplicate(at("name"), name);
                }
            }
        }
        for why in names::port_number(i64::from(port.port)) {
            found.invalid(at("port"), port.port, why);
        }
        match text(&port.protocol) {
            "" => found.required(at("protocol"), ""),
            known if PROTOCOLS.contains(&known) => {}
            other => found.not_supported(at("protocol"), other, &PROTOCOLS),
        }
        match &port.target_port {
            Some(IntOrString::Int(number)) => {
                for why in names::port_number(i64::from(*number)) {
                    found.invalid(at("targetPort"), *number, why);
                }
            }
            Some(IntOrString::String(name)) => each_invalid(found, &at("targetPort"), name, names::port_name(name)),
            None => {}
        }
        if let Some(protocol) = &port.app_protocol {
            each_invalid(found, &at("appProtocol"), protocol, names::qualified_name(protocol));
        }
        if !pairs.insert((text(&port.protocol), port.port)) {
            found.duplicate(&path, serde_json::json!({"protocol": port.protocol, "port": port.port}));
        }
        if text(&spec.type_) == "LoadBalancer" && port.port == 10_250 {
            let why = "may not expose port 10250 externally since it is used by kubelet";
            found.invalid(&path, port.port, why);
        }
        let Some(node) = port.node_port.filter(|node| *node != 0) else { continue };
        if !is_reachable_from_outside(spec) || text(&spec.type_) == "ClusterIP" {
            found.forbidden(at("nodePort"), format!("may not be used when `type` is '{}'", text(&spec.type_)));
        } else if !nodes.insert((text(&port.protocol), node)) {
            found.duplicate(at("nodePort"), node);
        }
    }
}

fn affinity(found: &mut Violations, spec: &ServiceSpec) {
    let config = spec.session_affinity_config.as_ref();
    match text(&spec.session_affinity) {
        "" => found.required("spec.sessionAffinity", ""),
        "None" if config.is_some() => {
            found.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None");
        }
        "None" => {}
        "ClientIP" => {
            let path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            match config.and_then(|config| config.client_ip.as_ref()).and_then(|client| client.timeout_seconds) {
                None => found.required(path, "when session affinity type is ClientIP"),
                Some(seconds) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                    let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    found.invalid(path, seconds, why);
                }
                Some(_) => {}
            }
        }
        other => found.not_supported("spec.sessionAffinity", other, &["ClientIP", "None"]),
    }
}

fn addresses(found: &mut Violations, spec: &ServiceSpec) {
    for (i, ip) in spec.external_ips.iter().flatten().enumerate() {
        ordinary_ip(found, ip, &format!("spec.externalIPs[{i}]"));
    }
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    let ip = text(&spec.cluster_ip);
    if text(&spec.type_) == "ExternalName" {
        for (field, set) in [
            ("clusterIPs", !ips.is_empty() || !ip.is_empty()),
            ("ipFamilies", spec.ip_families.as_ref().is_some_and(|families| !families.is_empty())),
            ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
        ] {
            if set {
                found.forbidden(format!("spec.{field}"), "may not be set for ExternalName services");
            }
        }
        return;
    }
    match (ip, ips.first()) {
        ("", Some(_)) => {
            found.invalid("spec.clusterIPs", ips.to_vec(), "must be empty when `clusterIP` is not specified")
        }
        (ip, Some(first)) if ip != first => {
            found.invalid("spec.clusterIPs", ips.to_vec(), "first value must match `clusterIP`");
        }
        (ip, None) if !ip.is_empty() => found.required("spec.clusterIPs", ""),
        _ => {}
    }
    if ips.len() > 2 {
        found.invalid("spec.clusterIPs", ips.to_vec(), "may only hold up to 2 values");
    }
    for (i, ip) in ips.iter().enumerate() {
        let path = format!("spec.clusterIPs[{i}]");
        if ip == "None" {
            if ips.len() > 1 {
                found.invalid(path, ips.to_vec(), "'None' must be the first and only value");
                break;
            }
        } else if ip.parse::<IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            found.invalid(path, ip.as_str(), why);
        }
    }
    let families = spec.ip_families.as_deref().unwrap_or_default();
    for (i, family) in families.iter().enumerate() {
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            found.not_supported(format!("spec.ipFamilies[{i}]"), family.as_str(), &["IPv4", "IPv6"]);
        } else if families[..i].contains(family) {
            found.duplicate(format!("spec.ipFamilies[{i}]"), family.as_str());
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if let Some(policy) = spec.ip_family_policy.as_deref().filter(|policy| !policies.contains(policy)) {
        found.not_supported("spec.ipFamilyPolicy", policy, &policies);
    }
}

fn balancer(found: &mut Violations, spec: &ServiceSpec) {
    let is_balancer = text(&spec.type_) == "LoadBalancer";
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if !ranges.is_empty() && !is_balancer {
        found.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'");
    }
    for (i, range) in ranges.iter().enumerate() {
        if range.trim().parse::<ipnet::IpNet>().is_err() {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            found.invalid(format!("spec.loadBalancerSourceRanges[{i}]"), range.as_str(), why);
        }
    }
    if is_balancer && spec.allocate_load_balancer_node_ports.is_none() {
        found.required("spec.allocateLoadBalancerNodePorts", "");
    }
    if !is_balancer && spec.allocate_load_balancer_node_ports.is_some() {
        found.forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'");
    }
    if let Some(class) = &spec.load_balancer_class {
        if is_balancer {
            each_invalid(found, "spec.loadBalancerClass", class, names::qualified_name(class));
        } else {
            found.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'");
        }
    }
}

fn policies(found: &mut Violations, spec: &ServiceSpec) {
    let known = ["Cluster", "Local"];
    let external = text(&spec.external_traffic_policy);
    let path = "spec.externalTrafficPolicy";
    if is_reachable_from_outside(spec) {
        match external {
            "" => found.required(path, ""),
            policy if known.contains(&policy) => {}
            other => found.not_supported(path, other, &known),
        }
    } else if !external.is_empty() {
        found.invalid(path, external, "may only be set for externally-accessible services");
    }
    match spec.internal_traffic_policy.as_deref() {
        None if matches!(text(&spec.type_), "ClusterIP" | "LoadBalancer" | "NodePort") => {
            found.required("spec.internalTrafficPolicy", "")
        }
        Some(policy) if !known.contains(&policy) => {
            found.not_supported("spec.internalTrafficPolicy", policy, &known);
        }
        _ => {}
    }
    let health = spec.health_check_node_port.unwrap_or(0);
    let path = "spec.healthCheckNodePort";
    if !(0..=65_535).contains(&health) {
        found.invalid(path, health, "must be between 0 and 65535, inclusive");
    } else if health != 0 && !has_health_check_port(spec) {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        found.invalid(path, health, why);
    }
    let known = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    if let Some(spread) = spec.traffic_distribution.as_deref().filter(|spread| !known.contains(spread)) {
        found.not_supported("spec.trafficDistribution", spread, &known);
    }
}

/// What an update changes that it may not.
pub fn update(found: &mut Violations, spec: &ServiceSpec, before: &ServiceSpec) {
    let (type_, type_before) = (text(&spec.type_), text(&before.type_));
    // An address stays for as long as the type has one.
    if type_ != "ExternalName" && type_before != "ExternalName" {
        let ips = |spec: &ServiceSpec| spec.cluster_ips.clone().unwrap_or_default();
        let (new, old) = (ips(spec), ips(before));
        match (old.first(), new.first()) {
            (Some(_), None) => found.invalid("spec.clusterIPs[0]", new, "primary clusterIP can not be unset"),
            (Some(old), Some(first)) if old != first => {
                found.invalid("spec.clusterIPs[0]", new.clone(), "may not change once set");
            }
            _ => {}
        }
        let family = |spec: &ServiceSpec| spec.ip_families.as_ref().and_then(|families| families.first().cloned());
        if let (Some(old), Some(new)) = (family(before), family(spec))
            && old != new
        {
            found.invalid("spec.ipFamilies[0]", vec![new], "may not change once set");
        }
    }
    if type_ == "LoadBalancer" && type_before == "LoadBalancer" {
        if spec.load_balancer_class != before.load_balancer_class {
            let new = spec.load_balancer_class.clone().unwrap_or_default();
            found.invalid("spec.loadBalancerClass", new, "may not change once set");
        }
        let health = |spec: &ServiceSpec| spec.health_check_node_port.unwrap_or(0);
        let both = has_health_check_port(spec) && has_health_check_port(before);
        if both && health(before) != 0 && health(spec) != health(before) {
            found.forbidden("spec.healthCheckNodePort", "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::Timestamp;
    use sdk_api::k8s_openapi::api::core::v1::Service;
    use sdk_plugin::Strategy;
    use serde_json::{Value, json};

    use super::super::strategy::ServiceStrategy;

    fn service(spec: Value) -> Service {
        let mut service = serde_json::from_value(json!({ "spec": spec })).unwrap();
        ServiceStrategy.default(&mut service);
        service
    }

    #[test]
    fn specs_are_checked() {
        let port = json!([{"port": 80}]);
        for (case, spec, wrong) in [
            ("good", json!({"ports": port}), vec![]),
            ("no port", json!({}), vec!["spec.ports"]),
            ("headless needs none", json!({"clusterIP": "None", "clusterIPs": ["None"]}), vec![]),
            (
                "headless with node ports",
                json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"], "ports": port}),
                vec!["spec.clusterIPs[0]"],
            ),
            ("an unknown type", json!({"type": "X", "ports": port}), vec!["spec.type"]),
            (
                "two ports without names",
                json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}),
                vec!["spec.ports[0].name"],
            ),
            (
                "one name twice",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}),
                vec!["spec.ports[1].name"],
            ),
            (
                "one port twice",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
                vec!["spec.ports[1]"],
            ),
            (
                "one port of two protocols",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}]}),
                vec![],
            ),
            ("no port number", json!({"ports": [{"port": 0}]}), vec!["spec.ports[0].port", "spec.ports[0].targetPort"]),
            (
                "a node port without nodes",
                json!({"ports": [{"port": 80, "nodePort": 30080}]}),
                vec!["spec.ports[0].nodePort"],
            ),
            ("a bad selector", json!({"ports": port, "selector": {"a b": "c"}}), vec!["spec.selector"]),
            (
                "affinity for too long",
                json!({"ports": port, "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}}),
                vec!["spec.sessionAffinityConfig.clientIP.timeoutSeconds"],
            ),
            ("a name", json!({"type": "ExternalName", "externalName": "example.com"}), vec![]),
            ("no name", json!({"type": "ExternalName"}), vec!["spec.externalName"]),
            (
                "an address for a name",
                json!({"type": "ExternalName", "externalName": "e", "clusterIP": "10.0.0.1"}),
                vec!["spec.clusterIPs"],
            ),
            (
                "loopback from outside",
                json!({"ports": port, "externalIPs": ["127.0.0.1"]}),
                vec!["spec.externalIPs[0]"],
            ),
            (
                "a policy for nothing",
                json!({"ports": port, "externalTrafficPolicy": "Local"}),
                vec!["spec.externalTrafficPolicy"],
            ),
            (
                "a class for nothing",
                json!({"ports": port, "loadBalancerClass": "example.com/x"}),
                vec!["spec.loadBalancerClass"],
            ),
            (
                "ranges that are none",
                json!({"type": "LoadBalancer", "ports": port, "loadBalancerSourceRanges": ["10.0.0.0"]}),
                vec!["spec.loadBalancerSourceRanges[0]"],
            ),
            (
                "a bad address",
                json!({"ports": port, "clusterIP": "x", "clusterIPs": ["x"]}),
                vec!["spec.clusterIPs[0]"],
            ),
        ] {
            assert_eq!(ServiceStrategy.validate(&service(spec), None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn an_address_stays() {
        let with = |ip: &str| json!({"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]});
        let name = json!({"type": "ExternalName", "externalName": "e"});
        for (case, old, new, wrong) in [
            ("the same", with("10.0.0.1"), with("10.0.0.1"), vec![]),
            ("another", with("10.0.0.1"), with("10.0.0.2"), vec!["spec.clusterIPs[0]"]),
            ("given up", with("10.0.0.1"), with("None"), vec!["spec.clusterIPs[0]"]),
            ("left out", with("10.0.0.1"), json!({"ports": [{"port": 80}]}), vec![]),
            ("to a name", with("10.0.0.1"), name.clone(), vec![]),
            ("from a name", name, with("10.0.0.2"), vec![]),
        ] {
            let (mut new, old) = (service(new), service(old));
            ServiceStrategy.prepare_update(&mut new, &old, Timestamp::UNIX_EPOCH);
            assert_eq!(ServiceStrategy.validate(&new, Some(&old)).fields(), wrong, "{case}");
        }
    }
}
