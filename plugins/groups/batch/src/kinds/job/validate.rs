//! What is wrong with the spec of a Job, in upstream's words.

use sdk_api::k8s_openapi::api::batch::v1::{Job, JobSpec};
use sdk_api::{LabelSelector, Violations, checks, domains, names};
use serde_json::json;

use super::{CONTROLLER_UID, JOB_NAME, OLD_CONTROLLER_UID, OLD_JOB_NAME, policy, update};

const PARALLELISM_MAX: i32 = 100_000;
const FAILED_INDEXES_MAX: i32 = 100_000;
/// From here on an indexed Job with limits per index must be modest in other ways.
const MANY_COMPLETIONS: i32 = 100_000;
const PARALLELISM_OF_MANY_MAX: i32 = 10_000;
const FAILED_INDEXES_OF_MANY_MAX: i32 = 10_000;
/// The longest `managedBy`, in bytes.
const MANAGER_MAX: usize = 63;

pub fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Checks a Job, and on an update the change from `old`.
pub fn validate_job(found: &mut Violations, job: &Job, old: Option<&Job>) {
    let Some(spec) = &job.spec else {
        found.required("spec", "");
        return;
    };
    let before = old.and_then(|old| old.spec.as_ref());
    generated_selector(found, job, spec, before);
    validate_spec(found, "spec", spec);
    selector(found, spec);
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if let Some(completions) = spec.completions.filter(|completions| *completions > 0 && is_indexed(spec)) {
        let highest = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&highest).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {highest}");
            found.invalid("metadata.name", name, why);
        }
    }
    if let (Some(before), Some(old)) = (before, old) {
        update::validate(found, spec, before, old);
    }
}

/// A selector that was not given by hand selects the Job's own pods and no others.
fn generated_selector(found: &mut Violations, job: &Job, spec: &JobSpec, before: Option<&JobSpec>) {
    let Some(selector) = spec.selector.as_ref().filter(|_| spec.manual_selector != Some(true)) else { return };
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let name = job.metadata.name.clone().unwrap_or_default();
    if uid.is_empty() {
        found.required("metadata.uid", "");
    }
    let labels_of = |spec: &JobSpec| spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone());
    let mut wanted = vec![(OLD_CONTROLLER_UID, &uid), (OLD_JOB_NAME, &name)];
    // Jobs from before the labels had a prefix go on without them.
    let had = |spec: &JobSpec| {
        labels_of(spec).is_some_and(|labels| labels.contains_key(CONTROLLER_UID) && labels.contains_key(JOB_NAME))
    };
    if before.is_none_or(had) {
        wanted.extend([(CONTROLLER_UID, &uid), (JOB_NAME, &name)]);
    }
    let labels = labels_of(spec).unwrap_or_default();
    for (label, value) in &wanted {
        let field = format!("spec.template.metadata.labels[{label}]");
        match labels.get(*label) {
            None => found.required(field, format!("must be '{value}'")),
            Some(given) if given != *value => found.invalid(field, json!(labels), format!("must be '{value}'")),
            Some(_) => {}
        }
    }
    let expected = wanted.into_iter().map(|(label, value)| (label.to_owned(), value.clone())).collect();
    if LabelSelector::from_typed(selector).is_ok_and(|selector| !selector.matches(&expected)) {
        found.invalid("spec.selector", json!(selector), "`selector` not auto-generated");
    }
}

fn selector(found: &mut Violations, spec: &JobSpec) {
    match &spec.selector {
        None => found.required("spec.selector", ""),
        Some(selector) => checks::label_selector(found, "spec.selector", selector),
    }
    let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone());
    let matches = match spec.selector.as_ref().map(LabelSelector::from_typed) {
        None => false,
        Some(Err(_)) => true,
        Some(Ok(selector)) => selector.matches(&labels.clone().unwrap_or_default()),
    };
    if !matches {
        let why = "`selector` does not match template `labels`";
        found.invalid("spec.template.metadata.labels", json!(labels), why);
    }
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
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        found.required(at("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.managed_by.as_deref() {
        domains::domain_prefixed_path(found, at("managedBy"), manager);
        if manager.len() > MANAGER_MAX {
            found.too_long(at("managedBy"), MANAGER_MAX);
        }
    }
    match spec.completion_mode.as_deref() {
        Some("Indexed") => indexed(found, field, spec),
        None | Some("NonIndexed") => {
            for (name, value) in
                [("backoffLimitPerIndex", spec.backoff_limit_per_index), ("maxFailedIndexes", spec.max_failed_indexes)]
            {
                if let Some(value) = value {
                    found.invalid(at(name), value, "requires indexed completion mode");
                }
            }
        }
        Some(other) => found.not_supported(at("completionMode"), other, &["Indexed", "NonIndexed"]),
    }
    policy::policies(found, field, spec);
    match spec.pod_replacement_policy.as_deref() {
        None | Some("Failed") => {}
        Some(other) if spec.pod_failure_policy.is_some() => {
            found.not_supported(at("podReplacementPolicy"), other, &["Failed"]);
        }
        Some("TerminatingOrFailed") => {}
        Some(other) => found.not_supported(at("podReplacementPolicy"), other, &["Failed", "TerminatingOrFailed"]),
    }
    template(found, field, spec);
}

/// Numbers of an indexed Job.
fn indexed(found: &mut Violations, field: &str, spec: &JobSpec) {
    let at = |name: &str| format!("{field}.{name}");
    let mut at_most = |name: &str, value: Option<i32>, max: i32, when: &str| {
        if let Some(value) = value.filter(|value| *value > max) {
            found.invalid(at(name), value, format!("must be less than or equal to {max}{when}"));
        }
    };
    at_most("parallelism", spec.parallelism, PARALLELISM_MAX, " when completion mode is Indexed");
    at_most("maxFailedIndexes", spec.max_failed_indexes, FAILED_INDEXES_MAX, "");
    let many = spec.completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if many && spec.backoff_limit_per_index.is_some() {
        let when = format!(" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index");
        at_most("parallelism", spec.parallelism, PARALLELISM_OF_MANY_MAX, &when);
        at_most("maxFailedIndexes", spec.max_failed_indexes, FAILED_INDEXES_OF_MANY_MAX, &when);
        if spec.max_failed_indexes.is_none() {
            let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            found.required(at("maxFailedIndexes"), why);
        }
    }
    match (spec.max_failed_indexes, spec.completions) {
        (_, None) => found.required(at("completions"), "when completion mode is Indexed"),
        (Some(failed), Some(all)) if failed > all => {
            found.invalid(at("maxFailedIndexes"), failed, "must be less than or equal to completions");
        }
        _ => {}
    }
}

/// The template must be valid, and its pods must end.
fn template(found: &mut Violations, field: &str, spec: &JobSpec) {
    let path = format!("{field}.template");
    found.extend(sdk_workload::validate_template(&spec.template, &path, sdk_workload::Options::default()));
    let field = format!("{path}.spec.restartPolicy");
    let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    match policy.unwrap_or_default() {
        "" | "Always" => found.required(field, "valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            found.invalid(field, "OnFailure", "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" => {}
        other => found.not_supported(field, other, &["Never", "OnFailure"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::job;
    use super::*;

    #[test]
    fn specs_are_checked() {
        let exit_codes =
            |codes: Value| json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": codes}]}});
        let indexed = |more: Value| {
            let mut spec = json!({"completionMode": "Indexed", "completions": 5});
            for (name, value) in more.as_object().unwrap() {
                spec[name] = value.clone();
            }
            spec
        };
        let success = |rule: Value| indexed(json!({"successPolicy": {"rules": [rule]}}));
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
            (
                "a limit of failures alone",
                indexed(json!({"maxFailedIndexes": 6})),
                vec!["spec.backoffLimitPerIndex", "spec.maxFailedIndexes"],
            ),
            (
                "very many indexes, each with its limit",
                indexed(json!({"completions": 100_001, "backoffLimitPerIndex": 1, "parallelism": 10_001})),
                vec!["spec.parallelism", "spec.maxFailedIndexes"],
            ),
            ("very many indexes", indexed(json!({"completions": 100_001, "parallelism": 1})), vec![]),
            ("no labels", json!({"selector": {"matchLabels": {"u": "2"}}}), vec!["spec.template.metadata.labels"]),
            ("a manager", json!({"managedBy": "kueue.x-k8s.io/multikueue"}), vec![]),
            ("a manager of no domain", json!({"managedBy": "kueue"}), vec!["spec.managedBy"]),
            (
                "zero is no failure",
                exit_codes(json!({"operator": "In", "values": [0, 1]})),
                vec!["spec.podFailurePolicy.rules[0].onExitCodes.values[0]"],
            ),
            (
                "codes in no order, one twice",
                exit_codes(json!({"operator": "NotIn", "values": [2, 1, 2]})),
                vec![
                    "spec.podFailurePolicy.rules[0].onExitCodes.values[2]",
                    "spec.podFailurePolicy.rules[0].onExitCodes.values",
                ],
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
                "an unknown condition status",
                json!({"podFailurePolicy": {"rules": [
                    {"action": "", "onPodConditions": [{"type": "DisruptionTarget", "status": "Maybe"}]},
                ]}}),
                vec![
                    "spec.podFailurePolicy.rules[0].action",
                    "spec.podFailurePolicy.rules[0].onPodConditions[0].status",
                ],
            ),
            (
                "a failure policy of pods that restart",
                json!({"pod.restartPolicy": "OnFailure", "podFailurePolicy": {"rules": []}}),
                vec!["spec.template.spec.restartPolicy"],
            ),
            (
                "pods replaced before they failed",
                json!({"podReplacementPolicy": "TerminatingOrFailed", "podFailurePolicy": {"rules": []}}),
                vec!["spec.podReplacementPolicy"],
            ),
            (
                "an early success of one",
                json!({"successPolicy": {"rules": [{"succeededCount": 1}]}}),
                vec!["spec.successPolicy"],
            ),
            ("an early success", success(json!({"succeededIndexes": "0,2-3", "succeededCount": 2})), vec![]),
            ("a success of nothing", success(json!({})), vec!["spec.successPolicy.rules[0]"]),
            (
                "more than there are",
                success(json!({"succeededIndexes": "0-1", "succeededCount": 6})),
                vec!["spec.successPolicy.rules[0].succeededCount", "spec.successPolicy.rules[0].succeededCount"],
            ),
            (
                "an index that is not there",
                success(json!({"succeededIndexes": "5"})),
                vec!["spec.successPolicy.rules[0].succeededIndexes"],
            ),
        ] {
            let mut found = Violations::default();
            validate_job(&mut found, &job(changes), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn a_generated_selector_is_the_jobs_own() {
        let labels = |uid: &str| {
            json!({
                "controller-uid": uid, "job-name": "j", "batch.kubernetes.io/controller-uid": uid,
                "batch.kubernetes.io/job-name": "j",
            })
        };
        let own = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
        for (case, selector, labels, wrong) in [
            ("own", own.clone(), labels("u"), ""),
            (
                "another uid",
                own.clone(),
                json!({"controller-uid": "x", "job-name": "j", "batch.kubernetes.io/job-name": "j",
                    "batch.kubernetes.io/controller-uid": "u"}),
                "spec.template.metadata.labels[controller-uid]: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\",\
                 \"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"x\",\"job-name\":\"j\"}: must be 'u'",
            ),
            (
                "a label missing",
                own,
                json!({"controller-uid": "u", "batch.kubernetes.io/job-name": "j", "batch.kubernetes.io/controller-uid": "u"}),
                "spec.template.metadata.labels[job-name]: Required value: must be 'j'",
            ),
            (
                "a selector of something else",
                json!({"matchLabels": {"app": "x"}}),
                {
                    let mut all = labels("u");
                    all["app"] = json!("x");
                    all
                },
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: `selector` not auto-generated",
            ),
        ] {
            let mut job = job(json!({"manualSelector": false, "selector": selector}));
            job.metadata.uid = Some("u".into());
            let template = job.spec.as_mut().unwrap().template.metadata.as_mut().unwrap();
            template.labels = serde_json::from_value(labels).unwrap();
            let mut found = Violations::default();
            validate_job(&mut found, &job, None);
            let summary = if found.is_empty() { String::new() } else { found.summary() };
            assert_eq!(summary, wrong, "{case}");
        }
    }
}
