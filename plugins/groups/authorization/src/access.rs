//! What the access reviews share: from a spec to a question, from a decision to a status.

use std::collections::BTreeMap;

use sdk_api::domains::each_invalid;
use sdk_api::{GroupKind, Status, Violations, names};
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

/// A review asks exactly one thing, about somebody unless that is the caller, and says nothing else.
pub fn validate(found: &mut Violations, review: &Value, names_user: bool) {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_null(), path.is_null()) {
        (false, false) => found.invalid(
            "spec.nonResourceAttributes",
            path.clone(),
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
    for name in ["fieldSelector", "labelSelector"] {
        if !resource[name].is_null() {
            selector(found, &format!("spec.resourceAttributes.{name}"), &resource[name]);
        }
    }
    let metadata = review["metadata"].as_object().into_iter().flatten();
    let said = |name: &str, value: &Value| {
        let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null();
        !is_empty && !matches!(name, "managedFields" | "namespace")
    };
    if metadata.into_iter().any(|(name, value)| said(name, value)) {
        let where_ = if review["metadata"]["namespace"].is_null() { "must be empty" } else { EMPTY_BUT_NAMESPACE };
        found.invalid("metadata", review["metadata"].clone(), where_);
    }
}

const EMPTY_BUT_NAMESPACE: &str = "must be empty except for namespace";

/// A selector comes as text or taken apart. Operators that nobody knows pass, for newer clients. Source: KEP-4601.
fn selector(found: &mut Violations, field: &str, selector: &Value) {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let requirements = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
    match (raw.is_empty(), requirements.is_empty()) {
        (false, false) => {
            found.invalid(format!("{field}.rawSelector"), raw, "may not specified at the same time as requirements");
        }
        (true, true) => {
            let why = format!("when {field} is specified, requirements or rawSelector is required");
            found.required(format!("{field}.requirements"), why);
        }
        _ => {}
    }
    for (at, requirement) in requirements.iter().enumerate() {
        let at = |name: &str| format!("{field}.requirements[{at}].{name}");
        let values = requirement["values"].as_array().map_or(0, Vec::len);
        match requirement["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if values == 0 => {
                found.required(at("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                found.forbidden(at("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            _ => {}
        }
        let key = requirement["key"].as_str().unwrap_or_default();
        if field.ends_with("fieldSelector") {
            if key.is_empty() {
                found.required(at("key"), "must be specified");
            }
        } else {
            each_invalid(found, at("key"), key, names::qualified_name(key));
        }
    }
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
