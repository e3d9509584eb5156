//! What is wrong with a pod spec or a pod template, in upstream's words and paths.
//!
//! All checks assume that defaults have been set. One file per subject; [`validate_spec`] is the list of them.

mod annotations;
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
pub mod volume;
mod windows;

use std::collections::BTreeMap;

pub use annotations::{is_mirror, pod_annotation_updates, pod_annotations};
use sdk_api::k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use sdk_api::{Violations, names};
use serde_json::Value;

/// Whose spec is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The name of the pod, for the spec of a pod itself; `None` for a template.
    pub pod: Option<&'a str>,
    /// The spec is stored already, and what could not be written today but stands there stays: label values that are
    /// none inside selectors, odd amounts of huge pages, sysctls of the host.
    pub stored: bool,
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

/// The same where upstream lists the choices in an order of its own.
pub(crate) fn one_of_in_order(found: &mut Violations, path: &str, value: Option<&str>, supported: &[&str]) {
    match value.unwrap_or_default() {
        "" => found.required(path, ""),
        value if supported.contains(&value) => {}
        value => found.not_supported_in_order(path, value, supported),
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
pub fn validate_template(template: &PodTemplateSpec, path: &str, options: Options<'_>) -> Violations {
    let mut found = Violations::default();
    if let Some(meta) = &template.metadata {
        metadata::labels(&mut found, meta.labels.as_ref(), &format!("{path}.labels"));
        metadata::annotations(&mut found, meta.annotations.as_ref(), &format!("{path}.annotations"));
        if let (Some(annotations), Some(spec)) = (&meta.annotations, &template.spec) {
            found.extend(pod_annotations(annotations, spec, &format!("{path}.annotations")));
            annotations::profiles_match(&mut found, annotations, spec, &format!("{path}.spec"));
        }
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

/// Checks the spec of a new pod together with the annotations that say the same in an older way.
pub fn annotations_match(annotations: &BTreeMap<String, String>, spec: &PodSpec, path: &str) -> Violations {
    let mut found = Violations::default();
    annotations::profiles_match(&mut found, annotations, spec, path);
    found
}

/// Checks a pod spec; `path` is where it is, usually `spec`.
pub fn validate_spec(spec: &PodSpec, path: &str, options: Options<'_>) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    let at = |field: &str| format!("{path}.{field}");

    if spec.termination_grace_period_seconds.is_none() {
        out.required(at("terminationGracePeriodSeconds"), "");
    }
    let volumes = volume::volumes(out, spec, &at("volumes"), options);
    resources::claims(out, spec, &at("resourceClaims"));
    container::containers(out, spec, &volumes, &at("containers"), options);
    container::init_containers(out, spec, &volumes, &at("initContainers"), options);
    ephemeral::ephemeral_containers(out, spec, &volumes, &at("ephemeralContainers"), options);
    resources::pod_level(out, spec, &at("resources"), options);
    network::host_ports(out, spec, path, options);
    one_of_in_order(out, &at("restartPolicy"), spec.restart_policy.as_deref(), &["Always", "OnFailure", "Never"]);
    network::dns_policy(out, spec, &at("dnsPolicy"));
    metadata::labels(out, spec.node_selector.as_ref(), &at("nodeSelector"));
    security::pod(out, spec, path, options);
    scheduling::affinity(out, spec.affinity.as_ref(), &at("affinity"), options);
    network::dns_config(out, spec, &at("dnsConfig"));
    scheduling::gates(out, spec, path);
    scheduling::spread(out, spec, &at("topologySpreadConstraints"), options);
    windows::host_process(out, spec, path);
    network::host_users(out, spec, path);

    let subdomain = |out: &mut Violations, field: &str, name: Option<&str>| {
        if let Some(name) = name {
            each_invalid(out, &at(field), name, names::dns1123_subdomain(name));
        }
    };
    let filled = |name: &'_ Option<String>| name.clone().filter(|name| !name.is_empty());
    subdomain(out, "serviceAccountName", filled(&spec.service_account_name).as_deref());
    subdomain(out, "nodeName", filled(&spec.node_name).as_deref());
    if let Some(seconds) = spec.active_deadline_seconds.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
        out.invalid(at("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647, inclusive");
    }
    network::host_names(out, spec, path);
    scheduling::tolerations(out, spec.tolerations.as_deref().unwrap_or_default(), &at("tolerations"));
    network::aliases(out, spec, &at("hostAliases"));
    subdomain(out, "priorityClassName", filled(&spec.priority_class_name).as_deref());
    subdomain(out, "runtimeClassName", spec.runtime_class_name.as_deref());
    if spec.preemption_policy.is_some() {
        let policies = ["PreemptLowerPriority", "Never"];
        one_of_in_order(out, &at("preemptionPolicy"), spec.preemption_policy.as_deref(), &policies);
    }
    resources::overhead(out, spec.overhead.as_ref(), &at("overhead"), options);
    self::os::os(out, spec, path);
    found
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod words_tests;
