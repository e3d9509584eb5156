//! What is wrong with a pod spec or a pod template, in upstream's words and paths.
//!
//! All checks assume that defaults have been set. One file per subject; [`validate_spec`] is the list of them.

pub mod claim;
mod container;
mod env;
pub mod ephemeral;
mod handler;
pub mod metadata;
mod network;
mod os;
pub mod resources;
pub mod scheduling;
mod security;
pub mod selector;
pub mod volume;

use sdk_api::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use sdk_api::{Violations, names};
use serde_json::Value;

/// What the checks should let pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Label selectors inside affinity terms and spread constraints may hold values that are no label values, because
    /// the stored object does so already.
    pub label_values_unchecked: bool,
}

/// Adds one `Invalid` for each thing a name rule found.
pub fn each_invalid(found: &mut Violations, path: &str, value: &str, wrong: Vec<String>) {
    for why in wrong {
        found.invalid(path, value, why);
    }
}

/// Checks a text that must be one of a few; empty is `Required`.
pub(crate) fn one_of(found: &mut Violations, path: &str, value: Option<&str>, supported: &[&str]) {
    match value.unwrap_or_default() {
        "" => found.required(path, ""),
        value if supported.contains(&value) => {}
        value => found.not_supported(path, value, supported),
    }
}

/// Checks an optional text that must be one of a few where it is set.
pub(crate) fn one_of_if_set(found: &mut Violations, path: &str, value: Option<&str>, supported: &[&str]) {
    if let Some(value) = value.filter(|value| !supported.contains(value)) {
        found.not_supported(path, value, supported);
    }
}

pub(crate) fn non_negative(found: &mut Violations, path: &str, value: Option<i64>) {
    if let Some(value) = value.filter(|value| *value < 0) {
        found.invalid(path, value, "must be greater than or equal to 0");
    }
}

/// A value as a message shows it.
pub(crate) fn shown<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Checks a template; `path` is where it is, such as `spec.template`.
pub fn validate_template(template: &PodTemplateSpec, path: &str, options: Options) -> Violations {
    let mut found = Violations::default();
    if let Some(meta) = &template.metadata {
        metadata::labels(&mut found, meta.labels.as_ref(), &format!("{path}.labels"));
        metadata::annotations(&mut found, meta.annotations.as_ref(), &format!("{path}.annotations"));
    }
    let path = format!("{path}.spec");
    match &template.spec {
        Some(spec) => {
            found.extend(validate_spec(spec, &path, options));
            if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
                found.forbidden(
                    format!("{path}.ephemeralContainers"),
                    "ephemeral containers not allowed in pod template",
                );
            }
        }
        None => found.required(format!("{path}.containers"), ""),
    }
    found
}

/// Checks a pod spec; `path` is where it is, usually `spec`.
pub fn validate_spec(spec: &PodSpec, path: &str, options: Options) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    let at = |field: &str| format!("{path}.{field}");

    let volumes = volume::volumes(out, spec, &at("volumes"));
    container::containers(out, spec, &volumes, &at("containers"));
    container::init_containers(out, spec, &volumes, &at("initContainers"));
    ephemeral::ephemeral_containers(out, spec, &volumes, &at("ephemeralContainers"));
    resources::pod_level(out, spec, &at("resources"));
    resources::overhead(out, spec.overhead.as_ref(), &at("overhead"));
    resources::claims(out, spec, &at("resourceClaims"));

    one_of(out, &at("restartPolicy"), spec.restart_policy.as_deref(), &["Always", "OnFailure", "Never"]);
    network::network(out, spec, path);
    metadata::labels(out, spec.node_selector.as_ref(), &at("nodeSelector"));
    security::pod(out, spec, path);
    scheduling::scheduling(out, spec, path, options);

    let subdomain = |out: &mut Violations, field: &str, name: Option<&String>| {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            each_invalid(out, &at(field), name, names::dns1123_subdomain(name));
        }
    };
    subdomain(out, "serviceAccountName", spec.service_account_name.as_ref());
    subdomain(out, "nodeName", spec.node_name.as_ref());
    subdomain(out, "priorityClassName", spec.priority_class_name.as_ref());
    subdomain(out, "runtimeClassName", spec.runtime_class_name.as_ref());
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            // Upstream takes these, and only warns.
            continue;
        }
        each_invalid(
            out,
            &format!("{path}.imagePullSecrets[{i}].name"),
            &secret.name,
            names::dns1123_subdomain(&secret.name),
        );
    }
    if let Some(seconds) = spec.active_deadline_seconds.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
        out.invalid(at("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647, inclusive");
    }
    one_of_if_set(out, &at("preemptionPolicy"), spec.preemption_policy.as_deref(), &["PreemptLowerPriority", "Never"]);
    if let Some(os) = &spec.os {
        one_of(out, &at("os.name"), Some(&os.name), &["linux", "windows"]);
        self::os::os(out, spec, path);
    }
    found
}

#[cfg(test)]
mod tests;
