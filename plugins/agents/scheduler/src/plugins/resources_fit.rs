//! `NodeResourcesFit`: room for what the pod requests; and `LeastAllocated`, which prefers the emptier node.

use crate::class::Class;
use crate::cluster::{Amounts, Cluster, NodeChange, NodeIx};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, NodeScore, Score, Verdict, percent};

/// Filters by room and scores by what stays free.
pub struct NodeResourcesFit;

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        Some(Box::new(Fit::of(pod, cluster)))
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::Node(node, change) if change.any(NodeChange::ALLOCATABLE) => {
                let mut verdict = [Verdict::Fits];
                Fit::of(pod, cluster).filter(&[node], &mut verdict);
                verdict == [Verdict::Fits]
            }
            // A place among the node's pods is freed at least.
            ClusterEvent::PodRemoved(_) => true,
            _ => false,
        }
    }
}

/// A request and its column; no column where no node has ever offered the resource.
struct Fit<'a> {
    pods: &'a Amounts,
    wanted: Vec<(&'a str, i64, Option<&'a Amounts>)>,
}

impl<'a> Fit<'a> {
    fn of(pod: &'a Class, cluster: &'a Cluster) -> Self {
        let (requests, nodes) = (&pod.requests, &cluster.nodes);
        let named = [
            ("cpu", requests.cpu, Some(&nodes.cpu)),
            ("memory", requests.memory, Some(&nodes.memory)),
            ("ephemeral-storage", requests.storage, Some(&nodes.storage)),
        ];
        let other = requests.other.iter().map(|(name, amount)| (name.as_str(), *amount, nodes.other.get(name)));
        let wanted = named.into_iter().chain(other).filter(|(_, amount, _)| *amount > 0).collect();
        Self { pods: &nodes.pods, wanted }
    }
}

fn lacks(amounts: &Amounts, at: usize, wanted: i64) -> bool {
    wanted > amounts.allocatable[at] - amounts.used[at]
}

impl NodeFilter for Fit<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts.iter_mut()) {
            if lacks(self.pods, *node as usize, 1) {
                *verdict = Verdict::Rejected;
            }
        }
        for (_, wanted, amounts) in &self.wanted {
            let Some(amounts) = amounts else {
                verdicts.fill(Verdict::Unresolvable);
                return;
            };
            for (node, verdict) in nodes.iter().zip(verdicts.iter_mut()) {
                let at = *node as usize;
                if lacks(amounts, at, *wanted) {
                    // Not even an empty node has that much.
                    let hopeless = *wanted > amounts.allocatable[at] || *verdict == Verdict::Unresolvable;
                    *verdict = if hopeless { Verdict::Unresolvable } else { Verdict::Rejected };
                }
            }
        }
    }

    fn explain(&self, node: NodeIx, tell: &mut dyn FnMut(&str)) {
        let at = node as usize;
        if lacks(self.pods, at, 1) {
            tell("Too many pods");
        }
        for (name, wanted, amounts) in &self.wanted {
            if amounts.is_none_or(|amounts| lacks(amounts, at, *wanted)) {
                tell(&format!("Insufficient {name}"));
            }
        }
    }
}

impl Score for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        Some(Box::new(LeastAllocated { pod, cluster }))
    }
}

struct LeastAllocated<'a> {
    pod: &'a Class,
    cluster: &'a Cluster,
}

impl NodeScore for LeastAllocated<'_> {
    /// The share of CPU and memory that stays free, the mean of both.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        let columns = &self.cluster.nodes;
        let resources = [
            (&columns.cpu.allocatable, &columns.scored[0], self.pod.scored[0]),
            (&columns.memory.allocatable, &columns.scored[1], self.pod.scored[1]),
        ];
        for (node, score) in nodes.iter().zip(scores) {
            let at = *node as usize;
            let (mut sum, mut weight) = (0, 0);
            for (allocatable, used, wanted) in &resources {
                let (all, taken) = (allocatable[at], used[at] + wanted);
                if all <= 0 {
                    continue;
                }
                weight += 1;
                if taken <= all {
                    sum += percent(all - taken, all);
                }
            }
            *score = if weight == 0 { 0 } else { sum / weight };
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    fn pod(name: &str, requests: Value) -> Build {
        Build::pod("n", name).set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
    }

    #[test]
    fn pods_go_where_there_is_room() {
        let mut cluster = testing::cluster([
            Build::node("big").set("status.allocatable", json!({"cpu": "4", "memory": "8Gi", "pods": "2"})),
            Build::node("gpu")
                .set("status.allocatable", json!({"cpu": "2", "memory": "8Gi", "pods": "2", "x.io/gpu": "1"})),
        ]);
        testing::place(&mut cluster, pod("one", json!({"cpu": "3"})).on_node("big"));
        let why = |verdict, reasons: &[&str]| (verdict, reasons.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>());
        use Verdict::{Rejected, Unresolvable};
        for (case, requests, big, gpu) in [
            ("fits both", json!({"cpu": "1"}), None, None),
            ("what is used counts", json!({"cpu": "2"}), Some(why(Rejected, &["Insufficient cpu"])), None),
            (
                "more than an empty node has",
                json!({"cpu": "3"}),
                Some(why(Rejected, &["Insufficient cpu"])),
                Some(why(Unresolvable, &["Insufficient cpu"])),
            ),
            (
                "two reasons",
                json!({"cpu": "2", "memory": "9Gi"}),
                Some(why(Unresolvable, &["Insufficient cpu", "Insufficient memory"])),
                Some(why(Unresolvable, &["Insufficient memory"])),
            ),
            ("a device", json!({"x.io/gpu": "1"}), Some(why(Unresolvable, &["Insufficient x.io/gpu"])), None),
            (
                "a device nobody has",
                json!({"x.io/none": "1"}),
                Some(why(Unresolvable, &["Insufficient x.io/none"])),
                Some(why(Unresolvable, &["Insufficient x.io/none"])),
            ),
        ] {
            let found = testing::rejected(&NodeResourcesFit, &mut cluster, &testing::class(pod("p", requests)));
            assert_eq!((found.get("big").cloned(), found.get("gpu").cloned()), (big, gpu), "{case}");
        }
        testing::place(&mut cluster, pod("two", json!({})).on_node("big"));
        let found = testing::rejected(&NodeResourcesFit, &mut cluster, &testing::class(pod("p", json!({}))));
        assert_eq!(found["big"], why(Rejected, &["Too many pods"]));
    }

    #[test]
    fn emptier_nodes_score_higher() {
        let mut cluster = testing::cluster([Build::node("a"), Build::node("b")]);
        testing::place(&mut cluster, pod("one", json!({"cpu": "2", "memory": "8Gi"})).on_node("a"));
        let class = testing::class(pod("p", json!({"cpu": "1", "memory": "4Gi"})));
        assert_eq!(testing::scores(&NodeResourcesFit, &mut cluster, &class), Some(vec![25, 75]));
    }
}
