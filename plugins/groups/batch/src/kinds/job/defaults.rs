//! What a Job gets that does not say. Source: API reference, "JobSpec".

use sdk_api::k8s_openapi::api::batch::v1::JobSpec;

/// Fills in a Job's own spec, its pod template included.
pub fn default_spec(spec: &mut JobSpec) {
    default_template(spec);
    // Neither number means one pod, once. With only the parallelism it is a work queue, which has no number to reach.
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let retries = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 };
    spec.backoff_limit.get_or_insert(retries);
    spec.completion_mode.get_or_insert_with(|| "NonIndexed".into());
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.into());
}

/// What a spec gets even inside a CronJob's template, whose other defaults come with the Job.
pub fn default_template(spec: &mut JobSpec) {
    sdk_workload::template_defaults(&mut spec.template);
    let rules = spec.pod_failure_policy.iter_mut().flat_map(|policy| policy.rules.iter_mut());
    for pattern in rules.flat_map(|rule| rule.on_pod_conditions.iter_mut().flatten()) {
        pattern.status.get_or_insert_with(|| "True".into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_upstreams() {
        for (case, spec, wanted) in [
            (
                "nothing",
                json!({}),
                json!({
                    "completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
                    "suspend": false, "podReplacementPolicy": "TerminatingOrFailed", "manualSelector": false,
                }),
            ),
            ("a work queue", json!({"parallelism": 3}), json!({"completions": null, "parallelism": 3})),
            ("each index on its own", json!({"backoffLimitPerIndex": 1}), json!({"backoffLimit": i32::MAX})),
            ("a failure policy", json!({"podFailurePolicy": {"rules": []}}), json!({"podReplacementPolicy": "Failed"})),
        ] {
            let mut spec: JobSpec = serde_json::from_value(spec).unwrap();
            default_spec(&mut spec);
            let spec = serde_json::to_value(spec).unwrap();
            for (field, value) in wanted.as_object().unwrap() {
                assert_eq!(spec[field], *value, "{case}: {field}");
            }
        }
    }
}
