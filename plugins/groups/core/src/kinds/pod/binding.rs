//! The `binding` subresource: gives a pod its node, once.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::{Binding, Pod, PodCondition};
use sdk_api::{GroupKind, GroupResource, GroupVersionKind, Key, Object, Status, Timestamp, Violations};
use sdk_plugin::{Action, Call};
use sdk_workload::set_condition;
use serde_json::{Value, json};

/// The action behind `pods/binding`.
pub struct Bind;
#[async_trait]
impl Action for Bind {
    fn kind(&self) -> GroupVersionKind {
        GroupVersionKind::of::<Binding>()
    }

    async fn run(&self, call: Call<'_>, pod: Arc<Object>) -> Result<Value, Status> {
        let name = call.body["metadata"]["name"].as_str().unwrap_or_default();
        if !name.is_empty() && name != pod.name() {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        bind(&call, pod.key()).await
    }
}

/// Gives the pod at `pod` the node that the posted Binding names.
pub async fn bind(call: &Call<'_>, pod: &Key) -> Result<Value, Status> {
    let binding: Binding = serde_json::from_value(call.body.clone()).map_err(|e| Status::bad_request(e.to_string()))?;
    let found = validate(&binding);
    if !found.is_empty() {
        return Err(Status::invalid(&GroupKind::of::<Binding>(), &pod.name, &found));
    }
    let now = call.server.clock().now();
    call.server.rewrite(pod, &mut |document| assign(document, &binding, pod, now)).await?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

fn validate(binding: &Binding) -> Violations {
    let mut found = Violations::default();
    if let Some(kind) = binding.target.kind.as_deref().filter(|kind| !matches!(*kind, "" | "Node")) {
        found.not_supported_in_order("target.kind", kind, &["Node", "<empty>"]);
    }
    if binding.target.name.as_deref().unwrap_or_default().is_empty() {
        found.required("target.name", "");
    }
    found
}

fn assign(document: &mut Value, binding: &Binding, key: &Key, now: Timestamp) -> Result<(), Status> {
    let conflict = |why: String| Status::conflict(&GroupResource::new("", "pods/binding"), &key.name, why);
    let before = document["status"]["conditions"].clone();
    let mut pod: Pod = serde_json::from_value(document.clone()).map_err(|e| Status::internal(e.to_string()))?;
    if let Some(uid) = binding.metadata.uid.as_deref().filter(|uid| !uid.is_empty())
        && pod.metadata.uid.as_deref() != Some(uid)
    {
        let actual = pod.metadata.uid.unwrap_or_default();
        return Err(conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}")));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", key.name)));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Err(conflict(format!("pod {} is already assigned to node {node:?}", key.name)));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return Err(conflict(format!("pod {} has non-empty .spec.schedulingGates", key.name)));
    }
    let scheduled = PodCondition { type_: "PodScheduled".into(), status: "True".into(), ..PodCondition::default() };
    set_condition(&mut pod, scheduled, now);
    document["spec"]["nodeName"] = binding.target.name.clone().into();
    for (field, added) in [("annotations", &binding.metadata.annotations), ("labels", &binding.metadata.labels)] {
        for (key, value) in added.iter().flatten() {
            document["metadata"][field][key] = value.as_str().into();
        }
    }
    let conditions = serde_json::to_value(pod.status.and_then(|status| status.conditions)).unwrap_or(before);
    document["status"]["conditions"] = conditions;
    // A nomination has done its work. Source: KEP-5278.
    if let Some(status) = document["status"].as_object_mut() {
        status.remove("nominatedNodeName");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(mut pod: Value, metadata: Value, target: Value) -> Result<Value, String> {
        let binding: Binding = serde_json::from_value(json!({"metadata": metadata, "target": target})).unwrap();
        let found = validate(&binding);
        if !found.is_empty() {
            return Err(found.summary());
        }
        let key = Key::of::<Pod>("a", "p");
        assign(&mut pod, &binding, &key, Timestamp::UNIX_EPOCH).map_err(|status| status.message)?;
        Ok(pod)
    }

    #[test]
    fn a_pod_is_bound_once() {
        let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": []},
            "status": {"phase": "Pending", "nominatedNodeName": "m"}});
        let metadata = json!({"annotations": {"a": "b"}});
        let bound = bind(pod.clone(), metadata, json!({"kind": "Node", "name": "n"})).unwrap();
        let expected = json!({"metadata": {"name": "p", "uid": "u", "annotations": {"a": "b"}},
            "spec": {"containers": [], "nodeName": "n"}, "status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}]}});
        assert_eq!(bound, expected);

        let mut deleting = pod.clone();
        deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut gated = pod.clone();
        gated["spec"]["schedulingGates"] = json!([{"name": "g"}]);
        let node = json!({"name": "n"});
        let why = |what: &str| format!("Operation cannot be fulfilled on pods/binding \"p\": {what}");
        for (case, pod, metadata, target, message) in [
            ("twice", bound, json!({}), node.clone(), why("pod p is already assigned to node \"n\"")),
            ("going", deleting, json!({}), node.clone(), why("pod p is being deleted, cannot be assigned to a host")),
            ("gated", gated, json!({}), node.clone(), why("pod p has non-empty .spec.schedulingGates")),
            (
                "another pod",
                pod.clone(),
                json!({"uid": "v"}),
                node,
                why("Precondition failed: UID in precondition: v, UID in object meta: u"),
            ),
            ("nowhere", pod.clone(), json!({}), json!({}), "target.name: Required value".into()),
            (
                "no node",
                pod,
                json!({}),
                json!({"kind": "Pod", "name": "n"}),
                "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"".into(),
            ),
        ] {
            assert_eq!(bind(pod, metadata, target), Err(message), "{case}");
        }
    }
}
