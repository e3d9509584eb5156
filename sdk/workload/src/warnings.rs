//! What is legal in a pod spec and still worth telling its author.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{
    Container, ContainerPort, PodAffinityTerm, PodSpec, PodTemplateSpec, WeightedPodAffinityTerm,
};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{Quantity, names};

use crate::validate::volume::sources_of;

/// Labels whose names have changed, with what replaced them.
const OLD_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

/// Volume sources that have gone or will go, with upstream's words.
const OLD_SOURCES: [(&str, &str); 7] = [
    ("cephFS", "cephfs: deprecated in v1.28, non-functional in v1.31+"),
    ("gitRepo", "gitRepo: deprecated in v1.11, and disabled by default in v1.33+"),
    ("glusterfs", "glusterfs: deprecated in v1.25, non-functional in v1.26+"),
    ("photonPersistentDisk", "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+"),
    ("rbd", "rbd: deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "scaleIO: deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS: deprecated in v1.22, non-functional in v1.25+"),
];

/// Warnings about a pod template at `path`.
pub fn template_warnings(template: &PodTemplateSpec, path: &str) -> Vec<String> {
    template.spec.as_ref().map(|spec| warnings(spec, &format!("{path}.spec"))).unwrap_or_default()
}

/// Warnings about the name of a new object whose pods are called after it. Objects that were stored before, which
/// have a revision, cannot do anything about it.
pub fn name_warnings(metadata: &ObjectMeta) -> Vec<String> {
    let problems = names::dns1123_label(metadata.name.as_deref().unwrap_or_default());
    if metadata.resource_version.is_some() || problems.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is \
         recommended: [{}]",
        problems.join(" ")
    )]
}

/// Warnings about a pod spec at `path`.
pub fn warnings(spec: &PodSpec, path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (old, new) in OLD_LABELS {
        if spec.node_selector.as_ref().is_some_and(|selector| selector.contains_key(old)) {
            all.push(format!("{path}.nodeSelector[{old}]: deprecated since v1.14; use \"{new}\" instead"));
        }
    }
    spread(&mut all, spec, path);
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let before = spec.host_aliases.iter().flatten().take(i);
        if before.into_iter().any(|known| known.ip == alias.ip) {
            all.push(format!("{path}.hostAliases[{i}].ip: duplicate ip {:?}", alias.ip));
        }
    }
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        for source in sources_of(volume) {
            if let Some((_, words)) = OLD_SOURCES.iter().find(|(old, _)| *old == source) {
                all.push(format!("{path}.volumes[{i}].{words}"));
            }
        }
    }
    let mut secrets = BTreeSet::new();
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        let path = format!("{path}.imagePullSecrets[{i}].name");
        if secret.name.is_empty() {
            all.push(format!("{path}: invalid empty name {:?}", secret.name));
        } else if !secrets.insert(&secret.name) {
            all.push(format!("{path}: duplicate name {:?}", secret.name));
        }
    }
    for (list, containers) in [
        ("containers", spec.containers.as_slice()),
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
    ] {
        for (i, container) in containers.iter().enumerate() {
            of_container(&mut all, container, &format!("{path}.{list}[{i}]"));
        }
    }
    affinity(&mut all, spec, path);
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        all.push(format!(
            "{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    all
}

/// A missing selector selects nothing, which nobody means.
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

fn spread(all: &mut Vec<String>, spec: &PodSpec, path: &str) {
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let path = format!("{path}.topologySpreadConstraints[{i}]");
        if let Some((old, new)) = OLD_LABELS.iter().find(|(old, _)| *old == constraint.topology_key) {
            all.push(format!("{path}.topologyKey: {old} is deprecated since v1.17; use \"{new}\" instead"));
        }
        if constraint.label_selector.is_none() {
            all.push(format!("{path}.labelSelector: {NO_SELECTOR}"));
        }
    }
}

fn affinity(all: &mut Vec<String>, spec: &PodSpec, path: &str) {
    let Some(affinity) = &spec.affinity else { return };
    let mut check = |required: Option<&Vec<PodAffinityTerm>>,
                     preferred: Option<&Vec<WeightedPodAffinityTerm>>,
                     path: &str| {
        let required = required.into_iter().flatten().enumerate();
        let required = required.map(|(i, term)| (format!("requiredDuringSchedulingIgnoredDuringExecution[{i}]"), term));
        let preferred = preferred.into_iter().flatten().enumerate();
        let preferred = preferred.map(|(i, weighted)| {
            let field = format!("preferredDuringSchedulingIgnoredDuringExecution[{i}].podAffinityTerm");
            (field, &weighted.pod_affinity_term)
        });
        for (field, _) in required.chain(preferred).filter(|(_, term)| term.label_selector.is_none()) {
            all.push(format!("{path}.{field}.labelSelector: {NO_SELECTOR}"));
        }
    };
    if let Some(pods) = &affinity.pod_affinity {
        check(
            pods.required_during_scheduling_ignored_during_execution.as_ref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_ref(),
            &format!("{path}.affinity.podAffinity"),
        );
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        check(
            pods.required_during_scheduling_ignored_during_execution.as_ref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_ref(),
            &format!("{path}.affinity.podAntiAffinity"),
        );
    }
}

fn of_container(all: &mut Vec<String>, container: &Container, path: &str) {
    let resources = container.resources.clone().unwrap_or_default();
    for (side, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in ["memory", "ephemeral-storage"] {
            let Some(amount) = amounts.as_ref().and_then(|amounts| amounts.get(name)) else { continue };
            let amount = Quantity::of(amount);
            if !amount.is_whole() {
                all.push(format!(
                    "{path}.resources.{side}[{name}]: fractional byte value {:?} is invalid, must be an integer",
                    amount.to_string()
                ));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (n, variable) in container.env.iter().flatten().enumerate() {
        let refers_to_itself = variable.value.as_deref().is_some_and(|v| v.contains(&format!("$({})", variable.name)));
        if !seen.insert(&variable.name) && !refers_to_itself {
            all.push(format!(
                "{path}.env[{n}]: hides previous definition of {:?}, which may be dropped when using apply",
                variable.name
            ));
        }
    }
    ports(all, container.ports.as_deref().unwrap_or_default(), &format!("{path}.ports"));
}

/// Two entries for one port of one protocol; the second may be dropped when merging by key.
fn ports(all: &mut Vec<String>, ports: &[ContainerPort], path: &str) {
    for (i, port) in ports.iter().enumerate() {
        let same =
            |known: &ContainerPort| known.container_port == port.container_port && known.protocol == port.protocol;
        let Some(first) = ports[..i].iter().position(same) else { continue };
        let known = &ports[first];
        let host = |port: &ContainerPort| (port.host_port.unwrap_or(0), port.host_ip.clone().unwrap_or_default());
        if host(known) == host(port) {
            all.push(format!("{path}[{i}]: duplicate port definition with {path}[{first}]"));
        } else if known.host_port.unwrap_or(0) == port.host_port.unwrap_or(0) || host(known).0 == 0 || host(port).0 == 0
        {
            all.push(format!("{path}[{i}]: overlapping port definition with {path}[{first}]"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn worth_telling() {
        for (case, spec, expected) in [
            ("nothing", json!({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}), vec![]),
            (
                "hidden",
                json!({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]}),
                vec![
                    "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                ],
            ),
            (
                "extended",
                json!({"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}]}),
                vec![],
            ),
            (
                "negative grace",
                json!({"containers": [], "terminationGracePeriodSeconds": -5}),
                vec![
                    "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
                ],
            ),
            (
                "half a byte",
                json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "1m"}}}]}),
                vec![
                    "spec.containers[0].resources.requests[memory]: fractional byte value \"1m\" is invalid, must be an integer",
                ],
            ),
            (
                "one port twice",
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 80}]}]}),
                vec!["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
            ),
            (
                "spread over nothing",
                json!({"containers": [], "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
                vec![
                    "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
                ],
            ),
            (
                "near nothing",
                json!({"containers": [], "affinity": {"podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}}}),
                vec![
                    "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null \
                     labelSelector results in matching no pod",
                ],
            ),
            (
                "a source that is gone",
                json!({"containers": [], "volumes": [{"name": "v", "rbd": {"monitors": ["m"], "image": "i"}}]}),
                vec!["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"],
            ),
            (
                "an old label",
                json!({"containers": [], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
                vec![
                    "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                ],
            ),
        ] {
            assert_eq!(warnings(&serde_json::from_value(spec).unwrap(), "spec"), expected, "{case}");
        }
    }
}
