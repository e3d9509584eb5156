//! The parts of a pod that are written on their own: debugging containers and resources.

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use sdk_api::{Status, Violations};
use sdk_plugin::Part;
use sdk_workload::{Options, qos_class, validate_spec};
use serde_json::Value;

fn carry(target: &mut Value, source: &Value, field: &str) {
    match source.get(field) {
        Some(value) => target[field] = value.clone(),
        None => drop(target.as_object_mut().and_then(|fields| fields.remove(field))),
    }
}

/// Source: KEP-277, ephemeral containers.
pub struct EphemeralContainers;
impl Part for EphemeralContainers {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        carry(&mut object["spec"], &new["spec"], "ephemeralContainers");
        Ok(())
    }
}

/// Debugging containers are added, never changed or taken away.
pub fn validate_ephemeral(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    let spec = new.spec.clone().unwrap_or_default();
    let path = "spec.ephemeralContainers";
    for known in old.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten()) {
        match spec.ephemeral_containers.iter().flatten().find(|container| container.name == known.name) {
            None => {
                let why = format!("existing ephemeral containers {:?} may not be removed\n", known.name);
                found.forbidden(path, why);
            }
            Some(container) if container != known => {
                let why = format!("existing ephemeral containers {:?} may not be changed\n", known.name);
                found.forbidden(path, why);
            }
            Some(_) => {}
        }
    }
    found.extend(validate_spec(&spec, "spec", Options { label_values_unchecked: true }));
    found
}

/// Source: KEP-1287, in-place update of pod resources.
pub struct Resize;
impl Part for Resize {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        for list in ["containers", "initContainers"] {
            // By pointer, since indexing would write a null where there is no list.
            let Some(containers) = object.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut) else {
                continue;
            };
            for container in containers {
                let name = container["name"].clone();
                let asked = new["spec"][list].as_array().into_iter().flatten().find(|asked| asked["name"] == name);
                let Some(asked) = asked else {
                    let why = format!("container {name} is missing in spec.{list}");
                    return Err(Status::bad_request(why));
                };
                carry(container, asked, "resources");
                carry(container, asked, "resizePolicy");
            }
        }
        carry(&mut object["spec"], &new["spec"], "resources");
        Ok(())
    }
}

fn is_resizable(name: &str) -> bool {
    matches!(name, "cpu" | "memory")
}

fn check_resources(
    found: &mut Violations,
    new: Option<&ResourceRequirements>,
    old: Option<&ResourceRequirements>,
    path: &str,
) {
    let (new, old) = (new.cloned().unwrap_or_default(), old.cloned().unwrap_or_default());
    if new.claims != old.claims {
        found.forbidden(format!("{path}.claims"), "only cpu and memory resources are mutable");
    }
    for (side, after, before) in [("limits", new.limits, old.limits), ("requests", new.requests, old.requests)] {
        let (after, before) = (after.unwrap_or_default(), before.unwrap_or_default());
        let fixed = |amounts: &std::collections::BTreeMap<String, _>| {
            let mut fixed: std::collections::BTreeMap<
                String,
                sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity,
            > = amounts.clone();
            fixed.retain(|name, _| !is_resizable(name));
            fixed
        };
        if fixed(&after) != fixed(&before) {
            found.forbidden(format!("{path}.{side}"), "only cpu and memory resources are mutable");
        }
        if before.keys().any(|name| is_resizable(name) && !after.contains_key(name)) {
            let what = if side == "limits" {
                "resource limits cannot be removed"
            } else {
                "resource requests cannot be removed"
            };
            found.forbidden(format!("{path}.{side}"), what);
        }
    }
}

/// A resize changes amounts of CPU and memory, and not the quality-of-service class.
pub fn validate_resize(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    let (spec, before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    if qos_class(&spec) != qos_class(&before) {
        let why = "Pod QOS Class may not change as a result of resizing";
        found.invalid("spec", qos_class(&spec), why);
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        found.forbidden("spec", "windows pods cannot be resized");
    }
    let mut each = |list: &str, after: &[Container], before: &[Container]| {
        for (i, (container, old)) in after.iter().zip(before).enumerate() {
            let path = format!("spec.{list}[{i}].resources");
            if list == "initContainers" && !sdk_workload::is_sidecar(container) && container.resources != old.resources
            {
                found.forbidden(path, "resources for non-sidecar init containers are immutable");
                continue;
            }
            check_resources(&mut found, container.resources.as_ref(), old.resources.as_ref(), &path);
        }
    };
    each("containers", &spec.containers, &before.containers);
    let (init, init_before) = (spec.init_containers.clone(), before.init_containers.clone());
    each("initContainers", &init.unwrap_or_default(), &init_before.unwrap_or_default());
    if found.is_empty() {
        found.extend(validate_spec(&spec, "spec", Options { label_values_unchecked: true }));
    }
    found
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Strategy;
    use serde_json::json;

    use super::super::strategy::PodStrategy;
    use super::*;

    fn pod(spec: Value) -> Pod {
        let mut pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        PodStrategy.default(&mut pod);
        pod
    }

    #[test]
    fn debugging_containers_only_come() {
        let with =
            |debug: Value| pod(json!({"containers": [{"name": "c", "image": "i"}], "ephemeralContainers": debug}));
        let one = json!({"name": "d", "image": "i"});
        for (case, old, new, wrong) in [
            ("one more", json!([]), json!([one]), vec![]),
            ("one less", json!([one]), json!([]), vec!["spec.ephemeralContainers"]),
            ("another image", json!([one]), json!([{"name": "d", "image": "j"}]), vec!["spec.ephemeralContainers"]),
            (
                "a name that is taken",
                json!([]),
                json!([{"name": "c", "image": "i"}]),
                vec!["spec.ephemeralContainers[0].name"],
            ),
            (
                "with ports",
                json!([]),
                json!([{"name": "d", "image": "i", "ports": [{"containerPort": 80}]}]),
                vec!["spec.ephemeralContainers[0].ports"],
            ),
        ] {
            let found = PodStrategy.validate_part("ephemeralcontainers", &with(new), &with(old));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn a_resize_changes_amounts_alone() {
        let with = |resources: Value| json!({"containers": [{"name": "c", "image": "i", "resources": resources}]});
        let cpu = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
        for (case, old, new, wrong) in [
            ("more", cpu("1", "2"), cpu("2", "3"), vec![]),
            ("more than the limit", cpu("1", "2"), cpu("3", "2"), vec!["spec.containers[0].resources.requests"]),
            (
                "another class",
                cpu("1", "2"),
                json!({}),
                vec!["spec", "spec.containers[0].resources.limits", "spec.containers[0].resources.requests"],
            ),
        ] {
            let mut stored = json!({"spec": with(old.clone())});
            Resize.write(&mut stored, &json!({"spec": with(new)})).unwrap();
            assert_eq!(stored["spec"].get("initContainers"), None, "{case}");
            let found = PodStrategy.validate_part("resize", &pod(stored["spec"].clone()), &pod(with(old)));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
