//! The part of a pod that debugging writes: ephemeral containers.

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Status, Violations};
use sdk_plugin::Part;
use sdk_workload::validate::is_mirror;
use serde_json::Value;

use super::super::fields::differences;
use super::validate;

pub(super) fn carry(target: &mut Value, source: &Value, field: &str) {
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

    fn writes(&self) -> Vec<String> {
        vec!["spec.ephemeralContainers".into()]
    }
}

/// Debugging containers are added, never changed or taken away.
pub fn validate_ephemeral(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    if is_mirror(old.metadata.annotations.as_ref()) {
        found.forbidden("[]", "static pods do not support ephemeral containers");
        return found;
    }
    found.extend(validate::pod(new, true));
    let spec = new.spec.clone().unwrap_or_default();
    let path = "spec.ephemeralContainers";
    for known in old.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten()) {
        match spec.ephemeral_containers.iter().flatten().find(|container| container.name == known.name) {
            None => {
                let why = format!("existing ephemeral containers {:?} may not be removed\n", known.name);
                found.forbidden(path, why);
            }
            Some(container) if container != known => {
                let changed = differences(known, container, path);
                let why = format!("existing ephemeral containers {:?} may not be changed\n{changed}", known.name);
                found.forbidden(path, why);
            }
            Some(_) => {}
        }
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
        let mut pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
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
}
