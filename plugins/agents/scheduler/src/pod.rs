//! Reads a pod document: its class, and what is its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::k8s_openapi::api::core::v1 as core;
use sdk_api::k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1 as metav1;
use sdk_api::selector::{Operator, Requirement};
use sdk_api::{Key, LabelSelector, Object, OwnerRef, Quantity};
use serde::{Deserialize, Deserializer};

use crate::class::{AffinityTerm, Class, Effect, HostPort, Namespaces, PodTerm, Requests, Spread, Toleration, Who};
use crate::node_selector::NodeTerm;

/// Upstream's stand-ins for what a container does not request, which only scores see.
const SCORED_CPU: &str = "100m";
const SCORED_MEMORY: &str = "200Mi";

/// One pod, as far as scheduling is concerned with it.
#[derive(Clone, Debug)]
pub struct Pod {
    pub key: Key,
    pub uid: Arc<str>,
    pub class: Class,
    pub scheduler_name: String,
    pub node: Option<Arc<str>>,
    pub nominated_node: Option<String>,
    /// It has scheduling gates and waits for their removal.
    pub gated: bool,
    pub deleting: bool,
    /// Succeeded or failed: it takes no room any more.
    pub finished: bool,
    pub generation: i64,
    pub resource_version: String,
    /// When it started, or else was created.
    pub started: Option<Timestamp>,
    pub scheduled: Option<Condition>,
}

/// The `PodScheduled` condition as the pod carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    pub last_transition_time: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub observed_generation: i64,
}

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: PodStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Metadata {
    #[serde(deserialize_with = "or_default")]
    uid: String,
    #[serde(deserialize_with = "or_default")]
    resource_version: String,
    #[serde(deserialize_with = "or_default")]
    generation: i64,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<OwnerRef>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    init_containers: Vec<Container>,
    overhead: Option<BTreeMap<String, ApiQuantity>>,
    resources: Option<ResourceRequirements>,
    #[serde(deserialize_with = "or_default")]
    node_name: String,
    #[serde(deserialize_with = "or_default")]
    node_selector: BTreeMap<String, String>,
    affinity: Option<core::Affinity>,
    #[serde(deserialize_with = "or_default")]
    tolerations: Vec<core::Toleration>,
    #[serde(deserialize_with = "or_default")]
    topology_spread_constraints: Vec<core::TopologySpreadConstraint>,
    #[serde(deserialize_with = "or_default")]
    scheduler_name: String,
    #[serde(deserialize_with = "or_default")]
    scheduling_gates: Vec<serde::de::IgnoredAny>,
    #[serde(deserialize_with = "or_default")]
    priority: i32,
    #[serde(deserialize_with = "or_default")]
    preemption_policy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Container {
    #[serde(deserialize_with = "or_default")]
    image: String,
    resources: Option<ResourceRequirements>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<Port>,
    restart_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Port {
    #[serde(rename = "hostIP", deserialize_with = "or_default")]
    host_ip: String,
    #[serde(deserialize_with = "or_default")]
    host_port: u16,
    #[serde(deserialize_with = "or_default")]
    protocol: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct PodStatus {
    #[serde(deserialize_with = "or_default")]
    phase: String,
    #[serde(deserialize_with = "or_default")]
    nominated_node_name: String,
    start_time: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
}

/// A field that is there and `null` counts as absent: clients write both.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Pod {
    /// Reads only the fields that scheduling needs, without the object's typed view, which would stay in memory.
    pub fn read(object: &Object) -> Result<Self, serde_json::Error> {
        let Document { metadata, spec, status } = serde_json::from_slice(object.raw())?;
        let named = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
        Ok(Self {
            key: object.key().clone(),
            uid: metadata.uid.as_str().into(),
            scheduler_name: if spec.scheduler_name.is_empty() {
                "default-scheduler".into()
            } else {
                spec.scheduler_name.clone()
            },
            node: named(&spec.node_name),
            nominated_node: Some(status.nominated_node_name).filter(|name| !name.is_empty()),
            gated: !spec.scheduling_gates.is_empty(),
            deleting: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            generation: metadata.generation,
            resource_version: metadata.resource_version,
            started: status.start_time.or(metadata.creation_timestamp),
            scheduled: status.conditions.into_iter().find(|condition| condition.kind == "PodScheduled"),
            class: class(object.namespace(), metadata.labels, &metadata.owner_references, spec),
        })
    }
}

fn class(namespace: &str, labels: BTreeMap<String, String>, owners: &[OwnerRef], mut spec: Spec) -> Class {
    let owner = owners.iter().find(|owner| owner.controller);
    let spreads_by_owner =
        |owner: &&OwnerRef| matches!(owner.kind.as_str(), "ReplicaSet" | "ReplicationController" | "StatefulSet");
    let affinity = spec.affinity.take().unwrap_or_default();
    let (required_nodes, preferred_nodes) = node_affinity(affinity.node_affinity);
    let pods = affinity.pod_affinity.unwrap_or_default();
    let anti = affinity.pod_anti_affinity.unwrap_or_default();
    let terms = |of: Option<Vec<core::PodAffinityTerm>>| -> Vec<AffinityTerm> {
        of.iter().flatten().map(|term| affinity_term(term, namespace, &labels)).collect()
    };
    let weighted = |of: Option<Vec<core::WeightedPodAffinityTerm>>, sign: i64| -> Vec<(i64, AffinityTerm)> {
        let term = |term: &core::WeightedPodAffinityTerm| {
            (sign * i64::from(term.weight), affinity_term(&term.pod_affinity_term, namespace, &labels))
        };
        of.iter().flatten().map(term).collect()
    };
    let mut preferred_pods = weighted(pods.preferred_during_scheduling_ignored_during_execution, 1);
    preferred_pods.extend(weighted(anti.preferred_during_scheduling_ignored_during_execution, -1));
    let spread = |constraint: &core::TopologySpreadConstraint| spread(constraint, namespace, &labels);
    let all = || spec.init_containers.iter().chain(&spec.containers);
    let images = all().filter(|c| !c.image.is_empty()).map(|c| normalised_image(&c.image)).collect();
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let running = sidecars.chain(&spec.containers);
    let host_ports = running.flat_map(|c| &c.ports).filter(|port| port.host_port > 0).map(host_port).collect();
    Class {
        namespace: namespace.into(),
        owner_uid: owner.filter(spreads_by_owner).map(|owner| owner.uid.as_str().into()),
        priority: spec.priority,
        never_preempts: spec.preemption_policy == "Never",
        required_nodes,
        preferred_nodes,
        tolerations: spec.tolerations.iter().map(toleration).collect(),
        host_ports,
        images,
        affinity: terms(pods.required_during_scheduling_ignored_during_execution),
        anti_affinity: terms(anti.required_during_scheduling_ignored_during_execution),
        preferred_pods,
        spread: spec.topology_spread_constraints.iter().map(spread).collect(),
        node_selector: std::mem::take(&mut spec.node_selector),
        labels,
        ..sums(spec)
    }
}

/// The requests, as the node counts them and as scores see them.
fn sums(spec: Spec) -> Class {
    let container = |from: Container| core::Container {
        resources: from.resources,
        restart_policy: from.restart_policy,
        ..core::Container::default()
    };
    let mut pod = PodSpec {
        containers: spec.containers.into_iter().map(container).collect(),
        init_containers: Some(spec.init_containers.into_iter().map(container).collect()),
        overhead: spec.overhead,
        resources: spec.resources,
        ..PodSpec::default()
    };
    let mut requests = Requests::default();
    for (name, amount) in sdk_workload::pod_requests(&pod) {
        match name.as_str() {
            "cpu" => requests.cpu = amount.milli(),
            "memory" => requests.memory = amount.units(),
            "ephemeral-storage" => requests.storage = amount.units(),
            _ if !amount.is_zero() => drop(requests.other.insert(name, amount.units())),
            _ => {}
        }
    }
    for container in pod.containers.iter_mut().chain(pod.init_containers.iter_mut().flatten()) {
        let own = container.resources.get_or_insert_default().requests.get_or_insert_default();
        for (name, default) in [("cpu", SCORED_CPU), ("memory", SCORED_MEMORY)] {
            own.entry(name.into()).or_insert_with(|| ApiQuantity(default.into()));
        }
    }
    let scored = sdk_workload::pod_requests(&pod);
    let of = |name: &str| scored.get(name).copied().unwrap_or(Quantity::ZERO);
    Class { requests, scored: [of("cpu").milli(), of("memory").units()], ..Class::default() }
}

fn node_affinity(affinity: Option<core::NodeAffinity>) -> (Option<Vec<NodeTerm>>, Vec<(i64, NodeTerm)>) {
    let Some(affinity) = affinity else { return (None, Vec::new()) };
    let required = affinity.required_during_scheduling_ignored_during_execution;
    let required = required.map(|selector| selector.node_selector_terms.iter().map(NodeTerm::of).collect());
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution;
    let preferred = preferred.iter().flatten().map(|term| (i64::from(term.weight), NodeTerm::of(&term.preference)));
    (required, preferred.collect())
}

/// A selector of labels; an absent one selects nobody.
fn who(selector: Option<&metav1::LabelSelector>, more: Vec<Requirement>) -> Who {
    match selector.map(LabelSelector::from_typed) {
        Some(Ok(mut selector)) => {
            for requirement in more {
                if !selector.0.contains(&requirement) {
                    selector.0.push(requirement);
                }
            }
            Who::Labelled(selector)
        }
        _ => Who::Nobody,
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys`: the pod's own values as requirements. Source: KEP-3633.
fn own_values(keys: Option<&Vec<String>>, operator: Operator, labels: &BTreeMap<String, String>) -> Vec<Requirement> {
    let own = |key: &String| {
        labels.get(key).map(|value| Requirement { key: key.clone(), operator, values: vec![value.clone()] })
    };
    keys.into_iter().flatten().filter_map(own).collect()
}

fn affinity_term(term: &core::PodAffinityTerm, namespace: &str, labels: &BTreeMap<String, String>) -> AffinityTerm {
    let mut more = own_values(term.match_label_keys.as_ref(), Operator::In, labels);
    more.extend(own_values(term.mismatch_label_keys.as_ref(), Operator::NotIn, labels));
    let named: Vec<Arc<str>> = term.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
    let selector = term.namespace_selector.as_ref().map(LabelSelector::from_typed);
    let namespaces = match selector {
        Some(Ok(selector)) if selector.is_everything() => Namespaces::All,
        Some(Ok(selector)) => Namespaces::Selected(named, selector),
        _ if named.is_empty() => Namespaces::Named(vec![namespace.into()]),
        _ => Namespaces::Named(named),
    };
    AffinityTerm {
        pods: PodTerm { namespaces, who: who(term.label_selector.as_ref(), more) },
        topology_key: term.topology_key.clone(),
    }
}

fn spread(constraint: &core::TopologySpreadConstraint, namespace: &str, labels: &BTreeMap<String, String>) -> Spread {
    let more = own_values(constraint.match_label_keys.as_ref(), Operator::In, labels);
    Spread {
        topology_key: constraint.topology_key.clone(),
        max_skew: i64::from(constraint.max_skew),
        required: constraint.when_unsatisfiable == "DoNotSchedule",
        min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
        pods: PodTerm {
            namespaces: Namespaces::Named(vec![namespace.into()]),
            who: who(constraint.label_selector.as_ref(), more),
        },
        honours_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honours_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

fn toleration(toleration: &core::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.clone().unwrap_or_default(),
        exists: toleration.operator.as_deref() == Some("Exists"),
        value: toleration.value.clone().unwrap_or_default(),
        effect: toleration.effect.as_deref().and_then(Effect::parse),
    }
}

fn host_port(port: &Port) -> HostPort {
    HostPort {
        ip: if port.host_ip == "0.0.0.0" { String::new() } else { port.host_ip.clone() },
        protocol: if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() },
        port: port.host_port,
    }
}

/// With the tag that is meant when none is written.
pub fn normalised_image(name: &str) -> String {
    if name.rfind(':') <= name.rfind('/') { format!("{name}:latest") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_into_its_class() {
        let owner = Build::replica_set("n", "web", 1);
        let object = Build::pod("n", "web-1")
            .label("app", "web")
            .controlled_by(&owner)
            .set("spec.priority", json!(7))
            .set("spec.schedulingGates", json!([{"name": "wait"}]))
            .set(
                "spec.containers",
                json!([
                {"name": "a", "image": "nginx", "resources": {"requests": {"cpu": "250m", "example.com/gpu": "2"}},
                 "ports": [{"containerPort": 80, "hostPort": 8080}]},
                {"name": "b", "image": "reg:5000/x:1"}]),
            )
            .set(
                "spec.topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}},
                "matchLabelKeys": ["app"]}]),
            )
            .object();
        let pod = Pod::read(&object).unwrap();
        let class = &pod.class;
        assert!(pod.gated && !pod.finished && pod.node.is_none());
        assert_eq!(pod.scheduler_name, "default-scheduler");
        assert_eq!((class.owner_uid.as_deref(), class.priority), (Some("uid-web"), 7));
        assert_eq!((class.requests.cpu, class.requests.memory, class.requests.other["example.com/gpu"]), (250, 0, 2));
        assert_eq!(class.scored, [350, 2 * 200 * 1024 * 1024]);
        assert_eq!(class.images, ["nginx:latest", "reg:5000/x:1"]);
        assert_eq!(class.host_ports, [HostPort { ip: "".into(), protocol: "TCP".into(), port: 8080 }]);
        let Who::Labelled(selector) = &class.spread[0].pods.who else { panic!("a selector") };
        assert_eq!(selector.0.len(), 1, "the same requirement is not added twice");
    }

    #[test]
    fn nothing_written_is_nothing_said() {
        let bare = Build::new("v1", "Pod", "n", "p").set("spec", json!({"containers": [{"name": "c"}]}));
        let nulls = bare.clone().set("status", json!(null)).set("metadata.labels", json!(null)).set(
            "spec",
            json!({"containers": [{"name": "c", "image": null, "ports": null, "resources": null}], "tolerations": null,
                "initContainers": null, "nodeName": null, "affinity": null, "priority": null, "overhead": null}),
        );
        let read = |build: Build| Pod::read(&build.object()).unwrap();
        assert_eq!(read(nulls.clone()).class, read(bare).class);
        assert_eq!(read(nulls).scheduler_name, "default-scheduler");
    }

    #[test]
    fn identical_pods_are_one_class() {
        let pod = |name: &str| Build::pod("n", name).label("app", "web");
        let read = |build: Build| Pod::read(&build.object()).unwrap().class;
        assert_eq!(read(pod("a")), read(pod("b").on_node("node-1").ready(true)));
        assert_ne!(read(pod("a")), read(pod("a").label("tier", "x")));
    }
}
