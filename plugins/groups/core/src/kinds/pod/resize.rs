//! The part of a pod that a resize writes: amounts of CPU and memory, of containers that run already.
//!
//! Source: KEP-1287, in-place update of pod resources; KEP-5419 for pod-level resources.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{GroupKind, Quantity, Status, Violations};
use sdk_plugin::Part;
use sdk_workload::validate::is_mirror;
use sdk_workload::{is_sidecar, qos_class};
use serde_json::Value;

use super::super::fields::text;
use super::parts::carry;
use super::validate;

const MUTABLE: &str = "only cpu and memory resources are mutable";

/// `pods/resize`.
pub struct Resize;
impl Part for Resize {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let mut found = Violations::default();
        for list in ["containers", "initContainers"] {
            let asked = new["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
            // By pointer, since indexing would write a null where there is no list.
            let known = object.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
            let known = known.map_or(&mut [][..], Vec::as_mut_slice);
            if known.len() != asked.len() {
                found.forbidden(format!("spec.{list}"), "containers may not be added or removed on resize");
                continue;
            }
            if known.iter().zip(asked).any(|(known, asked)| known["name"] != asked["name"]) {
                found.forbidden(format!("spec.{list}"), "containers may not be renamed or reordered on resize");
                continue;
            }
            for (container, asked) in known.iter_mut().zip(asked) {
                carry(container, asked, "resources");
                carry(container, asked, "resizePolicy");
            }
        }
        if !found.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::invalid(&GroupKind::of::<Pod>(), name, &found));
        }
        carry(&mut object["spec"], &new["spec"], "resources");
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        ["containers", "initContainers", "resources"].map(|field| format!("spec.{field}")).into()
    }
}

/// A resize changes amounts of CPU and memory, and not the quality-of-service class.
pub fn validate(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    let (spec, before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    if is_mirror(old.metadata.annotations.as_ref()) {
        found.forbidden("[]", "static pods cannot be resized");
        return found;
    }
    if before.os.as_ref().is_some_and(|os| os.name == "windows") {
        found.forbidden("[]", "windows pods cannot be resized");
        return found;
    }
    found.extend(validate::pod(new, true));
    let class = old.status.as_ref().and_then(|status| status.qos_class.clone());
    if class.unwrap_or_else(|| qos_class(&before).into()) != qos_class(&spec) {
        let shown = new.status.as_ref().and_then(|status| status.qos_class.clone());
        found.invalid("spec", shown.unwrap_or_default(), "Pod QOS Class may not change as a result of resizing");
    }
    let lists = |spec: &PodSpec| [spec.init_containers.clone().unwrap_or_default(), spec.containers.clone()];
    for ((list, new), old) in ["initContainers", "containers"].into_iter().zip(lists(&spec)).zip(lists(&before)) {
        for (i, (container, old)) in new.iter().zip(&old).enumerate() {
            self::container(&mut found, list, i, container, old);
        }
    }
    removed(&mut found, spec.resources.as_ref(), before.resources.as_ref(), "spec.resources");
    if fixed(spec.resources.as_ref()) != fixed(before.resources.as_ref()) {
        found.forbidden("spec", MUTABLE);
    }
    found
}

fn container(found: &mut Violations, list: &str, i: usize, new: &Container, old: &Container) {
    let same = fixed(new.resources.as_ref()) == fixed(old.resources.as_ref());
    match list {
        "initContainers" if !is_sidecar(old) => {
            if new != old {
                found.forbidden("spec", "resources for non-sidecar init containers are immutable");
            }
            return;
        }
        "initContainers" if !same => {
            found.forbidden("spec", "only cpu and memory resources for sidecar containers are mutable");
        }
        _ if !same || policies_differ(new, old) => found.forbidden("spec", MUTABLE),
        _ => {}
    }
    removed(found, new.resources.as_ref(), old.resources.as_ref(), &format!("spec.{list}[{i}].resources"));
}

/// How a container takes a resize was settled when it was made.
fn policies_differ(new: &Container, old: &Container) -> bool {
    new.resize_policy.as_deref().unwrap_or_default() != old.resize_policy.as_deref().unwrap_or_default()
}

fn removed(found: &mut Violations, new: Option<&ResourceRequirements>, old: Option<&ResourceRequirements>, path: &str) {
    let (new, old) = (new.cloned().unwrap_or_default(), old.cloned().unwrap_or_default());
    for (name, new, old) in [("requests", new.requests, old.requests), ("limits", new.limits, old.limits)] {
        let (new, old): (Amounts, Amounts) = (new.unwrap_or_default(), old.unwrap_or_default());
        if old.keys().any(|resource| !new.contains_key(resource)) {
            found.forbidden(format!("{path}.{name}"), format!("resource {name} cannot be removed"));
        }
    }
}

type Amounts = BTreeMap<String, ApiQuantity>;

/// What a resize must leave alone: all but CPU and memory, and the claims.
fn fixed(resources: Option<&ResourceRequirements>) -> (Vec<(String, Quantity)>, Vec<String>) {
    let Some(resources) = resources else { return (Vec::new(), Vec::new()) };
    let mut amounts = Vec::new();
    for (side, list) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        let other = list.iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "cpu" | "memory"));
        amounts.extend(other.map(|(name, amount)| (format!("{side}/{name}"), Quantity::of(amount))));
    }
    let claims = resources.claims.iter().flatten().map(|claim| format!("{}/{}", claim.name, text(&claim.request)));
    (amounts, claims.collect())
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Strategy;
    use serde_json::json;

    use super::super::strategy::PodStrategy;
    use super::*;

    fn pod(document: Value) -> Pod {
        let mut pod = serde_json::from_value(document).unwrap();
        PodStrategy.default(&mut pod);
        pod
    }

    #[test]
    fn a_resize_changes_amounts_alone() {
        let with = |resources: Value| json!({"containers": [{"name": "c", "image": "i", "resources": resources}]});
        let init = |policy: Value, cpu: &str| {
            json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}}],
                "containers": [{"name": "c", "image": "i"}]})
        };
        let cpu = |request: &str, limit: &str| with(json!({"requests": {"cpu": request}, "limits": {"cpu": limit}}));
        let memory = |limit: &str| with(json!({"limits": {"memory": limit}, "requests": {"memory": "1Mi"}}));
        let path = "spec.containers[0].resources";
        for (case, old, new, wrong) in [
            ("more", cpu("1", "2"), cpu("2", "3"), String::new()),
            ("less memory", memory("2Gi"), memory("1Gi"), String::new()),
            (
                "more than the limit",
                cpu("1", "2"),
                cpu("3", "2"),
                format!("{path}.requests: Invalid value: \"3\": must be less than or equal to cpu limit of 2"),
            ),
            ("another class", cpu("1", "2"), cpu("2", "2"), String::new()),
            (
                "nothing any more",
                cpu("1", "2"),
                with(json!({})),
                format!(
                    "[spec: Invalid value: \"\": Pod QOS Class may not change as a result of resizing, {path}.requests: Forbidden: \
                     resource requests cannot be removed, {path}.limits: Forbidden: resource limits cannot be removed]"
                ),
            ),
            (
                "storage too",
                cpu("1", "2"),
                with(json!({"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "2"}})),
                format!("spec: Forbidden: {MUTABLE}"),
            ),
            ("a sidecar", init(json!("Always"), "1"), init(json!("Always"), "2"), String::new()),
            (
                "an init container",
                init(Value::Null, "1"),
                init(Value::Null, "2"),
                "spec: Forbidden: resources for non-sidecar init containers are immutable".into(),
            ),
        ] {
            let mut stored = json!({"metadata": {"name": "p"}, "spec": old.clone()});
            let before = pod(stored.clone());
            Resize.write(&mut stored, &json!({"spec": new})).unwrap();
            let found = PodStrategy.validate_part("resize", &pod(stored), &before);
            assert_eq!(if found.is_empty() { String::new() } else { found.summary() }, wrong, "{case}");
        }
    }

    #[test]
    fn containers_stay_where_they_are() {
        let stored = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        for (case, containers, why) in [
            ("one less", json!([{"name": "a"}]), "containers may not be added or removed on resize"),
            ("turned", json!([{"name": "b"}, {"name": "a"}]), "containers may not be renamed or reordered on resize"),
        ] {
            let refused = Resize.write(&mut stored.clone(), &json!({"spec": {"containers": containers}})).unwrap_err();
            assert_eq!(
                (refused.code, refused.message),
                (422, format!("Pod \"p\" is invalid: spec.containers: Forbidden: {why}")),
                "{case}"
            );
        }
        let mut same = stored.clone();
        Resize.write(&mut same, &stored).unwrap();
        assert_eq!(same, stored);
    }
}
