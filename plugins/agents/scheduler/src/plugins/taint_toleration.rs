//! `TaintToleration`: keeps pods off taints they do not tolerate, and prefers nodes with few `PreferNoSchedule`.

use crate::class::{Class, Effect, Taint};
use crate::cluster::{Cluster, NodeChange, NodeIx};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, NodeScore, Score, Verdict, normalise_by_highest};

/// Filters and scores by taints.
pub struct TaintToleration;

fn keeps_off(pod: &Class, taints: &[Taint]) -> bool {
    taints.iter().any(|taint| taint.effect != Effect::PreferNoSchedule && !pod.tolerates(taint))
}

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        Some(Box::new(Prepared { pod, taints: &cluster.nodes.taints }))
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        matches!(event, ClusterEvent::Node(node, change)
            if change.any(NodeChange::TAINTS) && !keeps_off(pod, &cluster.nodes.taints[node as usize]))
    }
}

impl Score for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        Some(Box::new(Prepared { pod, taints: &cluster.nodes.taints }))
    }
}

struct Prepared<'a> {
    pod: &'a Class,
    taints: &'a [Vec<Taint>],
}

impl NodeFilter for Prepared<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts) {
            let taints = &self.taints[*node as usize];
            if !taints.is_empty() && keeps_off(self.pod, taints) {
                *verdict = Verdict::Unresolvable;
            }
        }
    }

    /// Since 1.34 without the taint itself, so that a cluster of many taints has one reason.
    fn explain(&self, _node: NodeIx, tell: &mut dyn FnMut(&str)) {
        tell("node(s) had untolerated taint(s)");
    }
}

impl NodeScore for Prepared<'_> {
    /// The number of taints that would rather not have the pod.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        for (node, score) in nodes.iter().zip(scores) {
            let taints = self.taints[*node as usize].iter();
            let unwelcome = |taint: &&Taint| taint.effect == Effect::PreferNoSchedule && !self.pod.tolerates(taint);
            *score = taints.filter(unwelcome).count() as i64;
        }
    }

    fn normalise(&self, scores: &mut [i64]) {
        normalise_by_highest(scores, true);
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn taints_keep_off_or_dissuade() {
        let tainted = |name: &str, effect: &str| {
            Build::node(name).set("spec.taints", json!([{"key": "app", "value": "x", "effect": effect}]))
        };
        let mut cluster = testing::cluster([
            tainted("a", "NoSchedule"),
            tainted("b", "NoExecute"),
            tainted("c", "PreferNoSchedule"),
            Build::node("d"),
        ]);
        let plain = testing::class(Build::pod("n", "p"));
        assert_eq!(testing::fitting(&TaintToleration, &mut cluster, &plain), ["c", "d"]);
        let rejected = testing::rejected(&TaintToleration, &mut cluster, &plain);
        assert_eq!(rejected["a"], (Verdict::Unresolvable, vec!["node(s) had untolerated taint(s)".to_owned()]));
        assert_eq!(testing::scores(&TaintToleration, &mut cluster, &plain), Some(vec![100, 100, 0, 100]));
        let tolerations = json!([{"key": "app", "operator": "Equal", "value": "x"}]);
        let tolerant = testing::class(Build::pod("n", "p").set("spec.tolerations", tolerations));
        assert_eq!(testing::fitting(&TaintToleration, &mut cluster, &tolerant), ["a", "b", "c", "d"]);
        let gone = ClusterEvent::Node(0, NodeChange::TAINTS);
        assert!(TaintToleration.helps(gone, &tolerant, &cluster) && !TaintToleration.helps(gone, &plain, &cluster));
    }
}
