//! What is wrong with a Job, in upstream's words.

use sdk_api::k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicyRule};
use sdk_api::k8s_openapi::api::core::v1::PodSpec;
use sdk_api::{LabelSelector, Violations, checks, names};
use serde_json::json;

const COMPLETIONS_MAX: i32 = 100_000;
const PARALLELISM_MAX: i32 = 100_000;
const FAILURE_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const POD_CONDITIONS_MAX: usize = 20;
const SUCCESS_RULES_MAX: usize = 20;
/// The longest `managedBy`, in bytes.
const MANAGER_MAX: usize = 63;

pub fn validate_job(found: &mut Violations, job: &Job, old: Option<&Job>) {
    let Some(spec) = &job.spec else {
        found.required("spec", "");
        return;
    };
    validate_spec(found, "spec", spec);
    if spec.selector.is_none() {
        found.required("spec.selector", "");
    }
    if let Some(selector) = &spec.selector {
        checks::label_selector(found, "spec.selector", selector);
        let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        if LabelSelector::from_typed(selector).is_ok_and(|selector| !selector.matches(&labels)) {
            found.invalid(
                "spec.template.metadata.labels",
                json!(labels),
                "`selector` does not match template `labels`",
            );
        }
    }
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if is_indexed(spec) && old.is_none() {
        let highest = format!("{name}-{}", spec.completions.unwrap_or(1).max(1) - 1);
        for problem in names::dns1123_label(&highest) {
            let why = format!("will not able to create pod with invalid DNS label {highest:?}: {problem}");
            found.invalid("metadata.name", name, why);
        }
    }
    if let Some(before) = old.and_then(|old| old.spec.as_ref()) {
        validate_update(found, spec, before, old);
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Checks a spec at `field`, of a Job or of a CronJob's template, but for the selector.
pub fn validate_spec(found: &mut Violations, field: &str, spec: &JobSpec) {
    let at = |name: &str| format!("{field}.{name}");
    checks::not_negative(found, at("parallelism"), spec.parallelism);
    checks::not_negative(found, at("completions"), spec.completions);
    checks::not_negative(found, at("activeDeadlineSeconds"), spec.active_deadline_seconds);
    checks::not_negative(found, at("backoffLimit"), spec.backoff_limit);
    checks::not_negative(found, at("ttlSecondsAfterFinished"), spec.ttl_seconds_after_finished);
    checks::not_negative(found, at("backoffLimitPerIndex"), spec.backoff_limit_per_index);
    checks::not_negative(found, at("maxFailedIndexes"), spec.max_failed_indexes);
    match spec.completion_mode.as_deref() {
        None | Some("NonIndexed" | "Indexed") => {}
        Some(other) => found.not_supported(at("completionMode"), other, &["Indexed", "NonIndexed"]),
    }
    if is_indexed(spec) {
        match spec.completions {
            None => {
                found.required(at("completions"), "when completion mode is Indexed");
            }
            Some(completions) if completions > COMPLETIONS_MAX && spec.backoff_limit_per_index.is_none() => {
                let why = format!("must be less than or equal to {COMPLETIONS_MAX} when completion mode is Indexed");
                found.invalid(at("completions"), completions, why);
            }
            Some(_) => {}
        }
        if let Some(parallelism) = spec.parallelism.filter(|parallelism| *parallelism > PARALLELISM_MAX) {
            let why = format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed");
            found.invalid(at("parallelism"), parallelism, why);
        }
    } else {
        for (name, value) in
            [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)]
        {
            if let Some(value) = value {
                found.invalid(at(name), value, "requires indexed completion mode");
            }
        }
    }
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        found.required(at("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let (Some(failed), Some(all)) = (spec.max_failed_indexes, spec.completions)
        && failed > all
    {
        found.invalid(at("maxFailedIndexes"), failed, "must be less than or equal to completions");
    }
    match spec.pod_replacement_policy.as_deref() {
        None | Some("Failed") => {}
        Some("TerminatingOrFailed") if spec.pod_failure_policy.is_some() => {
            found.not_supported(at("podReplacementPolicy"), "TerminatingOrFailed", &["Failed"]);
        }
        Some("TerminatingOrFailed") => {}
        Some(other) => found.not_supported(at("podReplacementPolicy"), other, &["Failed", "TerminatingOrFailed"]),
    }
    if let Some(manager) = spec.managed_by.as_deref() {
        if manager.len() > MANAGER_MAX {
            found.too_long(at("managedBy"), MANAGER_MAX);
        }
        for problem in names::qualified_name(manager) {
            found.invalid(at("managedBy"), manager, problem);
        }
    }
    template_of_job(found, field, spec);
    if let Some(policy) = &spec.pod_failure_policy {
        let field = at("podFailurePolicy");
        let restarts = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        if restarts != Some("Never") {
            let value = restarts.unwrap_or_default();
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            found.invalid(at("template.spec.restartPolicy"), value, why);
        }
        if policy.rules.len() > FAILURE_RULES_MAX {
            found.too_many(format!("{field}.rules"), policy.rules.len(), FAILURE_RULES_MAX);
        }
        for (n, rule) in policy.rules.iter().enumerate() {
            validate_failure_rule(found, &format!("{field}.rules[{n}]"), rule, spec);
        }
    }
    if let Some(policy) = &spec.success_policy {
        let field = at("successPolicy");
        if !is_indexed(spec) {
            found.invalid(&field, json!(policy), "requires indexed completion mode");
        }
        if policy.rules.is_empty() {
            found.required(
                format!("{field}.rules"),
                "at least one rules must be specified when the successPolicy is specified",
            );
        } else if policy.rules.len() > SUCCESS_RULES_MAX {
            found.too_many(format!("{field}.rules"), policy.rules.len(), SUCCESS_RULES_MAX);
        }
        for (n, rule) in policy.rules.iter().enumerate() {
            let field = format!("{field}.rules[{n}]");
            if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
                let why = "at least one of succeededCount or succeededIndexes must be specified";
                found.required(&field, why);
            }
            checks::not_negative(found, format!("{field}.succeededCount"), rule.succeeded_count);
        }
    }
}

/// The template must be valid, and its pods must end.
fn template_of_job(found: &mut Violations, field: &str, spec: &JobSpec) {
    let field = format!("{field}.template");
    found.extend(sdk_workload::validate_template(&spec.template, &field, sdk_workload::Options::default()));
    let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or_default();
    if !matches!(policy, "Never" | "OnFailure") {
        let field = format!("{field}.spec.restartPolicy");
        if policy == "Always" {
            found.required(field, "valid values: \"OnFailure\", \"Never\"");
        } else {
            found.not_supported(field, policy, &["Never", "OnFailure"]);
        }
    }
}

fn container_exists(spec: &PodSpec, name: &str) -> bool {
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|container| container.name == name)
}

fn validate_failure_rule(found: &mut Violations, field: &str, rule: &PodFailurePolicyRule, job: &JobSpec) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    match rule.action.as_str() {
        "" => {
            let why = format!("valid values: {:?}", ACTIONS.map(|action| action.to_owned()));
            found.required(format!("{field}.action"), why);
        }
        "FailIndex" if job.backoff_limit_per_index.is_none() => {
            found.invalid(format!("{field}.action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        action if ACTIONS.contains(&action) => {}
        other => found.not_supported(format!("{field}.action"), other, &ACTIONS),
    }
    let conditions = rule.on_pod_conditions.as_deref().unwrap_or_default();
    match (&rule.on_exit_codes, conditions.is_empty()) {
        (Some(_), false) => {
            let why = "specifying both OnExitCodes and OnPodConditions is not supported";
            found.invalid(field, json!(rule), why);
        }
        (None, true) => {
            let why = "specifying one of OnExitCodes and OnPodConditions is required";
            found.invalid(field, json!(rule), why);
        }
        _ => {}
    }
    if let Some(codes) = &rule.on_exit_codes {
        let field = format!("{field}.onExitCodes");
        match codes.operator.as_str() {
            "In" | "NotIn" => {}
            "" => found.required(format!("{field}.operator"), "valid values: [\"In\" \"NotIn\"]"),
            other => found.not_supported(format!("{field}.operator"), other, &["In", "NotIn"]),
        }
        if let Some(name) = &codes.container_name
            && !job.template.spec.as_ref().is_some_and(|spec| container_exists(spec, name))
        {
            let why = "must be one of the container or initContainer names in the pod template";
            found.invalid(format!("{field}.containerName"), name.as_str(), why);
        }
        let values = &codes.values;
        if values.is_empty() {
            found.invalid(format!("{field}.values"), json!(values), "at least one value is required");
        } else if values.len() > EXIT_CODES_MAX {
            found.too_many(format!("{field}.values"), values.len(), EXIT_CODES_MAX);
        }
        for (n, value) in values.iter().enumerate() {
            if *value == 0 && codes.operator == "In" {
                found.invalid(format!("{field}.values[{n}]"), 0, "must not be 0 for the In operator");
            }
            if values[..n].contains(value) {
                found.duplicate(format!("{field}.values[{n}]"), *value);
            } else if n > 0 && values[n - 1] > *value {
                found.invalid(format!("{field}.values"), json!(values), "must be ordered");
            }
        }
    }
    if conditions.len() > POD_CONDITIONS_MAX {
        found.too_many(format!("{field}.onPodConditions"), conditions.len(), POD_CONDITIONS_MAX);
    }
    for (n, pattern) in conditions.iter().enumerate() {
        let field = format!("{field}.onPodConditions[{n}]");
        for problem in names::qualified_name(&pattern.type_) {
            found.invalid(format!("{field}.type"), pattern.type_.as_str(), problem);
        }
        match pattern.status.as_deref() {
            Some("True" | "False" | "Unknown") => {}
            None | Some("") => {
                found.required(format!("{field}.status"), "valid values: [\"False\" \"True\" \"Unknown\"]")
            }
            Some(other) => found.not_supported(format!("{field}.status"), other, &["False", "True", "Unknown"]),
        }
    }
}

/// What a Job may still change: how many pods, whether it is suspended; the template only before it started.
fn validate_update(found: &mut Violations, new: &JobSpec, before: &JobSpec, old: Option<&Job>) {
    let elastic = is_indexed(new) && new.completions == new.parallelism;
    if new.completions != before.completions && !elastic {
        found.invalid("spec.completions", new.completions.map_or(json!(null), |n| json!(n)), "field is immutable");
    }
    checks::unchanged(found, "spec.selector", &new.selector, &before.selector);
    let status = old.and_then(|old| old.status.as_ref());
    let not_started = before.suspend == Some(true) && status.is_none_or(|status| status.start_time.is_none());
    let allowed = if not_started { directives_of(&new.template, &before.template) } else { before.template.clone() };
    if new.template != allowed {
        found.invalid("spec.template", json!(new.template), "field is immutable");
    }
    checks::unchanged(found, "spec.completionMode", &new.completion_mode, &before.completion_mode);
    checks::unchanged(found, "spec.podFailurePolicy", &new.pod_failure_policy, &before.pod_failure_policy);
    checks::unchanged(
        found,
        "spec.backoffLimitPerIndex",
        &new.backoff_limit_per_index,
        &before.backoff_limit_per_index,
    );
    checks::unchanged(found, "spec.managedBy", &new.managed_by, &before.managed_by);
    checks::unchanged(found, "spec.successPolicy", &new.success_policy, &before.success_policy);
}

type Template = sdk_api::k8s_openapi::api::core::v1::PodTemplateSpec;

/// The old template with the scheduling directives, labels, annotations and resources of the new one, which may change
/// while a Job is suspended and has not started. Source: KEP-2926.
fn directives_of(new: &Template, before: &Template) -> Template {
    let mut allowed = before.clone();
    if let Some(meta) = &new.metadata {
        let target = allowed.metadata.get_or_insert_default();
        target.labels = meta.labels.clone();
        target.annotations = meta.annotations.clone();
    } else {
        allowed.metadata = None;
    }
    if let (Some(target), Some(source)) = (&mut allowed.spec, &new.spec) {
        target.node_selector = source.node_selector.clone();
        target.affinity = source.affinity.clone();
        target.tolerations = source.tolerations.clone();
        target.scheduling_gates = source.scheduling_gates.clone();
        for (target, source) in target.containers.iter_mut().zip(&source.containers) {
            target.resources = source.resources.clone();
        }
    }
    allowed
}

pub fn validate_status(found: &mut Violations, new: &Job, old: &Job) {
    let (Some(status), before) = (&new.status, old.status.clone().unwrap_or_default()) else { return };
    for (name, count) in [
        ("active", status.active),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("ready", status.ready),
        ("terminating", status.terminating),
    ] {
        checks::not_negative(found, format!("status.{name}"), count);
    }
    let finished = |conditions: &Option<Vec<_>>, kind: &str| {
        conditions
            .iter()
            .flatten()
            .any(|c: &sdk_api::k8s_openapi::api::batch::v1::JobCondition| c.type_ == kind && c.status == "True")
    };
    if finished(&status.conditions, "Complete") && finished(&status.conditions, "Failed") {
        found.invalid(
            "status.conditions",
            json!(status.conditions),
            "cannot set Complete=True and Failed=true conditions",
        );
    }
    for kind in ["Complete", "Failed"] {
        if finished(&before.conditions, kind) && !finished(&status.conditions, kind) {
            let why = format!("cannot disable {kind}=True condition");
            found.invalid("status.conditions", json!(status.conditions), why);
        }
    }
    if before.completion_time.is_some() && status.completion_time != before.completion_time {
        found.invalid("status.completionTime", json!(status.completion_time), "field is immutable");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::default_spec;
    use super::*;

    fn job(changes: Value) -> Job {
        let mut spec = json!({
            "selector": {"matchLabels": {"u": "1"}},
            "template": {
                "metadata": {"labels": {"u": "1"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
            },
        });
        for (name, value) in changes.as_object().unwrap() {
            match name.strip_prefix("pod.") {
                Some(name) => spec["template"]["spec"][name] = value.clone(),
                None => spec[name] = value.clone(),
            }
        }
        let mut job: Job = serde_json::from_value(json!({"metadata": {"name": "j"}, "spec": spec})).unwrap();
        default_spec(job.spec.as_mut().unwrap());
        job
    }

    #[test]
    fn specs_are_checked() {
        let exit_codes =
            |codes: Value| json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": codes}]}});
        for (case, changes, wrong) in [
            ("plain", json!({}), vec![]),
            ("negative", json!({"parallelism": -1, "backoffLimit": -1}), vec!["spec.parallelism", "spec.backoffLimit"]),
            ("for ever", json!({"pod.restartPolicy": "Always"}), vec!["spec.template.spec.restartPolicy"]),
            ("an unknown mode", json!({"completionMode": "Some"}), vec!["spec.completionMode"]),
            (
                "indexed without a number",
                json!({"completionMode": "Indexed", "parallelism": 2}),
                vec!["spec.completions"],
            ),
            ("per index without indexes", json!({"backoffLimitPerIndex": 1}), vec!["spec.backoffLimitPerIndex"]),
            ("no labels", json!({"selector": {"matchLabels": {"u": "2"}}}), vec!["spec.template.metadata.labels"]),
            (
                "zero is no failure",
                exit_codes(json!({"operator": "In", "values": [0, 1]})),
                vec!["spec.podFailurePolicy.rules[0].onExitCodes.values[0]"],
            ),
            (
                "an unknown container",
                exit_codes(json!({"operator": "In", "values": [1], "containerName": "x"})),
                vec!["spec.podFailurePolicy.rules[0].onExitCodes.containerName"],
            ),
            (
                "a rule about nothing",
                json!({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}}),
                vec!["spec.podFailurePolicy.rules[0]"],
            ),
            (
                "an early success of one",
                json!({"successPolicy": {"rules": [{"succeededCount": 1}]}}),
                vec!["spec.successPolicy"],
            ),
        ] {
            let mut found = Violations::default();
            validate_job(&mut found, &job(changes), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn little_may_change_after_the_start() {
        let image = json!([{"name": "c", "image": "other"}]);
        for (case, before, after, wrong) in [
            ("parallelism", json!({}), json!({"parallelism": 5, "completions": 1}), vec![]),
            ("the number to reach", json!({}), json!({"completions": 2}), vec!["spec.completions"]),
            ("the image", json!({}), json!({"pod.containers": image}), vec!["spec.template"]),
            ("a node selector", json!({}), json!({"pod.nodeSelector": {"a": "b"}}), vec!["spec.template"]),
            (
                "a node selector while suspended",
                json!({"suspend": true}),
                json!({"pod.nodeSelector": {"a": "b"}}),
                vec![],
            ),
            (
                "the image while suspended",
                json!({"suspend": true}),
                json!({"pod.containers": image}),
                vec!["spec.template"],
            ),
        ] {
            let mut found = Violations::default();
            validate_job(&mut found, &job(after), Some(&job(before)));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn a_finished_job_stays_finished() {
        let with = |status: Value| -> Job { serde_json::from_value(json!({"status": status})).unwrap() };
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        for (case, new, old, wrong) in [
            ("complete", complete.clone(), json!({}), vec![]),
            ("no longer", json!({}), complete, vec!["status.conditions"]),
            ("negative", json!({"active": -1}), json!({}), vec!["status.active"]),
        ] {
            let mut found = Violations::default();
            validate_status(&mut found, &with(new), &with(old));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
