//! Documents for tests, made step by step.

use std::sync::Arc;

use sdk_api::{Object, Typed};
use serde_json::{Value, json};

use crate::cache;

/// A document under construction. The uid is `uid-{name}` until told otherwise.
#[derive(Clone, Debug)]
pub struct Build(Value);

impl Build {
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let mut metadata = json!({"name": name, "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"});
        if !namespace.is_empty() {
            metadata["namespace"] = namespace.into();
        }
        Self(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}))
    }

    /// Starts from an object of a typed kind.
    pub fn of<T: Typed>(namespace: &str, name: &str) -> Self {
        Self::new(T::API_VERSION, T::KIND, namespace, name)
    }

    /// A pod of one container `c`, pending.
    pub fn pod(namespace: &str, name: &str) -> Self {
        let spec = json!({"containers": [{"name": "c", "image": "busybox"}], "terminationGracePeriodSeconds": 30});
        Self::new("v1", "Pod", namespace, name).set("spec", spec).set("status", json!({"phase": "Pending"}))
    }

    /// A ready node with room for 110 pods.
    pub fn node(name: &str) -> Self {
        let resources = json!({"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"});
        Self::new("v1", "Node", "", name)
            .label("kubernetes.io/hostname", name)
            .set("spec", json!({}))
            .set("status.capacity", resources.clone())
            .set("status.allocatable", resources)
            .condition("Ready", "True", "KubeletReady")
    }

    pub fn namespace(name: &str) -> Self {
        Self::new("v1", "Namespace", "", name)
            .set("spec.finalizers", json!(["kubernetes"]))
            .set("status.phase", json!("Active"))
    }

    /// A ClusterIP Service with one port 80.
    pub fn service(namespace: &str, name: &str) -> Self {
        let spec = json!({"type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"app": name}});
        Self::new("v1", "Service", namespace, name).set("spec", spec)
    }

    /// A ReplicaSet whose selector and template label are `app={name}`.
    pub fn replica_set(namespace: &str, name: &str, replicas: i64) -> Self {
        Self::new("apps/v1", "ReplicaSet", namespace, name).set("spec", workload_spec(name, replicas))
    }

    /// A Deployment whose selector and template label are `app={name}`, with the defaults of the API.
    pub fn deployment(namespace: &str, name: &str, replicas: i64) -> Self {
        Self::new("apps/v1", "Deployment", namespace, name)
            .set("spec", workload_spec(name, replicas))
            .set("spec.revisionHistoryLimit", json!(10))
            .set("spec.progressDeadlineSeconds", json!(600))
            .set(
                "spec.strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            )
    }

    /// Sets a field by its dotted path; objects on the way are made. For keys that contain dots use `set_at`.
    pub fn set(self, path: &str, value: Value) -> Self {
        self.set_at(&path.split('.').collect::<Vec<_>>(), value)
    }

    pub fn set_at(mut self, path: &[&str], value: Value) -> Self {
        let mut at = &mut self.0;
        for field in path {
            at = &mut at[*field];
        }
        *at = value;
        self
    }

    pub fn label(self, key: &str, value: &str) -> Self {
        self.set_at(&["metadata", "labels", key], value.into())
    }

    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.set_at(&["metadata", "annotations", key], value.into())
    }

    pub fn uid(self, uid: &str) -> Self {
        self.set("metadata.uid", uid.into())
    }

    pub fn created(self, time: &str) -> Self {
        self.set("metadata.creationTimestamp", time.into())
    }

    pub fn deleting(self, time: &str) -> Self {
        self.set("metadata.deletionTimestamp", time.into())
    }

    pub fn finalizer(mut self, name: &str) -> Self {
        push(&mut self.0["metadata"]["finalizers"], name.into());
        self
    }

    /// Owned and controlled by another document.
    pub fn controlled_by(mut self, owner: &Build) -> Self {
        let reference = json!({"apiVersion": owner.0["apiVersion"], "kind": owner.0["kind"],
            "name": owner.0["metadata"]["name"], "uid": owner.0["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true});
        push(&mut self.0["metadata"]["ownerReferences"], reference);
        self
    }

    pub fn owner(mut self, api_version: &str, kind: &str, name: &str, uid: &str, block: bool) -> Self {
        let reference = json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
            "blockOwnerDeletion": block});
        push(&mut self.0["metadata"]["ownerReferences"], reference);
        self
    }

    pub fn phase(self, phase: &str) -> Self {
        self.set("status.phase", phase.into())
    }

    pub fn on_node(self, node: &str) -> Self {
        self.set("spec.nodeName", node.into())
    }

    pub fn pod_ip(self, ip: &str) -> Self {
        self.set("status.podIP", ip.into()).set("status.podIPs", json!([{"ip": ip}]))
    }

    /// Adds a condition, or replaces the one of this type.
    pub fn condition(mut self, kind: &str, status: &str, reason: &str) -> Self {
        let conditions = &mut self.0["status"]["conditions"];
        if let Some(list) = conditions.as_array_mut() {
            list.retain(|condition| condition["type"] != kind);
        }
        let time = "2026-01-01T00:00:00Z";
        push(conditions, json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": time}));
        self
    }

    /// A running pod whose Ready condition holds (or not).
    pub fn ready(self, ready: bool) -> Self {
        self.phase("Running").condition("Ready", if ready { "True" } else { "False" }, "")
    }

    pub fn tree(self) -> Value {
        self.0
    }

    pub fn object(self) -> Arc<Object> {
        cache::object(self.0)
    }

    /// Panics where the document does not fit.
    pub fn typed<T: Typed>(self) -> T {
        serde_json::from_value(self.0).expect("the document fits its type")
    }
}

impl From<Build> for Value {
    fn from(build: Build) -> Self {
        build.0
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

fn workload_spec(name: &str, replicas: i64) -> Value {
    json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Always"}}})
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::apps::v1::Deployment;
    use sdk_api::k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    #[test]
    fn documents_fit_their_types() {
        let set = Build::replica_set("n", "web", 2);
        let pod = Build::pod("n", "web-1").controlled_by(&set).ready(true).on_node("node-1").label("a.b/c", "d");
        let typed: Pod = pod.clone().typed();
        assert_eq!(typed.metadata.labels.unwrap()["a.b/c"], "d");
        assert_eq!(pod.object().meta().controller().unwrap().uid, "uid-web");
        let _: Node = Build::node("node-1").typed();
        let deployment: Deployment = Build::deployment("n", "web", 3).typed();
        assert_eq!(deployment.spec.unwrap().replicas, Some(3));
    }
}
