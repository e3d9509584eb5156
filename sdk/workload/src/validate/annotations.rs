//! Annotations of pods that mean something, most of them older ways to say what fields say today.

use std::collections::BTreeMap;

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::{PodSpec, Toleration};

use super::scheduling::tolerations;
use super::volume::descending;

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

type Annotations = BTreeMap<String, String>;

/// Checks the annotations of a pod or template; `path` is theirs, such as `metadata.annotations`.
pub fn pod_annotations(annotations: &Annotations, spec: &PodSpec, path: &str) -> Violations {
    let mut found = Violations::default();
    if let Some(value) = annotations.get(MIRROR)
        && spec.node_name.as_deref().unwrap_or_default().is_empty()
    {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        found.invalid(format!("{path}[{MIRROR}]"), value.as_str(), why);
    }
    if let Some(text) = annotations.get(TOLERATIONS).filter(|text| !text.is_empty()) {
        match serde_json::from_str::<Vec<Toleration>>(text) {
            Ok(list) => tolerations(&mut found, &list, &format!("{path}.{TOLERATIONS}")),
            Err(error) => found.invalid(path, TOLERATIONS, error.to_string()),
        }
    }
    if let Some(cost) = annotations.get(DELETION_COST).filter(|cost| !is_cost(cost)) {
        found.invalid(format!("{path}[{DELETION_COST}]"), cost.as_str(), "must be a 32bit integer");
    }
    for (key, profile) in annotations {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(&mut found, profile, &format!("{path}.{key}"));
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let field = format!("{path}[{key}]");
            if !container_names(spec).any(|name| name == container) {
                found.invalid(&field, container, "container not found");
            }
            if !matches!(profile.as_str(), "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/")
            {
                found.invalid(field, profile.as_str(), format!("invalid AppArmor profile name: {profile:?}"));
            }
        }
    }
    found
}

/// What an update does to annotations that may not come, go or change. Source: `ValidatePodSpecificAnnotationUpdates`.
pub fn pod_annotation_updates(new: &Annotations, old: &Annotations, path: &str) -> Violations {
    let mut found = Violations::default();
    let what = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key if key.starts_with(APP_ARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, _) in old.iter().filter(|(key, value)| new.get(*key) != Some(*value)) {
        if let Some(what) = what(key) {
            found.forbidden(format!("{path}[{key}]"), format!("may not remove or update {what}"));
        }
    }
    for (key, _) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        if let Some(what) = what(key) {
            found.forbidden(format!("{path}[{key}]"), format!("may not add {what}"));
        }
    }
    found
}

/// Whether the pod stands for one that the node runs by itself.
pub fn is_mirror(annotations: Option<&Annotations>) -> bool {
    annotations.is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// A 32-bit number as Go reads it, without a plus and without leading zeros.
fn is_cost(text: &str) -> bool {
    let first = matches!(text.as_bytes(), [b'0'] | [b'-' | b'1'..=b'9', ..]);
    first && text.parse::<i32>().is_ok()
}

fn seccomp(found: &mut Violations, profile: &str, path: &str) {
    match profile.strip_prefix("localhost/") {
        Some(file) => descending(found, file, path),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => found.invalid(path, profile, "must be a valid seccomp profile"),
    }
}

fn container_names(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let plain = spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| container.name.as_str());
    plain.chain(spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str()))
}

/// Where a profile is stated both by annotation and by field, both must say the same.
pub(super) fn profiles_match(found: &mut Violations, annotations: &Annotations, spec: &PodSpec, path: &str) {
    let of_pod = spec.security_context.as_ref();
    if let (Some(annotation), Some(field)) =
        (annotations.get(SECCOMP_POD), of_pod.and_then(|context| context.seccomp_profile.as_ref()))
    {
        let at = format!("{path}.securityContext.seccompProfile");
        same(found, "seccomp", annotation, &field.type_, field.localhost_profile.as_deref(), &at);
    }
    let lists =
        [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers)];
    for (list, containers) in lists {
        for (i, container) in containers.iter().enumerate() {
            let (at, own) = (format!("{path}.{list}[{i}].securityContext"), container.security_context.as_ref());
            if let (Some(annotation), Some(field)) = (
                annotations.get(&format!("{SECCOMP_CONTAINER}{}", container.name)),
                own.and_then(|context| context.seccomp_profile.as_ref()),
            ) {
                let local = field.localhost_profile.as_deref();
                same(found, "seccomp", annotation, &field.type_, local, &format!("{at}.seccompProfile"));
            }
            let field = own.and_then(|context| context.app_armor_profile.as_ref());
            let field = field.or_else(|| of_pod.and_then(|context| context.app_armor_profile.as_ref()));
            let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
            if let (Some(annotation), Some(field), false) =
                (annotations.get(&format!("{APP_ARMOR}{}", container.name)), field, windows)
            {
                let local = field.localhost_profile.as_deref();
                same(found, "apparmor", annotation, &field.type_, local, &format!("{at}.appArmorProfile"));
            }
        }
    }
}

fn same(found: &mut Violations, what: &str, annotation: &str, type_: &str, local: Option<&str>, path: &str) {
    let fits = match type_ {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default"),
        "Localhost" => annotation.starts_with("localhost/"),
        _ => return,
    };
    if !fits {
        found.forbidden(format!("{path}.type"), format!("{what} type in annotation and field must match"));
    } else if type_ == "Localhost" && annotation.strip_prefix("localhost/") != local {
        let why = format!("{what} profile in annotation and field must match");
        found.forbidden(format!("{path}.localhostProfile"), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn annotations(value: Value) -> Annotations {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_annotations_say_is_checked() {
        let spec =
            json!({"containers": [{"name": "c", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        for (case, value, wrong) in [
            ("none", json!({}), ""),
            ("a cost", json!({DELETION_COST: "-5"}), ""),
            (
                "a cost with a plus",
                json!({DELETION_COST: "+5"}),
                "a[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+5\": must be a 32bit integer",
            ),
            (
                "a mirror nowhere",
                json!({MIRROR: "x"}),
                "a[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
            ),
            (
                "an unknown profile",
                json!({SECCOMP_POD: "x"}),
                "a.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"x\": must be a valid seccomp profile",
            ),
            (
                "a profile for nobody",
                json!({format!("{APP_ARMOR}d"): "unconfined"}),
                "a[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: \"d\": container not found",
            ),
        ] {
            let found = pod_annotations(&annotations(value), &spec, "a");
            assert_eq!(if found.is_empty() { String::new() } else { found.summary() }, wrong, "{case}");
        }
        let mut found = Violations::default();
        let other = annotations(json!({format!("{SECCOMP_CONTAINER}c"): "unconfined"}));
        profiles_match(&mut found, &other, &spec, "spec");
        assert_eq!(found.fields(), ["spec.containers[0].securityContext.seccompProfile.type"]);
    }

    #[test]
    fn some_annotations_stay_as_they_are() {
        let mirror = || annotations(json!({MIRROR: "x"}));
        for (case, new, old, wrong) in [
            ("the same", mirror(), mirror(), vec![]),
            ("gone", annotations(json!({})), mirror(), vec!["may not remove or update mirror pod annotation"]),
            ("new", mirror(), annotations(json!({"a": "b"})), vec!["may not add mirror pod annotation"]),
        ] {
            let found = pod_annotation_updates(&new, &old, "a");
            let details: Vec<_> = found.iter().map(|v| v.detail.as_str()).collect();
            assert_eq!(details, wrong, "{case}");
        }
    }
}
