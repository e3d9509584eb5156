//! `InterPodAffinity`: near some pods and away from others, required and preferred, both ways round.
//!
//! Source: Kubernetes documentation, "Inter-pod affinity and anti-affinity". Counts by node are kept by the cluster; here
//! they are only summed by domain.

use std::collections::HashMap;

use crate::class::{AffinityTerm, Class};
use crate::cluster::{Cluster, NO_DOMAIN, NodeChange, NodeIx, Tally, Topology};
use crate::event::ClusterEvent;
use crate::framework::{Filter, NodeFilter, NodeScore, Scope, Score, Verdict, percent};

/// What a required affinity of a placed pod to the new one adds to a score.
const REQUIRED_WEIGHT: i64 = 1;

/// Filters and scores by the pods that are near.
pub struct InterPodAffinity;

/// One amount for each domain of a topology key.
struct Domains<'a> {
    topology: &'a Topology,
    amounts: Vec<i64>,
}

impl<'a> Domains<'a> {
    fn of(topology: &'a Topology) -> Self {
        Self { topology, amounts: vec![0; topology.size()] }
    }

    /// `None` where the node has no such key.
    fn at(&self, node: NodeIx) -> Option<i64> {
        let domain = *self.topology.of.get(node as usize)?;
        (domain != NO_DOMAIN).then(|| self.amounts[domain as usize])
    }

    fn add(&mut self, node: NodeIx, amount: i64) {
        if let Some(domain) = self.topology.of.get(node as usize).filter(|domain| **domain != NO_DOMAIN) {
            self.amounts[*domain as usize] += amount;
        }
    }

    fn add_tallies(&mut self, tallies: &[Tally], weight: i64) {
        for (node, tally) in tallies.iter().enumerate().filter(|(_, tally)| tally.all > 0) {
            self.add(node as NodeIx, weight * i64::from(tally.all));
        }
    }
}

/// The tally of pods that match all the terms, by node.
fn tallies<'a>(cluster: &'a Cluster, terms: &[AffinityTerm]) -> &'a [Tally] {
    let query = terms.iter().map(|term| term.pods.clone()).collect();
    cluster.counters.get(&query).map_or(&[], |counter| &counter.on)
}

/// The domains of a term in which pods match; `None` where no node has the key.
fn near<'a>(cluster: &'a Cluster, term: &AffinityTerm, tallies: &[Tally]) -> Option<Domains<'a>> {
    let mut domains = Domains::of(cluster.topologies.get(&term.topology_key)?);
    domains.add_tallies(tallies, 1);
    Some(domains)
}

impl Filter for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        let together = tallies(cluster, &pod.affinity);
        let affinity: Vec<_> = pod.affinity.iter().map(|term| near(cluster, term, together)).collect();
        // The first of a group that wants to be near itself has to start somewhere.
        let nobody = affinity.iter().flatten().all(|domains| domains.amounts.iter().all(|amount| *amount == 0));
        let first = nobody && pod.affinity.iter().all(|term| cluster.counters.matches(&term.pods, pod));
        let away = |term: &AffinityTerm| near(cluster, term, tallies(cluster, std::slice::from_ref(term)));
        let anti = pod.anti_affinity.iter().filter_map(away).collect::<Vec<_>>();
        let mut unwelcome: HashMap<&str, Domains<'_>> = HashMap::new();
        for (terms, placed) in cluster.counters.with_terms() {
            for term in terms.anti_affinity.iter().filter(|term| cluster.counters.matches(&term.pods, pod)) {
                let Some(topology) = cluster.topologies.get(&term.topology_key) else { continue };
                let domains = unwelcome.entry(&term.topology_key).or_insert_with(|| Domains::of(topology));
                for node in placed.keys() {
                    domains.add(*node, 1);
                }
            }
        }
        if affinity.is_empty() && anti.is_empty() && unwelcome.is_empty() {
            return None;
        }
        Some(Box::new(Required { affinity, first, anti, unwelcome: unwelcome.into_values().collect() }))
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        let matches = |terms: &[AffinityTerm], other: &Class| {
            terms.iter().any(|term| cluster.counters.matches(&term.pods, other))
        };
        match event {
            ClusterEvent::Node(_, change) => change.any(NodeChange::LABELS),
            ClusterEvent::NodeRemoved | ClusterEvent::PodLeaving(_) => false,
            ClusterEvent::PodPlaced(other) => matches(&pod.affinity, other),
            ClusterEvent::PodRemoved(other) => {
                matches(&pod.anti_affinity, other) || matches(&other.anti_affinity, pod)
                    // The last of a group is gone: another may be its first again.
                    || matches(&pod.affinity, other)
            }
            ClusterEvent::Namespace => true,
        }
    }
}

struct Required<'a> {
    /// For each term the domains with matching pods.
    affinity: Vec<Option<Domains<'a>>>,
    first: bool,
    anti: Vec<Domains<'a>>,
    /// Domains of placed pods that want none like this one near them.
    unwelcome: Vec<Domains<'a>>,
}

impl Required<'_> {
    fn check(&self, node: NodeIx) -> (Verdict, &'static str) {
        let near = |domains: &Option<Domains<'_>>| {
            domains.as_ref().and_then(|domains| domains.at(node)).is_some_and(|amount| amount > 0 || self.first)
        };
        let taken = |domains: &Domains<'_>| domains.at(node).is_some_and(|amount| amount > 0);
        if !self.affinity.iter().all(near) {
            (Verdict::Unresolvable, "node(s) didn't match pod affinity rules")
        } else if self.anti.iter().any(taken) {
            (Verdict::Rejected, "node(s) didn't match pod anti-affinity rules")
        } else if self.unwelcome.iter().any(taken) {
            (Verdict::Rejected, "node(s) didn't satisfy existing pods anti-affinity rules")
        } else {
            (Verdict::Fits, "")
        }
    }
}

impl NodeFilter for Required<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts) {
            *verdict = self.check(*node).0;
        }
    }

    fn explain(&self, node: NodeIx, tell: &mut dyn FnMut(&str)) {
        tell(self.check(node).1);
    }
}

impl Score for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        let mut by_key: HashMap<&str, Domains<'_>> = HashMap::new();
        for (weight, term) in &pod.preferred_pods {
            let Some(topology) = cluster.topologies.get(&term.topology_key) else { continue };
            let domains = by_key.entry(&term.topology_key).or_insert_with(|| Domains::of(topology));
            domains.add_tallies(tallies(cluster, std::slice::from_ref(term)), *weight);
        }
        for (terms, placed) in cluster.counters.with_terms() {
            let required = terms.affinity.iter().map(|term| (REQUIRED_WEIGHT, term));
            let preferred = terms.preferred.iter().map(|(weight, term)| (*weight, term));
            for (weight, term) in required.chain(preferred) {
                if !cluster.counters.matches(&term.pods, pod) {
                    continue;
                }
                let Some(topology) = cluster.topologies.get(&term.topology_key) else { continue };
                let domains = by_key.entry(&term.topology_key).or_insert_with(|| Domains::of(topology));
                for (node, tally) in placed {
                    domains.add(*node, weight * i64::from(tally.all));
                }
            }
        }
        (!by_key.is_empty()).then(|| Box::new(Preferred(by_key.into_values().collect())) as Box<dyn NodeScore>)
    }
}

struct Preferred<'a>(Vec<Domains<'a>>);

impl NodeScore for Preferred<'_> {
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        for (node, score) in nodes.iter().zip(scores) {
            *score = self.0.iter().filter_map(|domains| domains.at(*node)).sum();
        }
    }

    fn normalise(&self, scores: &mut [i64]) {
        let (Some(least), Some(most)) = (scores.iter().copied().min(), scores.iter().copied().max()) else { return };
        for score in scores {
            *score = if most == least { 0 } else { percent(*score - least, most - least) };
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;
    use crate::cluster::{HOSTNAME, ZONE};

    fn zones() -> Cluster {
        let node = |name: &str, zone: &str| Build::node(name).label(ZONE, zone);
        testing::cluster([node("a1", "a"), node("a2", "a"), node("b1", "b")])
    }

    fn pod(name: &str, app: &str) -> Build {
        Build::pod("n", name).label("app", app)
    }

    fn term(key: &str, app: &str) -> Value {
        json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
    }

    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

    fn with(pod: Build, side: &str, when: &str, terms: Value) -> Build {
        pod.set_at(&["spec", "affinity", side, when], terms)
    }

    #[test]
    fn required_terms_keep_near_and_away() {
        let near = |key: &str, app: &str| with(pod("p", "web"), "podAffinity", REQUIRED, json!([term(key, app)]));
        let away = |key: &str, app: &str| with(pod("p", "web"), "podAntiAffinity", REQUIRED, json!([term(key, app)]));
        let both = json!([term(ZONE, "db"), term(ZONE, "cache")]);
        for (case, placed, pod, fits) in [
            ("near a pod's zone", vec![("db", "a1")], near(ZONE, "db"), vec!["a1", "a2"]),
            ("near a pod's host", vec![("db", "a1")], near(HOSTNAME, "db"), vec!["a1"]),
            ("near nobody", vec![], near(ZONE, "db"), vec![]),
            ("the first of its group", vec![], near(ZONE, "web"), vec!["a1", "a2", "b1"]),
            ("the second of its group", vec![("web", "b1")], near(ZONE, "web"), vec!["b1"]),
            ("away from a zone", vec![("db", "a1")], away(ZONE, "db"), vec!["b1"]),
            ("away from a host", vec![("db", "a1")], away(HOSTNAME, "db"), vec!["a2", "b1"]),
            ("away from other pods", vec![("other", "a1")], away(ZONE, "db"), vec!["a1", "a2", "b1"]),
            (
                "one pod must match all terms",
                vec![("db", "a1"), ("cache", "a1")],
                with(pod("p", "web"), "podAffinity", REQUIRED, both),
                vec![],
            ),
        ] {
            let mut cluster = zones();
            for (n, (app, node)) in placed.into_iter().enumerate() {
                testing::place(&mut cluster, self::pod(&format!("w{n}"), app).on_node(node));
            }
            assert_eq!(testing::fitting(&InterPodAffinity, &mut cluster, &testing::class(pod)), fits, "{case}");
        }
    }

    #[test]
    fn placed_pods_keep_others_away() {
        let mut cluster = zones();
        let lonely = with(pod("lonely", "db"), "podAntiAffinity", REQUIRED, json!([term(ZONE, "web")]));
        testing::place(&mut cluster, lonely.clone().on_node("a1"));
        let web = testing::class(pod("p", "web"));
        let rejected = testing::rejected(&InterPodAffinity, &mut cluster, &web);
        let why = "node(s) didn't satisfy existing pods anti-affinity rules".to_owned();
        assert_eq!(rejected["a2"], (Verdict::Rejected, vec![why]));
        assert!(!rejected.contains_key("b1"));
        assert!(testing::fitting(&InterPodAffinity, &mut cluster, &testing::class(pod("q", "db"))).len() == 3);
        let gone = testing::class(lonely);
        assert!(InterPodAffinity.helps(ClusterEvent::PodRemoved(&gone), &web, &cluster));
    }

    #[test]
    fn namespaces_bound_terms() {
        let mut cluster = zones();
        testing::place(&mut cluster, Build::pod("other", "w").label("app", "db").on_node("a1"));
        let near = |more: Value| {
            let mut term = term(HOSTNAME, "db");
            for (name, value) in more.as_object().unwrap() {
                term[name] = value.clone();
            }
            testing::class(with(pod("p", "web"), "podAffinity", REQUIRED, json!([term])))
        };
        for (case, more, fits) in [
            ("its own", json!({}), vec![]),
            ("named", json!({"namespaces": ["other"]}), vec!["a1"]),
            ("all", json!({"namespaceSelector": {}}), vec!["a1"]),
            ("by label", json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), vec!["a1"]),
            ("by another label", json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}), vec![]),
        ] {
            cluster.counters.set_namespace("other", Some([("team".to_owned(), "x".to_owned())].into()));
            assert_eq!(testing::fitting(&InterPodAffinity, &mut cluster, &near(more)), fits, "{case}");
        }
    }

    #[test]
    fn preferences_of_both_sides_score() {
        let mut cluster = zones();
        let weighted = |side: &'static str, weight: i64, app: &str| {
            let terms = json!([{"weight": weight, "podAffinityTerm": term(ZONE, app)}]);
            move |pod: Build| with(pod, side, PREFERRED, terms.clone())
        };
        testing::place(&mut cluster, pod("db", "db").on_node("b1"));
        let wants = testing::class(weighted("podAffinity", 10, "db")(pod("p", "web")));
        assert_eq!(testing::scores(&InterPodAffinity, &mut cluster, &wants), Some(vec![0, 0, 100]));
        let shuns = testing::class(weighted("podAntiAffinity", 10, "db")(pod("p", "web")));
        assert_eq!(testing::scores(&InterPodAffinity, &mut cluster, &shuns), Some(vec![100, 100, 0]));
        let plain = testing::class(pod("p", "web"));
        assert_eq!(testing::scores(&InterPodAffinity, &mut cluster, &plain), None);
        testing::place(&mut cluster, weighted("podAffinity", 5, "web")(pod("fond", "x")).on_node("a1"));
        assert_eq!(testing::scores(&InterPodAffinity, &mut cluster, &plain), Some(vec![100, 100, 0]));
    }
}
