//! What the access reviews share: from a spec to a question, from a decision to a status.

use std::collections::BTreeMap;

use sdk_api::{GroupKind, Status, Violations};
use sdk_plugin::cells::strings;
use sdk_plugin::{Attributes, Decision, Server, Subject};
use serde_json::{Value, json};

/// The user that a SubjectAccessReview is about.
pub fn subject(spec: &Value) -> Subject {
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<_, _> =
        extra.map(|(key, values)| (key.to_lowercase(), strings(values, "").map(str::to_owned).collect())).collect();
    Subject {
        name: text("user"),
        uid: text("uid"),
        groups: strings(&spec["groups"], "").map(str::to_owned).collect(),
        extra,
    }
}

/// What the spec asks, for a user.
pub fn attributes(spec: &Value, user: Subject) -> Attributes {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |part: &Value, field: &str| part[field].as_str().unwrap_or_default().to_owned();
    if resource.is_null() {
        return Attributes { user, verb: text(path, "verb"), path: text(path, "path"), ..Attributes::default() };
    }
    Attributes {
        user,
        verb: text(resource, "verb"),
        group: text(resource, "group"),
        version: text(resource, "version"),
        resource: text(resource, "resource"),
        subresource: text(resource, "subresource"),
        namespace: text(resource, "namespace"),
        name: text(resource, "name"),
        path: String::new(),
    }
}

/// A spec must ask exactly one thing, and about somebody unless it is the caller.
pub fn validate(kind: &str, spec: &Value, names_user: bool) -> Result<(), Status> {
    let mut found = Violations::default();
    match (spec["resourceAttributes"].is_null(), spec["nonResourceAttributes"].is_null()) {
        (false, false) => found.invalid(
            "spec.nonResourceAttributes",
            spec["nonResourceAttributes"].clone(),
            "cannot be specified in combination with resourceAttributes",
        ),
        (true, true) => found.invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        _ => {}
    }
    let user = spec["user"].as_str().unwrap_or_default();
    if names_user && user.is_empty() && strings(&spec["groups"], "").next().is_none() {
        found.invalid("spec.user", user, "at least one of user or group must be specified");
    }
    refuse(kind, &found)
}

/// `Invalid`, if anything was found.
pub fn refuse(kind: &str, found: &Violations) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("authorization.k8s.io", kind), "", found))
}

/// Asks, and writes the answer into the review.
pub async fn answer(mut review: Value, attributes: &Attributes, server: &dyn Server) -> Value {
    let (allowed, denied, reason) = match server.authorize(attributes).await {
        Decision::Allow { reason } => (true, false, reason),
        Decision::Deny { reason } => (false, true, reason),
        Decision::NoOpinion { reason } => (false, false, reason),
    };
    let mut status = json!({"allowed": allowed});
    if denied {
        status["denied"] = true.into();
    }
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    review["status"] = status;
    review
}
