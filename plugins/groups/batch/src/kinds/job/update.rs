//! What a Job may still change: how many pods, whether it is suspended; parts of the template only while it is.

use sdk_api::k8s_openapi::api::batch::v1::{Job, JobSpec};
use sdk_api::k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec};
use sdk_api::{Violations, checks};
use serde_json::json;

use super::validate::is_indexed;

/// Checks the change from `before`, the spec of the stored `old`.
pub fn validate(found: &mut Violations, new: &JobSpec, before: &JobSpec, old: &Job) {
    completions(found, new, before);
    checks::unchanged(found, "spec.selector", &new.selector, &before.selector);
    template(found, new, before, old);
    checks::unchanged(found, "spec.completionMode", &new.completion_mode, &before.completion_mode);
    checks::unchanged(found, "spec.podFailurePolicy", &new.pod_failure_policy, &before.pod_failure_policy);
    let limits = (&new.backoff_limit_per_index, &before.backoff_limit_per_index);
    checks::unchanged(found, "spec.backoffLimitPerIndex", limits.0, limits.1);
    checks::unchanged(found, "spec.managedBy", &new.managed_by, &before.managed_by);
    checks::unchanged(found, "spec.successPolicy", &new.success_policy, &before.success_policy);
}

/// The number to reach is fixed, but for indexed Jobs that run all indexes at once. Source: KEP-3715.
fn completions(found: &mut Violations, new: &JobSpec, before: &JobSpec) {
    const FIELD: &str = "spec.completions";
    if !is_indexed(new) {
        checks::unchanged(found, FIELD, &new.completions, &before.completions);
    } else if let Some(completions) = new.completions
        && new.completions != before.completions
        && new.completions != new.parallelism
    {
        found.invalid(FIELD, completions, "can only be modified in tandem with spec.parallelism");
    }
}

fn template(found: &mut Violations, new: &JobSpec, before: &JobSpec, old: &Job) {
    let status = old.status.clone().unwrap_or_default();
    let idle = status.start_time.is_none() || status.active.unwrap_or(0) == 0;
    let allowed = if before.suspend == Some(true) && idle {
        directives_of(&new.template, &before.template)
    } else {
        before.template.clone()
    };
    if new.template != allowed {
        found.invalid("spec.template", json!(new.template), "field is immutable");
    }
}

/// The old template with what a suspended Job without pods may change: where its pods go, their labels and annotations,
/// and what its containers ask for. Sources: KEP-2926 and KEP-5440.
fn directives_of(new: &PodTemplateSpec, before: &PodTemplateSpec) -> PodTemplateSpec {
    let mut allowed = before.clone();
    match (&new.metadata, &mut allowed.metadata) {
        (None, None) => {}
        (source, _) => {
            let source = source.clone().unwrap_or_default();
            let target = allowed.metadata.get_or_insert_default();
            (target.labels, target.annotations) = (source.labels, source.annotations);
            if new.metadata.is_none() && *target == Default::default() {
                allowed.metadata = None;
            }
        }
    }
    let (Some(target), Some(source)) = (&mut allowed.spec, &new.spec) else { return allowed };
    target.node_selector.clone_from(&source.node_selector);
    target.tolerations.clone_from(&source.tolerations);
    target.scheduling_gates.clone_from(&source.scheduling_gates);
    target.affinity = node_affinity_of(source.affinity.as_ref(), target.affinity.take());
    for (target, source) in target.containers.iter_mut().zip(&source.containers) {
        target.resources.clone_from(&source.resources);
    }
    let init = target.init_containers.iter_mut().flatten().zip(source.init_containers.iter().flatten());
    for (target, source) in init {
        target.resources.clone_from(&source.resources);
    }
    allowed
}

/// The old affinity with the node affinity of the new one. None is the same as one that says nothing.
fn node_affinity_of(new: Option<&Affinity>, before: Option<Affinity>) -> Option<Affinity> {
    let mut allowed = before.unwrap_or_default();
    allowed.node_affinity = new.and_then(|affinity| affinity.node_affinity.clone());
    if new.is_none() && allowed == Affinity::default() { None } else { Some(allowed) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::job;
    use super::*;

    #[test]
    fn little_may_change_after_the_start() {
        let image = json!([{"name": "c", "image": "other"}]);
        let bigger = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]);
        let node = json!({"nodeAffinity": {}});
        let pods = json!({"podAntiAffinity": {}});
        let paused = || json!({"suspend": true});
        let indexed = |n: i32| json!({"completionMode": "Indexed", "completions": n, "parallelism": n});
        let ran = json!({"startTime": "2026-01-01T00:00:00Z", "active": 1});
        let stopped = json!({"startTime": "2026-01-01T00:00:00Z", "active": 0});
        for (case, before, status, after, wrong) in [
            ("parallelism", json!({}), json!({}), json!({"parallelism": 5, "completions": 1}), ""),
            (
                "the number to reach",
                json!({}),
                json!({}),
                json!({"completions": 2}),
                "spec.completions: Invalid value: 2: field is immutable",
            ),
            ("both numbers", indexed(2), json!({}), indexed(3), ""),
            (
                "one number",
                indexed(2),
                json!({}),
                json!({"completionMode": "Indexed", "completions": 3, "parallelism": 2}),
                "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
            ),
            ("the image", json!({}), json!({}), json!({"pod.containers": image}), "spec.template"),
            ("a node selector", json!({}), json!({}), json!({"pod.nodeSelector": {"a": "b"}}), "spec.template"),
            ("a node selector while suspended", paused(), json!({}), json!({"pod.nodeSelector": {"a": "b"}}), ""),
            ("while pods end", paused(), ran, json!({"pod.nodeSelector": {"a": "b"}}), "spec.template"),
            ("after they ended", paused(), stopped.clone(), json!({"pod.nodeSelector": {"a": "b"}}), ""),
            ("resources while suspended", paused(), stopped, json!({"pod.containers": bigger}), ""),
            ("resources while running", json!({}), json!({}), json!({"pod.containers": bigger}), "spec.template"),
            ("the image while suspended", paused(), json!({}), json!({"pod.containers": image}), "spec.template"),
            ("node affinity while suspended", paused(), json!({}), json!({"pod.affinity": node}), ""),
            ("pod affinity while suspended", paused(), json!({}), json!({"pod.affinity": pods}), "spec.template"),
            ("the manager", json!({}), json!({}), json!({"managedBy": "a.io/b"}), "spec.managedBy"),
            ("the mode", indexed(1), json!({}), json!({"completions": 1}), "spec.completionMode"),
        ] {
            let (mut old, new) = (job(before), job(after));
            old.status = serde_json::from_value(status).unwrap();
            let mut found = Violations::default();
            validate(&mut found, new.spec.as_ref().unwrap(), old.spec.as_ref().unwrap(), &old);
            let summary = if found.is_empty() { String::new() } else { found.summary() };
            let exact = wrong.contains(": ") || wrong.is_empty();
            assert!(if exact { summary == wrong } else { summary.starts_with(wrong) }, "{case}: {summary}");
            assert!(found.fields().len() <= 1, "{case}: {summary}");
        }
        let cleared: Value = json!({"pod.affinity": {"nodeAffinity": {}}, "suspend": true});
        let mut found = Violations::default();
        let (old, new) = (job(cleared), job(paused()));
        validate(&mut found, new.spec.as_ref().unwrap(), old.spec.as_ref().unwrap(), &old);
        assert_eq!(found.fields(), Vec::<&str>::new());
    }
}
