//! `NodeResourcesBalancedAllocation`: prefers nodes where CPU and memory are used in like measure.

use crate::class::Class;
use crate::cluster::{Cluster, NodeIx};
use crate::framework::{NodeScore, SCORE_MAX, Score};

/// Scores by how evenly resources are used.
pub struct NodeResourcesBalancedAllocation;

impl Score for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    /// A pod that requests nothing unbalances nothing.
    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        (!pod.is_best_effort()).then(|| Box::new(Prepared { pod, cluster }) as Box<dyn NodeScore>)
    }
}

struct Prepared<'a> {
    pod: &'a Class,
    cluster: &'a Cluster,
}

impl NodeScore for Prepared<'_> {
    /// 100 less the standard deviation of the used shares, which for two resources is half their distance.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        let columns = &self.cluster.nodes;
        let share = |used: i64, all: i64| (used as f64 / all as f64).min(1.0);
        for (node, score) in nodes.iter().zip(scores) {
            let at = *node as usize;
            let (cpus, bytes) = (columns.cpu.allocatable[at], columns.memory.allocatable[at]);
            let deviation = if cpus == 0 || bytes == 0 {
                0.0
            } else {
                let cpu = share(columns.cpu.used[at] + self.pod.requests.cpu, cpus);
                let memory = share(columns.memory.used[at] + self.pod.requests.memory, bytes);
                (cpu - memory).abs() / 2.0
            };
            *score = ((1.0 - deviation) * SCORE_MAX as f64) as i64;
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn like_measures_score_higher() {
        let pod = |name: &str, cpu: &str, memory: &str| {
            let requests = json!({"cpu": cpu, "memory": memory});
            Build::pod("n", name).set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
        };
        let mut cluster = testing::cluster([Build::node("a"), Build::node("b")]);
        testing::place(&mut cluster, pod("one", "2", "0").on_node("a"));
        let class = testing::class(pod("p", "1", "4Gi"));
        // 3/4 and 1/4 on the first, 1/4 each on the second.
        assert_eq!(testing::scores(&NodeResourcesBalancedAllocation, &mut cluster, &class), Some(vec![75, 100]));
        let nothing = testing::class(Build::pod("n", "q"));
        assert_eq!(testing::scores(&NodeResourcesBalancedAllocation, &mut cluster, &nothing), None);
    }
}
