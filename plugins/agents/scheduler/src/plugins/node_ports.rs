//! `NodePorts`: one host port, one pod.

use crate::class::{Class, HostPort};
use crate::cluster::{Cluster, NodeChange, NodeIx};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, Verdict};

/// Filters by free host ports.
pub struct NodePorts;

fn conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|port| used.iter().any(|other| port.conflicts(other)))
}

impl Filter for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        let prepared = || Box::new(Prepared { pod, used: &cluster.nodes.host_ports }) as Box<dyn NodeFilter>;
        (!pod.host_ports.is_empty()).then(prepared)
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::Node(node, change) => {
                change.any(NodeChange::ADDED) && !conflict(&pod.host_ports, &cluster.nodes.host_ports[node as usize])
            }
            ClusterEvent::PodRemoved(other) => conflict(&pod.host_ports, &other.host_ports),
            _ => false,
        }
    }
}

struct Prepared<'a> {
    pod: &'a Class,
    used: &'a [Vec<HostPort>],
}

impl NodeFilter for Prepared<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts) {
            if conflict(&self.pod.host_ports, &self.used[*node as usize]) {
                *verdict = Verdict::Rejected;
            }
        }
    }

    fn explain(&self, _node: NodeIx, tell: &mut dyn FnMut(&str)) {
        tell("node(s) didn't have free ports for the requested pod ports");
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_port_is_taken_once_on_a_node() {
        let pod = |name: &str, port: u16| {
            let ports = json!([{"containerPort": 80, "hostPort": port}]);
            Build::pod("n", name).set("spec.containers", json!([{"name": "c", "ports": ports}]))
        };
        let mut cluster = testing::cluster([Build::node("a"), Build::node("b")]);
        testing::place(&mut cluster, pod("p", 80).on_node("a"));
        let class = testing::class(pod("q", 80));
        assert_eq!(testing::fitting(&NodePorts, &mut cluster, &class), ["b"]);
        assert_eq!(testing::fitting(&NodePorts, &mut cluster, &testing::class(pod("q", 81))), ["a", "b"]);
        cluster.unplace("uid-p");
        assert_eq!(testing::fitting(&NodePorts, &mut cluster, &class), ["a", "b"]);
        assert!(NodePorts.helps(ClusterEvent::PodRemoved(&class), &class, &cluster));
    }
}
