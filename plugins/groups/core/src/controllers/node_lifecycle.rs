//! `node-lifecycle`: what a node's conditions say becomes taints, and a node that is silent becomes unknown.
//!
//! Source: Kubernetes documentation, "Nodes" and "Taint nodes by condition". Evicting pods from tainted nodes is the work
//! of another controller.

use std::sync::OnceLock;
use std::time::Duration;

use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use sdk_api::{Key, Timestamp, time};
use sdk_client::Patch;
use sdk_plugin::{Controller, Plan, View, Watch};
use serde_json::{Value, json};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// How long a node may be silent. Source: `--node-monitor-grace-period`.
const SILENCE_MAX: Duration = Duration::from_secs(50);
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions, the status that taints, and the key of the taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
/// What the node's agent reports, and nobody knows any more when it is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

#[derive(Default)]
pub struct NodeLifecycle {
    /// When this controller began to look: silence before that proves nothing, since the server itself was away.
    began: OnceLock<Timestamp>,
}

impl Controller for NodeLifecycle {
    type Object = Node;
    const NAME: &'static str = "node-lifecycle";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<Lease>(|_, lease| {
            let is_heartbeat = lease.namespace() == LEASE_NAMESPACE;
            is_heartbeat.then(|| Key::of::<Node>("", lease.name())).into_iter().collect()
        })]
    }

    fn plan(&self, view: &View<'_>, node: &Node) -> Plan {
        let began = *self.began.get_or_init(|| view.now);
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let key = Key::of::<Node>("", name);
        let heard = last_heard(view, node, name).max(began);
        let silent_for = Duration::try_from(view.now.duration_since(heard)).unwrap_or_default();
        if silent_for > SILENCE_MAX {
            let unknown = unknown_conditions(node, view.now);
            if !unknown.is_empty() {
                return Plan::nothing().patch(
                    key,
                    "status",
                    Patch::strategic(json!({"status": {"conditions": unknown}})),
                );
            }
        }
        let plan = match changed_taints(node, view.now) {
            Some(taints) => {
                let revision = node.metadata.resource_version.as_deref().unwrap_or_default();
                // Upstream stores no empty list.
                let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
                let body = json!({"metadata": {"resourceVersion": revision}, "spec": {"taints": taints}});
                Plan::nothing().patch(key, "", Patch::merge(body))
            }
            None => Plan::nothing(),
        };
        match SILENCE_MAX.checked_sub(silent_for) {
            Some(left) => plan.and_look_again_in(left + Duration::from_millis(1)),
            // A silent node is heard by its lease, which is watched.
            None => plan,
        }
    }
}

/// When the node last gave a sign of life: its lease, or its report.
fn last_heard(view: &View<'_>, node: &Node, name: &str) -> Timestamp {
    let lease = view.get::<Lease>(LEASE_NAMESPACE, name);
    let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
    let reported = condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref().map(|time| time.0));
    let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    [renewed, reported, created].into_iter().flatten().max().unwrap_or(view.now)
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// The conditions of a silent node that must change.
fn unknown_conditions(node: &Node, now: Timestamp) -> Vec<Value> {
    let changes = REPORTED.iter().filter_map(|kind| {
        let known = condition(node, kind);
        if known.is_some_and(|condition| condition.status == "Unknown") {
            return None;
        }
        let (reason, message) = match known {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        Some(json!({
            "type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastTransitionTime": time::rfc3339(now),
        }))
    });
    changes.collect()
}

/// The node's taints as they should be, if they are not.
fn changed_taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let spec = node.spec.as_ref();
    let current = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if condition(node, kind).is_some_and(|condition| condition.status == status) {
            wanted.push((key, "NoSchedule"));
            if kind == "Ready" {
                wanted.push((key, "NoExecute"));
            }
        }
    }
    if condition(node, "Ready").is_none() {
        wanted.push((NOT_READY, "NoSchedule"));
    }
    if spec.is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours = |taint: &Taint| taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| taint.key == *key);
    let is = |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let mut taints: Vec<Taint> =
        current.iter().filter(|taint| !ours(taint) || wanted.iter().any(|wish| is(taint, *wish))).cloned().collect();
    for wish in wanted {
        if !taints.iter().any(|taint| is(taint, wish)) {
            let added = sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time::whole_seconds(now));
            taints.push(Taint {
                key: wish.0.into(),
                effect: wish.1.into(),
                time_added: (wish.1 == "NoExecute").then_some(added),
                value: None,
            });
        }
    }
    (taints != current).then_some(taints)
}

#[cfg(test)]
mod tests {
    use sdk_plugin::PlannedWrite;
    use sdk_testkit::FixedCache;

    use super::*;

    fn node(ready: Value, spec: Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "5"},
            "spec": spec, "status": {"conditions": ready},
        }))
        .unwrap()
    }

    fn ready(status: &str) -> Value {
        json!([{"type": "Ready", "status": status, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}])
    }

    fn keys(node: &Node) -> Option<Vec<String>> {
        let taints = changed_taints(node, "2026-01-01T00:00:00Z".parse().unwrap())?;
        Some(
            taints
                .into_iter()
                .map(|taint| format!("{}:{}", taint.key.replace("node.kubernetes.io/", ""), taint.effect))
                .collect(),
        )
    }

    #[test]
    fn conditions_become_taints_and_others_taints_stay() {
        let own = json!({"key": "team", "effect": "NoSchedule"});
        let stale = json!({"key": NOT_READY, "effect": "NoSchedule"});
        for (case, node, taints) in [
            ("ready", node(ready("True"), json!({})), None),
            ("became ready", node(ready("True"), json!({"taints": [stale, own]})), Some(vec!["team:NoSchedule"])),
            (
                "not ready",
                node(ready("False"), json!({"taints": [own]})),
                Some(vec!["team:NoSchedule", "not-ready:NoSchedule", "not-ready:NoExecute"]),
            ),
            (
                "unknown",
                node(ready("Unknown"), json!({})),
                Some(vec!["unreachable:NoSchedule", "unreachable:NoExecute"]),
            ),
            ("new", node(json!([]), json!({"taints": [stale]})), None),
            ("cordoned", node(ready("True"), json!({"unschedulable": true})), Some(vec!["unschedulable:NoSchedule"])),
        ] {
            assert_eq!(keys(&node), taints.map(|t| t.into_iter().map(str::to_owned).collect()), "{case}");
        }
    }

    #[test]
    fn a_silent_node_becomes_unknown_but_not_for_the_servers_own_absence() {
        let controller = NodeLifecycle::default();
        let cache = FixedCache::new(Vec::<Value>::new());
        let at = |text: &str| View { now: text.parse().unwrap(), cache: &cache };
        let silent = node(ready("True"), json!({}));
        // The controller begins an hour after the last sign of life: it waits once more.
        let plan = controller.plan(&at("2026-01-01T01:00:00Z"), &silent);
        assert!(plan.writes.is_empty() && plan.again_in.is_some());
        let plan = controller.plan(&at("2026-01-01T01:00:51Z"), &silent);
        let [PlannedWrite::Patch { patch, subresource: "status", .. }] = plan.writes.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!(patch.body["status"]["conditions"][0]["reason"], "NodeStatusUnknown");
    }
}
