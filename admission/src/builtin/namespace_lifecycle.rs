//! `NamespaceLifecycle`: nothing is made in a namespace that is not there or is going; the system's namespaces stay.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::Namespace;
use sdk_api::{Key, Status};
use sdk_plugin::{Admission, AdmissionRequest, Context, Operation};

use crate::refuse::forbidden;
use crate::world::World;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub struct NamespaceLifecycle(pub Arc<World>);

#[async_trait]
impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.start(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        if is_namespace(request) {
            return request.operation == Operation::Delete && request.subresource.is_empty();
        }
        // What is there may change and go while its namespace goes. A review tells nothing about the namespace.
        let is_review = request.kind.group == "authorization.k8s.io";
        !request.namespace.is_empty() && request.operation == Operation::Create && !is_review
    }

    /// Refuses before others do their work, and changes nothing.
    fn mutates(&self) -> bool {
        false
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        if is_namespace(request) {
            if IMMORTAL.contains(&request.name.as_str()) {
                return Err(forbidden(request, "this namespace may not be deleted"));
            }
            return Ok(());
        }
        let name = request.namespace.as_str();
        let key = Key::of::<Namespace>("", name);
        // Read as it is now: a cache may not know yet that the namespace is there, or that it is going.
        let namespace = self.0.find(&key).await?.ok_or_else(|| Status::not_found(&key.resource, name))?;
        let is_going = namespace.meta().is_deleting() || namespace.tree()["status"]["phase"] == "Terminating";
        if is_going {
            let why = format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = format!("namespace {name} is being terminated");
            return Err(forbidden(request, why).with_cause("NamespaceTerminating", cause, "metadata.namespace"));
        }
        Ok(())
    }
}

fn is_namespace(request: &AdmissionRequest) -> bool {
    request.kind.group.is_empty() && request.kind.kind == "Namespace"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{admit, request, started};
    use super::*;

    #[tokio::test]
    async fn namespaces_live_and_die_in_order() {
        let namespace = |name: &str, phase: &str| {
            let status = json!({"phase": phase});
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": status})
        };
        let config = |namespace: &str| {
            let metadata = json!({"name": "c", "namespace": namespace});
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        };
        let (_api, _clock, plugin) =
            started([namespace("blue", "Active"), namespace("old", "Terminating")], NamespaceLifecycle).await;
        for (case, request, refusal) in [
            ("into a namespace", request(Operation::Create, "configmaps", config("blue"), None), None),
            (
                "into none",
                request(Operation::Create, "configmaps", config("x"), None),
                Some((404, "namespaces \"x\" not found")),
            ),
            (
                "into one that goes",
                request(Operation::Create, "configmaps", config("old"), None),
                Some((
                    403,
                    "configmaps \"c\" is forbidden: unable to create new content in namespace old because it is being \
                     terminated",
                )),
            ),
            (
                "a change in one that goes",
                request(Operation::Update, "configmaps", config("old"), Some(config("old"))),
                None,
            ),
            (
                "the end of one",
                request(Operation::Delete, "namespaces", Value::Null, Some(namespace("blue", "Active"))),
                None,
            ),
            (
                "the end of the default one",
                request(Operation::Delete, "namespaces", Value::Null, Some(namespace("default", "Active"))),
                Some((403, "namespaces \"default\" is forbidden: this namespace may not be deleted")),
            ),
        ] {
            let found = admit(&plugin, request).await.err();
            let found = found.as_ref().map(|status| (status.code, status.message.as_str()));
            assert_eq!(found, refusal, "{case}");
        }
        let going = admit(&plugin, request(Operation::Create, "configmaps", config("old"), None)).await.unwrap_err();
        let cause = &going.details.unwrap().causes[0];
        assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("NamespaceTerminating", "metadata.namespace"));
    }
}
