//! `NodeAffinity`: node selectors and node affinity, required and preferred.

use std::collections::BTreeSet;

use crate::class::Class;
use crate::cluster::{Cluster, NodeChange, NodeIx};
use crate::event::ClusterEvent;
use crate::framework::{Candidates, Filter, NodeFilter, NodeScore, Score, Verdict, normalise_by_highest};

/// Filters and scores by what the pod says of nodes.
pub struct NodeAffinity;

/// Whether a node is what the pod's node selector and required affinity ask for.
pub fn allows(pod: &Class, cluster: &Cluster, node: NodeIx) -> bool {
    let (name, labels) = (&cluster.nodes.name[node as usize], &cluster.nodes.labels[node as usize]);
    pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && pod.required_nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
}

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    /// Where every term names its nodes, as those of DaemonSet pods do, only these are looked at.
    fn candidates(&self, pod: &Class) -> Candidates {
        let Some(terms) = pod.required_nodes.as_ref().filter(|terms| !terms.is_empty()) else {
            return Candidates::All;
        };
        let mut names = BTreeSet::new();
        for term in terms {
            let Some(only) = term.only_names() else { return Candidates::All };
            names.extend(only.into_iter().map(str::to_owned));
        }
        if names.is_empty() {
            return Candidates::None("pod affinity terms conflict".into());
        }
        Candidates::Only(names.into_iter().collect())
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeFilter + 'a>> {
        let asks = !pod.node_selector.is_empty() || pod.required_nodes.is_some();
        asks.then(|| Box::new(Prepared { pod, cluster }) as Box<dyn NodeFilter>)
    }

    fn helps(&self, event: ClusterEvent<'_>, pod: &Class, cluster: &Cluster) -> bool {
        matches!(event, ClusterEvent::Node(node, change) if change.any(NodeChange::LABELS) && allows(pod, cluster, node))
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn prepare<'a>(&'a self, pod: &'a Class, cluster: &'a Cluster) -> Option<Box<dyn NodeScore + 'a>> {
        (!pod.preferred_nodes.is_empty()).then(|| Box::new(Prepared { pod, cluster }) as Box<dyn NodeScore>)
    }
}

struct Prepared<'a> {
    pod: &'a Class,
    cluster: &'a Cluster,
}

impl NodeFilter for Prepared<'_> {
    fn filter(&self, nodes: &[NodeIx], verdicts: &mut [Verdict]) {
        for (node, verdict) in nodes.iter().zip(verdicts) {
            if !allows(self.pod, self.cluster, *node) {
                *verdict = Verdict::Unresolvable;
            }
        }
    }

    fn explain(&self, _node: NodeIx, tell: &mut dyn FnMut(&str)) {
        tell("node(s) didn't match Pod's node affinity/selector");
    }
}

impl NodeScore for Prepared<'_> {
    /// The weights of the preferences that hold.
    fn score(&self, nodes: &[NodeIx], scores: &mut [i64]) {
        let columns = &self.cluster.nodes;
        for (node, score) in nodes.iter().zip(scores) {
            let (name, labels) = (&columns.name[*node as usize], &columns.labels[*node as usize]);
            let holding = self.pod.preferred_nodes.iter().filter(|(_, term)| term.matches(name, labels));
            *score = holding.map(|(weight, _)| weight).sum();
        }
    }

    fn normalise(&self, scores: &mut [i64]) {
        normalise_by_highest(scores, false);
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    const REQUIRED: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";

    #[test]
    fn selectors_and_terms_choose_nodes() {
        let mut cluster = testing::cluster([
            Build::node("a").label("disk", "ssd").label("arch", "x"),
            Build::node("b").label("disk", "ssd"),
            Build::node("c"),
        ]);
        let disk = json!({"matchExpressions": [{"key": "disk", "operator": "Exists"}]});
        let name =
            |names: &[&str]| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]});
        let required = |terms: Value| Build::pod("n", "p").set(REQUIRED, json!({"nodeSelectorTerms": terms}));
        for (case, pod, fits) in [
            ("anything", Build::pod("n", "p"), vec!["a", "b", "c"]),
            ("selector", Build::pod("n", "p").set("spec.nodeSelector", json!({"disk": "ssd"})), vec!["a", "b"]),
            ("a term", required(json!([disk])), vec!["a", "b"]),
            ("either term", required(json!([disk, name(&["c"])])), vec!["a", "b", "c"]),
            ("a name", required(json!([name(&["c"])])), vec!["c"]),
            ("both", required(json!([disk])).set("spec.nodeSelector", json!({"arch": "x"})), vec!["a"]),
            ("no terms at all", required(json!([])), vec![]),
        ] {
            assert_eq!(testing::fitting(&NodeAffinity, &mut cluster, &testing::class(pod)), fits, "{case}");
        }
        let candidates = |terms: Value| NodeAffinity.candidates(&testing::class(required(terms)));
        assert_eq!(candidates(json!([name(&["c"])])), Candidates::Only(vec!["c".into()]));
        assert_eq!(candidates(json!([name(&["c"]), disk])), Candidates::All);
        let conflict = json!([{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["a"]},
            {"key": "metadata.name", "operator": "In", "values": ["b"]}]}]);
        assert_eq!(candidates(conflict), Candidates::None("pod affinity terms conflict".into()));
    }

    #[test]
    fn preferences_add_up() {
        let mut cluster = testing::cluster([
            Build::node("a").label("x", "1").label("y", "1"),
            Build::node("b").label("x", "1"),
            Build::node("c"),
        ]);
        let prefer = |key: &str, weight: i64| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
        let pod = Build::pod("n", "p").set(
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution",
            json!([prefer("x", 20), prefer("y", 60)]),
        );
        assert_eq!(testing::scores(&NodeAffinity, &mut cluster, &testing::class(pod)), Some(vec![100, 25, 0]));
    }
}
