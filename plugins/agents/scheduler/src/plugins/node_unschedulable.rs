//! `NodeUnschedulable`: keeps pods off cordoned nodes.

use crate::class::{Class, Effect, Taint};
use crate::cluster::{Cluster, NodeChange, NodeIx};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, Verdict};

/// Filters by `spec.unschedulable`.
pub struct NodeUnschedulable;

fn tolerates_cordon(pod: &Class) -> bool {
    let taint =
        Taint { key: "node.kubernetes.io/unschedulable".into(), value: String::new(), effect: Effect::NoSchedule };
    pod.tolerates(&taint)
}

impl Filter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        (!tolerates_cordon(pod)).then(|| Box::new(Prepared(&cluster.nodes.unschedulable)) as Box<dyn NodeFilter>)
    }

    fn helps(&self, event: ClusterEvent<'_>, _pod: &Class, cluster: &Cluster) -> bool {
        matches!(event, ClusterEvent::Node(node, change)
            if change.any(NodeChange::UNSCHEDULABLE) && !cluster.nodes.unschedulable[node as usize])
    }
}

struct Prepared<'a>(&'a [bool]);

impl NodeFilter for Prepared<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts) {
            if self.0[*node as usize] {
                *verdict = Verdict::Unresolvable;
            }
        }
    }

    fn explain(&self, _node: NodeIx, tell: &mut dyn FnMut(&str)) {
        tell("node(s) were unschedulable");
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn cordoned_nodes_take_only_who_tolerates_it() {
        let mut cluster = testing::cluster([Build::node("a").set("spec.unschedulable", json!(true)), Build::node("b")]);
        let pod = Build::pod("n", "p");
        assert_eq!(testing::fitting(&NodeUnschedulable, &mut cluster, &testing::class(pod.clone())), ["b"]);
        let tolerations = json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
        let daemon = testing::class(pod.set("spec.tolerations", tolerations));
        assert_eq!(testing::fitting(&NodeUnschedulable, &mut cluster, &daemon), ["a", "b"]);
    }
}
