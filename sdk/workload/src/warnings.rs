//! What is legal in a pod spec and still worth telling its author.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::names;

/// Labels whose names have changed, with what replaced them.
const OLD_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
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
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            let shown = secret.name.as_str();
            all.push(format!("{path}.imagePullSecrets[{i}].name: invalid empty name {shown:?}"));
        }
    }
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let before = spec.host_aliases.iter().flatten().take(i);
        if before.into_iter().any(|known| known.ip == alias.ip) {
            all.push(format!("{path}.hostAliases[{i}].ip: duplicate ip {:?}", alias.ip));
        }
    }
    let containers = spec.containers.iter().map(|c| ("containers", c));
    let init = spec.init_containers.iter().flatten().map(|c| ("initContainers", c));
    for (list, i, container) in numbered(containers).chain(numbered(init)) {
        let mut seen = BTreeSet::new();
        for (n, variable) in container.env.iter().flatten().enumerate() {
            let refers_to_itself =
                variable.value.as_deref().is_some_and(|v| v.contains(&format!("$({})", variable.name)));
            if !seen.insert(&variable.name) && !refers_to_itself {
                all.push(format!(
                    "{path}.{list}[{i}].env[{n}]: hides previous definition of {:?}, which may be dropped when using apply",
                    variable.name
                ));
            }
        }
    }
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        all.push(format!(
            "{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    all
}

fn numbered<'a, T: 'a>(
    items: impl Iterator<Item = (&'static str, &'a T)> + 'a,
) -> impl Iterator<Item = (&'static str, usize, &'a T)> + 'a {
    items.enumerate().map(|(i, (list, item))| (list, i, item))
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
