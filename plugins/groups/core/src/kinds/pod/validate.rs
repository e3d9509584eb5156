//! What is wrong with a pod, whatever was done to it: its spec, and the annotations that mean something.

use std::collections::BTreeMap;

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_workload::validate::{annotations_match, pod_annotations};
use sdk_workload::{Options, validate_spec};

use super::super::fields::text;

/// The annotations of a pod; none is an empty map.
pub fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    pod.metadata.annotations.as_ref().unwrap_or(&NONE)
}

/// Checks a pod by itself; `stored` if it, or most of it, was accepted before.
pub fn pod(pod: &Pod, stored: bool) -> Violations {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut found = pod_annotations(annotations(pod), &spec, "metadata.annotations");
    found.extend(validate_spec(&spec, "spec", Options { pod: Some(text(&pod.metadata.name)), stored }));
    if text(&spec.service_account_name).is_empty() {
        for (v, volume) in spec.volumes.iter().flatten().enumerate() {
            let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
            for (s, _) in sources.enumerate().filter(|(_, source)| source.service_account_token.is_some()) {
                let path = format!("spec.volumes[{v}].projected.sources[{s}].serviceAccountToken");
                found.forbidden(path, "must not be specified when serviceAccountName is not set");
            }
        }
    }
    found
}

/// Checks a pod that is to be created.
pub fn creation(new: &Pod) -> Violations {
    let mut found = pod(new, false);
    let spec = new.spec.clone().unwrap_or_default();
    if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        found.forbidden("spec.ephemeralContainers", "cannot be set on create");
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) && !text(&spec.node_name).is_empty() {
        found.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
    }
    found.extend(annotations_match(annotations(new), &spec, "spec"));
    found
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Strategy;
    use serde_json::{Value, json};

    use super::super::strategy::PodStrategy;
    use super::*;

    #[test]
    fn what_pods_alone_must_hold() {
        let container = json!([{"name": "c", "image": "i"}]);
        let token = json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]);
        let ephemeral = json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}}]);
        let rows: Vec<(&str, Value, Value, &str)> = vec![
            ("good", json!({}), json!({}), ""),
            (
                "debugged from the start",
                json!({}),
                json!({"ephemeralContainers": [{"name": "d", "image": "i"}]}),
                "spec.ephemeralContainers: Forbidden: cannot be set on create",
            ),
            (
                "a token of nobody",
                json!({}),
                json!({"volumes": token}),
                "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when \
                 serviceAccountName is not set",
            ),
            ("a token", json!({}), json!({"serviceAccountName": "a", "volumes": token}), ""),
            (
                "a claim that the pod itself makes",
                json!({}),
                json!({"volumes": ephemeral}),
                "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that gets \
                 created for an ephemeral volume",
            ),
            (
                "a host port other than its own",
                json!({}),
                json!({"hostNetwork": true,
                    "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]}),
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
            ),
            (
                "two profiles",
                json!({"container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}),
                json!({"containers": [{"name": "c", "image": "i", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}]}),
                "spec.containers[0].securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field \
                 must match",
            ),
        ];
        for (case, annotations, change, wrong) in rows {
            let mut document =
                json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": container}});
            for (field, value) in change.as_object().unwrap() {
                document["spec"][field] = value.clone();
            }
            let mut pod: Pod = serde_json::from_value(document).unwrap();
            PodStrategy.default(&mut pod);
            let found = creation(&pod);
            assert_eq!(if found.is_empty() { String::new() } else { found.summary() }, wrong, "{case}");
        }
    }
}
