//! `PodTopologySpread`: spreads pods over hosts, zones or whatever a constraint names.
//!
//! Source: Kubernetes documentation, "Pod Topology Spread Constraints". Pods without constraints of their own are spread
//! with the system's default ones: over zones (skew 5) and hosts (skew 3), as a preference.

use crate::class::{Class, PodTerm};
use crate::cluster::{Cluster, Counter, HOSTNAME, NO_DOMAIN, NodeChange, NodeIx, Topology, ZONE};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, NodeScore, SCORE_MAX, Scope, Score, Verdict, percent};
use crate::plugins::node_affinity;

/// What a node scores that lacks a key and is left out.
const IGNORED: i64 = -1;

/// Filters and scores by how pods are spread.
pub struct PodTopologySpread;

/// A constraint with what it needs for one cycle.
struct Constraint<'a> {
    topology: &'a Topology,
    counter: Option<&'a Counter>,
    by_host: bool,
    max_skew: i64,
    min_domains: i64,
    matches_itself: bool,
    honours_affinity: bool,
    honours_taints: bool,
}

impl Constraint<'_> {
    fn domain(&self, node: NodeIx) -> u32 {
        self.topology.of.get(node as usize).copied().unwrap_or(NO_DOMAIN)
    }

    /// Matching pods on a node that are not being deleted.
    fn count(&self, node: NodeIx) -> i64 {
        self.counter.map_or(0, |counter| i64::from(counter.at(node).active))
    }

    /// Whether the pods of a node count.
    fn includes(&self, pod: &Class, cluster: &Cluster, node: NodeIx) -> bool {
        (!self.honours_affinity || node_affinity::allows(pod, cluster, node))
            && (!self.honours_taints || {
                let taints = &cluster.nodes.taints[node as usize];
                !taints.iter().any(|t| t.effect != crate::class::Effect::PreferNoSchedule && !pod.tolerates(t))
            })
    }
}

fn own<'a>(pod: &'a Class, cluster: &'a Cluster, required: bool) -> Vec<Constraint<'a>> {
    let constraint = |spread: &'a crate::class::Spread| {
        Some(Constraint {
            topology: cluster.topologies.get(&spread.topology_key)?,
            counter: counter(cluster, &spread.pods),
            by_host: spread.topology_key == HOSTNAME,
            max_skew: spread.max_skew,
            min_domains: spread.min_domains,
            matches_itself: cluster.counters.matches(&spread.pods, pod),
            honours_affinity: spread.honours_affinity
                && (!pod.node_selector.is_empty() || pod.required_nodes.is_some()),
            honours_taints: spread.honours_taints,
        })
    };
    pod.spread.iter().filter(|spread| spread.required == required).filter_map(constraint).collect()
}

fn counter<'a>(cluster: &'a Cluster, term: &PodTerm) -> Option<&'a Counter> {
    cluster.counters.get(&vec![term.clone()])
}

/// The system's default constraints, for a pod that belongs to something.
fn default<'a>(pod: &Class, cluster: &'a Cluster) -> Vec<Constraint<'a>> {
    let Some(term) = cluster.spread_among(pod) else { return Vec::new() };
    let counter = counter(cluster, &term);
    let constraint = |(key, max_skew): (&str, i64)| {
        Some(Constraint {
            topology: cluster.topologies.get(key)?,
            counter,
            by_host: key == HOSTNAME,
            max_skew,
            min_domains: 1,
            matches_itself: true,
            honours_affinity: !pod.node_selector.is_empty() || pod.required_nodes.is_some(),
            honours_taints: false,
        })
    };
    [(ZONE, 5), (HOSTNAME, 3)].into_iter().filter_map(constraint).collect()
}

impl Filter for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        let constraints = own(pod, cluster, true);
        if constraints.is_empty() {
            return None;
        }
        let mut counts: Vec<Vec<Option<i64>>> = constraints.iter().map(|c| vec![None; c.topology.size()]).collect();
        for node in cluster.nodes.live().iter().copied() {
            if constraints.iter().any(|c| c.domain(node) == NO_DOMAIN) {
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if constraint.includes(pod, cluster, node) {
                    *counts[constraint.domain(node) as usize].get_or_insert(0) += constraint.count(node);
                }
            }
        }
        let least = |(constraint, counts): (&Constraint<'_>, &Vec<Option<i64>>)| {
            let domains = counts.iter().flatten();
            if (domains.clone().count() as i64) < constraint.min_domains {
                0
            } else {
                domains.copied().min().unwrap_or(0)
            }
        };
        let least = constraints.iter().zip(&counts).map(least).collect();
        Some(Box::new(Required { constraints, counts, least }))
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        let relevant = |other: &Class| {
            pod.spread.iter().any(|spread| spread.required && cluster.counters.matches(&spread.pods, other))
        };
        match event {
            ClusterEvent::Node(_, change) => change.any(NodeChange::LABELS | NodeChange::TAINTS),
            ClusterEvent::NodeRemoved => true,
            // A pod that leaves does not count any more.
            ClusterEvent::PodPlaced(other) | ClusterEvent::PodRemoved(other) | ClusterEvent::PodLeaving(other) => {
                relevant(other)
            }
            ClusterEvent::Namespace => false,
        }
    }
}

struct Required<'a> {
    constraints: Vec<Constraint<'a>>,
    /// Matching pods by domain; `None` where no node of it counts.
    counts: Vec<Vec<Option<i64>>>,
    /// The fewest of any domain.
    least: Vec<i64>,
}

impl NodeFilter for Required<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for ((constraint, counts), least) in self.constraints.iter().zip(&self.counts).zip(&self.least) {
            let one = i64::from(constraint.matches_itself);
            for (node, verdict) in nodes.iter().zip(verdicts.iter_mut()) {
                let domain = constraint.domain(*node);
                if *verdict != Verdict::Fits {
                    continue;
                }
                if domain == NO_DOMAIN {
                    *verdict = Verdict::Unresolvable;
                } else if counts[domain as usize].unwrap_or(0) + one - least > constraint.max_skew {
                    *verdict = Verdict::Rejected;
                }
            }
        }
    }

    fn explain(&self, node: NodeIx, tell: &mut dyn FnMut(&str)) {
        let mut verdict = [Verdict::Fits];
        self.filter(&[node], &mut verdict);
        tell(match verdict[0] {
            Verdict::Unresolvable => "node(s) didn't match pod topology spread constraints (missing required label)",
            _ => "node(s) didn't match pod topology spread constraints",
        });
    }
}

impl Score for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        let constraints = if pod.spread.is_empty() { default(pod, cluster) } else { own(pod, cluster, false) };
        if constraints.is_empty() {
            return None;
        }
        Some(Box::new(Preferred { pod, cluster, constraints, needs_all_keys: !pod.spread.is_empty() }))
    }
}

struct Preferred<'a> {
    pod: &'a Class,
    cluster: &'a Cluster,
    constraints: Vec<Constraint<'a>>,
    /// Nodes that lack a key are left out. The default constraints are content with the keys there are.
    needs_all_keys: bool,
}

impl Preferred<'_> {
    fn ignores(&self, node: NodeIx) -> bool {
        self.needs_all_keys && self.constraints.iter().any(|c| c.domain(node) == NO_DOMAIN)
    }

    /// Matching pods by domain, for the domains of feasible nodes; and how many domains these are.
    fn by_domain(&self, constraint: &Constraint<'_>, feasible: &[NodeIx]) -> (Vec<i64>, usize) {
        const UNSEEN: i64 = -1;
        let mut counts = vec![UNSEEN; constraint.topology.size()];
        let (mut domains, mut without) = (0, 0);
        for node in feasible.iter().copied().filter(|node| !self.ignores(*node)) {
            match constraint.domain(node) {
                NO_DOMAIN => without = 1,
                domain if counts[domain as usize] == UNSEEN => {
                    counts[domain as usize] = 0;
                    domains += 1;
                }
                _ => {}
            }
        }
        for node in self.cluster.nodes.live().iter().copied() {
            let domain = constraint.domain(node);
            if domain == NO_DOMAIN || counts[domain as usize] == UNSEEN {
                continue;
            }
            let count = constraint.count(node);
            if count > 0 && !self.ignores(node) && constraint.includes(self.pod, self.cluster, node) {
                counts[domain as usize] += count;
            }
        }
        (counts, domains + without)
    }
}

impl NodeScore for Preferred<'_> {
    /// Lower is better: matching pods in the node's domains, weighed so that few domains do not drown many.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        let mut sums = vec![0.0_f64; nodes.len()];
        for constraint in &self.constraints {
            let base = (constraint.max_skew - 1) as f64;
            if constraint.by_host {
                let counts = |node: &&NodeIx| !self.ignores(**node);
                let hosts = if self.needs_all_keys { nodes.iter().filter(counts).count() } else { nodes.len() };
                let weight = ((hosts + 2) as f64).ln();
                for (node, sum) in nodes.iter().zip(&mut sums) {
                    if constraint.domain(*node) != NO_DOMAIN {
                        *sum += constraint.count(*node) as f64 * weight + base;
                    }
                }
                continue;
            }
            let (counts, domains) = self.by_domain(constraint, nodes);
            let weight = ((domains + 2) as f64).ln();
            for (node, sum) in nodes.iter().zip(&mut sums) {
                let domain = constraint.domain(*node);
                if domain != NO_DOMAIN {
                    *sum += counts[domain as usize].max(0) as f64 * weight + base;
                }
            }
        }
        for ((node, sum), score) in nodes.iter().zip(sums).zip(scores) {
            *score = if self.ignores(*node) { IGNORED } else { (sum + 0.5) as i64 };
        }
    }

    fn normalise(&self, scores: &mut [i64]) {
        let counted = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (Some(least), Some(most)) = (counted().min(), counted().max()) else {
            scores.fill(0);
            return;
        };
        // Neighbours have like counts more often than not, and a division costs more than a look.
        let mut last = (IGNORED, 0);
        for score in scores {
            if *score != last.0 {
                let normal = match *score {
                    IGNORED => 0,
                    _ if most == 0 => SCORE_MAX,
                    count => percent(most + least - count, most),
                };
                last = (*score, normal);
            }
            *score = last.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    fn zones() -> Cluster {
        let node = |name: &str, zone: &str| Build::node(name).label(ZONE, zone);
        testing::cluster([node("a1", "a"), node("a2", "a"), node("b1", "b"), Build::node("none")])
    }

    fn web(name: &str) -> Build {
        Build::pod("n", name).label("app", "web")
    }

    fn spread(when: &str, key: &str, more: Value) -> Value {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        for (name, value) in more.as_object().unwrap() {
            constraint[name] = value.clone();
        }
        json!([constraint])
    }

    #[test]
    fn required_constraints_bound_the_skew() {
        let with = |constraint: Value| testing::class(web("p").set("spec.topologySpreadConstraints", constraint));
        for (case, placed, constraint, fits) in [
            ("nothing placed", vec![], json!({}), vec!["a1", "a2", "b1"]),
            ("one in a", vec!["a1"], json!({}), vec!["b1"]),
            ("one in each", vec!["a1", "b1"], json!({}), vec!["a1", "a2", "b1"]),
            ("a wider skew", vec!["a1"], json!({"maxSkew": 2}), vec!["a1", "a2", "b1"]),
            ("more domains wanted", vec!["a1", "b1"], json!({"minDomains": 3}), vec![]),
        ] {
            let mut cluster = zones();
            for (n, node) in placed.into_iter().enumerate() {
                testing::place(&mut cluster, web(&format!("w{n}")).on_node(node));
            }
            let class = with(spread("DoNotSchedule", ZONE, constraint));
            assert_eq!(testing::fitting(&PodTopologySpread, &mut cluster, &class), fits, "{case}");
        }
        let mut cluster = zones();
        testing::place(&mut cluster, web("w").on_node("a1"));
        let class = with(spread("DoNotSchedule", ZONE, json!({})));
        let rejected = testing::rejected(&PodTopologySpread, &mut cluster, &class);
        let missing = "node(s) didn't match pod topology spread constraints (missing required label)";
        assert_eq!(rejected["none"], (Verdict::Unresolvable, vec![missing.to_owned()]));
        let skewed = "node(s) didn't match pod topology spread constraints";
        assert_eq!(rejected["a2"], (Verdict::Rejected, vec![skewed.to_owned()]));
        assert!(PodTopologySpread.helps(ClusterEvent::PodPlaced(&class), &class, &cluster));
        let other = testing::class(Build::pod("n", "x").label("app", "other"));
        assert!(!PodTopologySpread.helps(ClusterEvent::PodRemoved(&other), &class, &cluster));
    }

    #[test]
    fn only_nodes_that_the_pod_may_use_count() {
        let mut cluster = zones();
        for name in ["w1", "w2"] {
            testing::place(&mut cluster, web(name).on_node("a1"));
        }
        let pod = web("p").set("spec.nodeSelector", json!({"kubernetes.io/hostname": "a2"}));
        let constraint = |policy: &str| spread("DoNotSchedule", ZONE, json!({"nodeAffinityPolicy": policy}));
        let class =
            |policy: &str| testing::class(pod.clone().set("spec.topologySpreadConstraints", constraint(policy)));
        let fits = |cluster: &mut Cluster, policy: &str| {
            testing::fitting(&PodTopologySpread, cluster, &class(policy)).contains(&"a2".to_owned())
        };
        assert!(fits(&mut cluster, "Honor"), "of the nodes it may use, none has such a pod");
        assert!(!fits(&mut cluster, "Ignore"));
    }

    #[test]
    fn pods_of_one_owner_spread_by_default() {
        let mut cluster = zones();
        let set = Build::replica_set("n", "web", 3);
        let pod = |name: &str| web(name).controlled_by(&set);
        let class = testing::class(pod("p"));
        assert_eq!(testing::scores(&PodTopologySpread, &mut cluster, &testing::class(web("alone"))), None);
        testing::place(&mut cluster, pod("w1").on_node("a1"));
        let scores = testing::scores(&PodTopologySpread, &mut cluster, &class).unwrap();
        assert!(
            scores[2] > scores[1] && scores[1] > scores[0],
            "another zone, another host, the same host: {scores:?}"
        );
    }

    #[test]
    fn pods_of_a_service_spread_by_default() {
        let mut cluster = zones();
        cluster.set_service("n", "web", Some([("app".to_owned(), "web".to_owned())].into()));
        testing::place(&mut cluster, web("w1").on_node("b1"));
        let scores = testing::scores(&PodTopologySpread, &mut cluster, &testing::class(web("p"))).unwrap();
        assert!(scores[0] > scores[2], "{scores:?}");
        cluster.set_service("n", "web", None);
        assert_eq!(testing::scores(&PodTopologySpread, &mut cluster, &testing::class(web("p"))), None);
    }

    #[test]
    fn preferences_ignore_nodes_without_the_key() {
        let mut cluster = zones();
        testing::place(&mut cluster, web("w1").on_node("a1"));
        let constraints = spread("ScheduleAnyway", ZONE, json!({}));
        let class = testing::class(web("p").set("spec.topologySpreadConstraints", constraints));
        let scores = testing::scores(&PodTopologySpread, &mut cluster, &class).unwrap();
        assert_eq!(scores, [0, 0, 100, 0]);
    }
}
