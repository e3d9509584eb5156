//! The audit trail: one event for every write and every refusal, when it is answered. Source: `audit.k8s.io/v1`.

use jiff::Timestamp;
use sdk_api::{Status, time};
use sdk_client::Subject;
use sdk_plugin::AuditEvent;
use serde_json::{Value, json};

use crate::info::RequestInfo;
use crate::server::ApiServer;

/// An open entry: what is known before the request is worked on.
pub struct Entry {
    received: Timestamp,
    id: String,
    pub source: Option<std::net::IpAddr>,
    pub user_agent: String,
}

impl Entry {
    pub fn open(server: &ApiServer, id: String) -> Self {
        Self { received: server.clock().now(), id, source: None, user_agent: String::new() }
    }

    /// Records how the request ended. `acting` is whom the caller acted as, if somebody else.
    pub fn close(
        &self,
        server: &ApiServer,
        user: &Subject,
        acting: Option<&Subject>,
        info: &RequestInfo,
        outcome: Result<u16, &Status>,
    ) {
        let refused = matches!(outcome, Err(status) if matches!(status.code, 401 | 403));
        if server.audit_sinks.is_empty() || !(refused || is_recorded(info)) {
            return;
        }
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": self.id,
            "stage": "ResponseComplete", "requestURI": info.path, "verb": info.verb, "user": user_json(user),
            "userAgent": self.user_agent,
            "requestReceivedTimestamp": time::rfc3339_micro(self.received),
            "stageTimestamp": time::rfc3339_micro(server.clock().now()),
        });
        if let Some(source) = self.source {
            event["sourceIPs"] = json!([source.to_string()]);
        }
        if let Some(acting) = acting.filter(|acting| *acting != user) {
            event["impersonatedUser"] = user_json(acting);
        }
        if info.is_resource {
            event["objectRef"] = json!({
                "resource": info.resource, "namespace": info.namespace, "name": info.name, "apiGroup": info.group,
                "apiVersion": info.version, "subresource": info.subresource,
            });
            prune_empty(&mut event["objectRef"]);
        }
        event["responseStatus"] = match outcome {
            Ok(code) => json!({"metadata": {}, "code": code}),
            Err(status) => json!({"metadata": {}, "status": "Failure", "code": status.code, "message": status.message}),
        };
        for sink in &server.audit_sinks {
            sink.record(AuditEvent { document: event.clone() });
        }
    }
}

/// Writes are recorded; heartbeats and events about objects are not, since they would drown the rest.
fn is_recorded(info: &RequestInfo) -> bool {
    let writes = matches!(info.verb, "create" | "update" | "patch" | "delete" | "deletecollection");
    let connects = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy");
    info.is_resource && (writes || connects) && !matches!(info.resource.as_str(), "leases" | "events")
}

fn user_json(user: &Subject) -> Value {
    let mut json = json!({"username": user.name, "uid": user.uid, "groups": user.groups});
    if !user.extra.is_empty() {
        json["extra"] = json!(user.extra);
    }
    prune_empty(&mut json);
    json
}

fn prune_empty(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| value.as_str() != Some(""));
    }
}
