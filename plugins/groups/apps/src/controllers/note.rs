//! Events about the object that is being planned.

use sdk_api::Typed;
use sdk_api::k8s_openapi::Metadata;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_plugin::{EventNote, EventType, WriteNote};
use serde_json::{Value, json};

/// Makes notes about one object.
pub(super) struct Notes {
    regarding: Value,
}

impl Notes {
    pub fn about<T: Typed + Metadata<Ty = ObjectMeta>>(object: &T) -> Self {
        Self::of(T::API_VERSION, T::KIND, object.metadata())
    }

    pub fn of(api_version: &str, kind: &str, metadata: &ObjectMeta) -> Self {
        let regarding = json!({
            "apiVersion": api_version, "kind": kind, "namespace": metadata.namespace, "name": metadata.name,
            "uid": metadata.uid, "resourceVersion": metadata.resource_version,
        });
        Self { regarding }
    }

    pub fn normal(&self, reason: &str, message: impl Into<String>) -> EventNote {
        let regarding = self.regarding.clone();
        EventNote { regarding, kind: EventType::Normal, reason: reason.into(), message: message.into() }
    }

    pub fn warning(&self, reason: &str, message: impl Into<String>) -> EventNote {
        EventNote { kind: EventType::Warning, ..self.normal(reason, message) }
    }

    /// What to say of a write, by its end. Reason and message each.
    pub fn either(&self, success: (&str, &str), failure: (&str, &str)) -> WriteNote {
        WriteNote {
            success: Some(self.normal(success.0, success.1)),
            failure: Some(self.warning(failure.0, failure.1)),
        }
    }
}
