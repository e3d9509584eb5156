//! A class: all that scheduling reads in a pod, shared by every pod that says the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::LabelSelector;

use crate::node_selector::NodeTerm;

/// What identical pods have in common. Two pods of one class fit the same nodes and rate them alike, so filter verdicts
/// and scores are kept per class, and counts of placed pods too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Class {
    pub namespace: Arc<str>,
    pub labels: BTreeMap<String, String>,
    /// The uid of the ReplicaSet, ReplicationController or StatefulSet that controls the pod.
    pub owner_uid: Option<Arc<str>>,
    pub priority: i32,
    /// `preemptionPolicy: Never`.
    pub never_preempts: bool,
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: one of the terms must match. `None` requires nothing.
    pub required_nodes: Option<Vec<NodeTerm>>,
    /// Preferred node affinity, by weight.
    pub preferred_nodes: Vec<(i64, NodeTerm)>,
    pub tolerations: Vec<Toleration>,
    pub requests: Requests,
    /// CPU and memory as scores see them: a container that requests none counts with upstream's defaults.
    pub scored: [i64; 2],
    pub host_ports: Vec<HostPort>,
    /// Normalised names, one for each container and init container.
    pub images: Vec<String>,
    pub affinity: Vec<AffinityTerm>,
    pub anti_affinity: Vec<AffinityTerm>,
    /// Preferred affinity with positive weights, preferred anti-affinity with negative ones.
    pub preferred_pods: Vec<(i64, AffinityTerm)>,
    pub spread: Vec<Spread>,
}

impl Class {
    /// Whether placing such a pod changes where others may go, beyond the room it takes.
    pub fn has_pod_terms(&self) -> bool {
        !self.affinity.is_empty() || !self.anti_affinity.is_empty() || !self.preferred_pods.is_empty()
    }

    /// All terms about other pods, required and preferred.
    pub fn pod_terms(&self) -> impl Iterator<Item = &AffinityTerm> {
        let preferred = self.preferred_pods.iter().map(|(_, term)| term);
        self.affinity.iter().chain(&self.anti_affinity).chain(preferred)
    }

    /// Whether any of its tolerations covers a taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    }

    /// No container requests CPU or memory.
    pub fn is_best_effort(&self) -> bool {
        self.requests.cpu == 0 && self.requests.memory == 0
    }
}

/// What a pod takes from its node: milli-CPUs, bytes, and whole units of anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    pub cpu: i64,
    pub memory: i64,
    pub storage: i64,
    pub other: BTreeMap<String, i64>,
}

/// A port of the node that the pod takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Empty is every address.
    pub ip: String,
    pub protocol: String,
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip.is_empty() || other.ip.is_empty())
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    /// By its name in the API.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

/// A taint of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

/// A toleration of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// Empty with `exists` tolerates every key.
    pub key: String,
    pub exists: bool,
    pub value: String,
    /// `None` is every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it covers a taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.exists || (!self.key.is_empty() && self.value == taint.value))
    }
}

/// Namespaces that a term looks in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespaces {
    All,
    Named(Vec<Arc<str>>),
    /// Those named, and those whose labels match.
    Selected(Vec<Arc<str>>, LabelSelector),
}

/// Which pods are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Labelled(LabelSelector),
    /// Pods that this uid controls.
    OwnedBy(Arc<str>),
    Nobody,
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodTerm {
    pub namespaces: Namespaces,
    pub who: Who,
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AffinityTerm {
    pub pods: PodTerm,
    pub topology_key: String,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    pub topology_key: String,
    pub max_skew: i64,
    /// `DoNotSchedule`; otherwise it only lowers scores.
    pub required: bool,
    pub min_domains: i64,
    pub pods: PodTerm,
    /// Count only nodes that the pod's node selector and affinity allow.
    pub honours_affinity: bool,
    /// Count only nodes whose taints the pod tolerates.
    pub honours_taints: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: &str, exists: bool, value: &str, effect: Option<Effect>) -> Toleration {
        Toleration { key: key.into(), exists, value: value.into(), effect }
    }

    #[test]
    fn tolerations_match_taints() {
        let taint = Taint { key: "k".into(), value: "v".into(), effect: Effect::NoSchedule };
        for (case, toleration, tolerated) in [
            ("equal", toleration("k", false, "v", Some(Effect::NoSchedule)), true),
            ("another value", toleration("k", false, "w", Some(Effect::NoSchedule)), false),
            ("another key", toleration("l", false, "v", None), false),
            ("every effect", toleration("k", false, "v", None), true),
            ("another effect", toleration("k", false, "v", Some(Effect::NoExecute)), false),
            ("the key exists", toleration("k", true, "", None), true),
            ("everything", toleration("", true, "", None), true),
            ("no key and no operator", toleration("", false, "v", None), false),
        ] {
            assert_eq!(toleration.tolerates(&taint), tolerated, "{case}");
        }
    }

    #[test]
    fn host_ports_conflict_by_address() {
        let port = |ip: &str, protocol: &str, port| HostPort { ip: ip.into(), protocol: protocol.into(), port };
        for (case, other, conflicts) in [
            ("same", port("", "TCP", 80), true),
            ("an address beside all", port("10.0.0.1", "TCP", 80), true),
            ("another protocol", port("", "UDP", 80), false),
            ("another port", port("", "TCP", 81), false),
        ] {
            assert_eq!(port("", "TCP", 80).conflicts(&other), conflicts, "{case}");
        }
        assert!(!port("10.0.0.1", "TCP", 80).conflicts(&port("10.0.0.2", "TCP", 80)));
    }
}
