//! The audit trail: one event for every write and every refusal, when it is answered. Source: `audit.k8s.io/v1`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use sdk_api::{Status, time};
use sdk_client::Subject;
use sdk_plugin::AuditEvent;
use serde::Serialize;

use crate::info::RequestInfo;
use crate::server::ApiServer;

/// An open entry: what is known before the request is worked on.
pub struct Entry {
    received: Timestamp,
    id: String,
    pub source: Option<IpAddr>,
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
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: "Metadata",
            audit_id: &self.id,
            stage: "ResponseComplete",
            request_uri: &info.path,
            verb: info.verb,
            user: User::of(user),
            impersonated_user: acting.filter(|acting| *acting != user).map(User::of),
            source_ips: self.source.map(|source| [source]),
            user_agent: &self.user_agent,
            object_ref: info.is_resource.then(|| ObjectRef::of(info)),
            response_status: match outcome {
                Ok(code) => ResponseStatus { metadata: Empty {}, status: "", code, message: "" },
                Err(status) => ResponseStatus {
                    metadata: Empty {},
                    status: "Failure",
                    code: status.code,
                    message: &status.message,
                },
            },
            request_received_timestamp: time::rfc3339_micro(self.received),
            stage_timestamp: time::rfc3339_micro(server.clock().now()),
        };
        // Texts, numbers and lists of them always encode.
        let Ok(json) = serde_json::to_vec(&event) else { return };
        let event = AuditEvent { json: json.into() };
        for sink in &server.audit_sinks {
            sink.record(event.clone());
        }
    }
}

/// Writes are recorded; heartbeats and events about objects are not, since they would drown the rest.
fn is_recorded(info: &RequestInfo) -> bool {
    let writes = matches!(info.verb, "create" | "update" | "patch" | "delete" | "deletecollection");
    let connects = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy");
    info.is_resource && (writes || connects) && !matches!(info.resource.as_str(), "leases" | "events")
}

/// An event as it is written, encoded without a tree in between: there is one for every write.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'static str,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Option::is_none")]
    source_ips: Option<[IpAddr; 1]>,
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef<'a>>,
    response_status: ResponseStatus<'a>,
    request_received_timestamp: String,
    stage_timestamp: String,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> User<'a> {
    fn of(user: &'a Subject) -> Self {
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

impl<'a> ObjectRef<'a> {
    fn of(info: &'a RequestInfo) -> Self {
        Self {
            resource: &info.resource,
            namespace: &info.namespace,
            name: &info.name,
            api_group: &info.group,
            api_version: &info.version,
            subresource: &info.subresource,
        }
    }
}

#[derive(Serialize)]
struct ResponseStatus<'a> {
    metadata: Empty,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'static str,
    code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

#[derive(Serialize)]
struct Empty {}
