//! `Node`: a machine that runs pods.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::Node;
use sdk_api::{Timestamp, Violations, names};
use sdk_plugin::cells::has_condition;
use sdk_plugin::{Column, Connect, FieldOf, Kind, Strategy};
use sdk_workload::validate::{each_invalid, resources, scheduling};
use serde_json::Value;

use super::fields::{flag, text};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Status", |node, _| status(node).into()).describe("The status of the node"),
    Column::compute("Roles", |node, _| roles(node).into()).describe("The roles of the node"),
    Column::AGE,
    Column::path("Version", ".status.nodeInfo.kubeletVersion"),
    Column::compute("Internal-IP", |node, _| address(node, "InternalIP").into()).wide(),
    Column::compute("External-IP", |node, _| address(node, "ExternalIP").into()).wide(),
    Column::compute("OS-Image", |node, _| info(node, "osImage").into()).wide(),
    Column::compute("Kernel-Version", |node, _| info(node, "kernelVersion").into()).wide(),
    Column::compute("Container-Runtime", |node, _| info(node, "containerRuntimeVersion").into()).wide(),
];

const FIELDS: &[FieldOf] = &[FieldOf { name: "spec.unschedulable", value: |node| flag(node, ".spec.unschedulable") }];

/// The row.
pub fn kind() -> Kind {
    Kind::of(NodeStrategy)
        .short_names(&["no"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .status()
        .status_on_create()
        .connect("proxy", Connect::Proxy)
}

fn status(node: &Value) -> String {
    let conditions = &node["status"]["conditions"];
    let known = conditions.as_array().into_iter().flatten().any(|condition| condition["type"] == "Ready");
    let mut words = vec![match (known, has_condition(conditions, "Ready")) {
        (false, _) => "Unknown",
        (true, true) => "Ready",
        (true, false) => "NotReady",
    }];
    if node["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (label, value) in node["metadata"]["labels"].as_object().into_iter().flatten() {
        match label.strip_prefix(ROLE_PREFIX) {
            Some(role) if !role.is_empty() => drop(roles.insert(role)),
            None if label == ROLE_LABEL => roles.extend(value.as_str().filter(|role| !role.is_empty())),
            _ => {}
        }
    }
    if roles.is_empty() { "<none>".into() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address(node: &Value, kind: &str) -> String {
    let mut addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let found = addresses.find(|address| address["type"] == kind).and_then(|address| address["address"].as_str());
    found.unwrap_or("<none>").into()
}

fn info(node: &Value, field: &str) -> String {
    match node["status"]["nodeInfo"][field].as_str() {
        None | Some("") => "<unknown>".into(),
        Some(text) => text.into(),
    }
}

struct NodeStrategy;
impl Strategy for NodeStrategy {
    type Object = Node;

    fn default(&self, node: &mut Node) {
        let Some(spec) = &mut node.spec else { return };
        // `podCIDR` is the older name of the first of `podCIDRs`, and goes before it for those who know it alone.
        let first = spec.pod_cidrs.as_ref().and_then(|cidrs| cidrs.first().cloned());
        match (text(&spec.pod_cidr).to_owned(), first) {
            (old, first) if !old.is_empty() && first.as_ref() != Some(&old) => spec.pod_cidrs = Some(vec![old]),
            (old, Some(first)) if old.is_empty() => spec.pod_cidr = Some(first),
            _ => {}
        }
    }

    fn prepare_update(&self, new: &mut Node, old: &Node, _now: Timestamp) {
        new.spec.get_or_insert_default().config_source = old.spec.as_ref().and_then(|spec| spec.config_source.clone());
    }

    fn validate(&self, new: &Node, old: Option<&Node>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        taints(&mut found, &spec);
        amounts(&mut found, new);
        networks(&mut found, spec.pod_cidrs.as_deref().unwrap_or_default());
        if let Some(old) = old {
            changes(&mut found, new, old);
        }
        found
    }

    fn validate_status(&self, new: &Node, old: &Node) -> Violations {
        let mut found = Violations::default();
        amounts(&mut found, new);
        changes(&mut found, new, old);
        found
    }
}

fn amounts(found: &mut Violations, node: &Node) {
    let status = node.status.clone().unwrap_or_default();
    for (side, amounts) in [("capacity", &status.capacity), ("allocatable", &status.allocatable)] {
        for (name, amount) in amounts.iter().flatten() {
            resources::amount(found, name, amount, &format!("status.{side}.{name}"));
        }
    }
}

fn networks(found: &mut Violations, cidrs: &[String]) {
    let path = "spec.podCIDRs";
    let parsed: Vec<ipnet::IpNet> = cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
    for (i, cidr) in cidrs.iter().enumerate().filter(|(_, cidr)| cidr.parse::<ipnet::IpNet>().is_err()) {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        found.invalid(format!("{path}[{i}]"), cidr.as_str(), why);
    }
    if cidrs.len() < 2 {
        return;
    }
    let v4 = parsed.iter().filter(|cidr| cidr.addr().is_ipv4()).count();
    if v4 == 0 || v4 == parsed.len() || cidrs.len() > 2 {
        found.invalid(path, cidrs.to_vec(), "may specify no more than one CIDR for each IP family");
    }
    for (i, cidr) in cidrs.iter().enumerate().filter(|(i, cidr)| cidrs[..*i].contains(cidr)) {
        found.duplicate(format!("{path}[{i}]"), cidr.as_str());
    }
}

/// What an update changes that it may not. Whoever may write a node's status may write the same.
fn changes(found: &mut Violations, new: &Node, old: &Node) {
    let (spec, before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    let mut seen = BTreeSet::new();
    let addresses = new.status.iter().flat_map(|status| status.addresses.iter().flatten());
    for (i, address) in addresses.enumerate() {
        if !seen.insert((&address.type_, &address.address)) {
            let shown = serde_json::to_value(address).unwrap_or_default();
            found.duplicate(format!("status.addresses[{i}]"), shown);
        }
    }
    let (cidrs, cidrs_before) = (spec.pod_cidrs.unwrap_or_default(), before.pod_cidrs.unwrap_or_default());
    let differ = cidrs.iter().zip(&cidrs_before).filter(|(new, old)| new != old).count();
    let differ = if cidrs.len() == cidrs_before.len() { differ } else { 1 };
    for _ in (0..differ).filter(|_| !cidrs_before.is_empty()) {
        found.forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
    }
    if !text(&before.provider_id).is_empty() && before.provider_id != spec.provider_id {
        found.forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid");
    }
    if text(&before.external_id) != text(&spec.external_id) {
        found.forbidden("spec.externalID", "may not be updated");
    }
}

/// The path is upstream's, which clients match.
fn taints(found: &mut Violations, spec: &sdk_api::k8s_openapi::api::core::v1::NodeSpec) {
    let mut seen = BTreeSet::new();
    for (i, taint) in spec.taints.iter().flatten().enumerate() {
        let path = format!("metadata.taints[{i}]");
        each_invalid(found, &format!("{path}.key"), &taint.key, names::qualified_name(&taint.key));
        let value = text(&taint.value);
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            found.invalid(format!("{path}.value"), value, wrong.join(";"));
        }
        scheduling::taint_effect(found, &taint.effect, &format!("{path}.effect"));
        if !seen.insert((&taint.key, &taint.effect)) {
            let shown = serde_json::to_value(taint).unwrap_or_default();
            found.duplicate_because(path, shown, "taints must be unique by key and effect pair");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_reads_as_kubectl_shows_it() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"}},
        });
        let cells: Vec<_> = COLUMNS.iter().map(|column| column.value(&node, Timestamp::UNIX_EPOCH)).collect();
        let expected = json!([
            "n",
            "Ready,SchedulingDisabled",
            "control-plane,worker",
            "<unknown>",
            "v1.36.0",
            "10.0.0.1",
            "<none>",
            "Debian",
            "<unknown>",
            "<unknown>"
        ]);
        assert_eq!(Value::from(cells), expected);
        assert_eq!((status(&json!({})).as_str(), roles(&json!({})).as_str()), ("Unknown", "<none>"));
    }

    #[test]
    fn specs_and_their_changes() {
        let node = |spec: Value| {
            let mut node: Node = serde_json::from_value(json!({ "spec": spec })).unwrap();
            NodeStrategy.default(&mut node);
            node
        };
        let taint = json!({"key": "a", "effect": "NoSchedule"});
        for (case, new, old, wrong) in [
            ("nothing", json!({}), None, vec![]),
            ("a network", json!({"podCIDR": "10.0.0.0/24"}), None, vec![]),
            ("no network", json!({"podCIDR": "10.0.0.0"}), None, vec!["spec.podCIDRs[0]"]),
            ("a taint", json!({"taints": [taint]}), None, vec![]),
            ("the same taint twice", json!({"taints": [taint, taint]}), None, vec!["metadata.taints[1]"]),
            (
                "an unknown effect",
                json!({"taints": [{"key": "a", "effect": "No"}]}),
                None,
                vec!["metadata.taints[0].effect"],
            ),
            ("two of one family", json!({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}), None, vec!["spec.podCIDRs"]),
            ("one of each family", json!({"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}), None, vec![]),
            (
                "another name for itself",
                json!({"externalID": "b"}),
                Some(json!({"externalID": "a"})),
                vec!["spec.externalID"],
            ),
            ("the first network", json!({"podCIDR": "10.0.0.0/24"}), Some(json!({})), vec![]),
            (
                "another network",
                json!({"podCIDR": "10.0.1.0/24"}),
                Some(json!({"podCIDR": "10.0.0.0/24"})),
                vec!["spec.podCIDRs"],
            ),
            ("another provider", json!({"providerID": "b"}), Some(json!({"providerID": "a"})), vec!["spec.providerID"]),
        ] {
            let found = NodeStrategy.validate(&node(new), old.map(node).as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
