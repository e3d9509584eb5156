//! What controllers may write into the status of a Job. Most rules hold only for what changes, since a spec that was
//! just scaled may leave an older status behind. Source: KEP-4368.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use sdk_api::{Violations, checks};
use serde_json::json;

use super::indexes;
use super::validate::is_indexed;

const CONDITIONS: &str = "status.conditions";

/// Whether a condition holds.
fn has(status: &JobStatus, kind: &str) -> bool {
    let holds = |condition: &JobCondition| condition.type_ == kind && condition.status == "True";
    status.conditions.iter().flatten().any(holds)
}

fn is_finished(status: &JobStatus) -> bool {
    has(status, "Complete") || has(status, "Failed")
}

/// Checks the status of `new` against that of `old`.
pub fn validate(found: &mut Violations, new: &Job, old: &Job) {
    let (status, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let spec = new.spec.clone().unwrap_or_default();
    counts(found, &status);
    uncounted(found, &status);
    conditions(found, &spec, &status, &before);
    times(found, &spec, &status, &before);
    finished(found, &status, &before);
    index_lists(found, &spec, &status, &before);
    let number = |count: Option<i32>| count.unwrap_or(0);
    if number(status.failed) < number(before.failed) {
        found.invalid("status.failed", number(status.failed), "cannot decrease the failed counter");
    }
    // Jobs that run all indexes at once can be scaled down.
    let shrinks = is_indexed(&spec) && spec.completions == spec.parallelism;
    if number(status.succeeded) < number(before.succeeded) && !shrinks {
        found.invalid("status.succeeded", number(status.succeeded), "cannot decrease the succeeded counter");
    }
}

fn counts(found: &mut Violations, status: &JobStatus) {
    for (name, count) in [
        ("active", status.active),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("ready", status.ready),
        ("terminating", status.terminating),
    ] {
        checks::not_negative(found, format!("status.{name}"), count);
    }
}

fn uncounted(found: &mut Violations, status: &JobStatus) {
    let Some(pods) = &status.uncounted_terminated_pods else { return };
    let mut seen = BTreeSet::new();
    for (name, list) in [("succeeded", &pods.succeeded), ("failed", &pods.failed)] {
        for (at, uid) in list.iter().flatten().enumerate() {
            let field = format!("status.uncountedTerminatedPods.{name}[{at}]");
            if uid.is_empty() {
                found.invalid(field, "", "must not be empty");
            } else if !seen.insert(uid) {
                found.duplicate(field, uid.as_str());
            }
        }
    }
}

fn conditions(found: &mut Violations, spec: &JobSpec, status: &JobStatus, before: &JobStatus) {
    let changed = |kind: &str| has(status, kind) != has(before, kind);
    let mut refuse = |why: &str| found.invalid_unshown(CONDITIONS, why);
    let all = |kinds: [&str; 2]| kinds.into_iter().all(|kind| has(status, kind));
    if (changed("Complete") || changed("Failed")) && all(["Complete", "Failed"]) {
        refuse("cannot set Complete=True and Failed=true conditions");
    }
    if (changed("Complete") || changed("FailureTarget")) && all(["Complete", "FailureTarget"]) {
        refuse("cannot set Complete=True and FailureTarget=true conditions");
    }
    if all(["SuccessCriteriaMet", "Failed"]) {
        refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if all(["SuccessCriteriaMet", "FailureTarget"]) {
        refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if spec.success_policy.is_some() && has(status, "Complete") && !has(status, "SuccessCriteriaMet") {
        refuse("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if has(before, kind) && !has(status, kind) {
            refuse(&format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    if has(before, "SuccessCriteriaMet") && !has(status, "SuccessCriteriaMet") {
        refuse("cannot disable the SuccessCriteriaMet=True condition");
    }
    if has(before, "Complete") && !has(before, "SuccessCriteriaMet") && has(status, "SuccessCriteriaMet") {
        refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
}

fn times(found: &mut Violations, spec: &JobSpec, status: &JobStatus, before: &JobStatus) {
    const COMPLETION: &str = "status.completionTime";
    let complete = has(status, "Complete");
    let start_changed = status.start_time != before.start_time;
    let end_changed = status.completion_time != before.completion_time;
    if complete != has(before, "Complete") || end_changed {
        if status.completion_time.is_some() && !complete {
            let why = "cannot set completionTime when there is no Complete=True condition";
            found.invalid(COMPLETION, json!(status.completion_time), why);
        }
        if status.completion_time.is_none() && complete {
            found.required(COMPLETION, "completionTime is required for Complete jobs");
        }
    }
    if let (Some(start), Some(end)) = (&status.start_time, &status.completion_time)
        && (start_changed || end_changed)
        && end < start
    {
        found.invalid(COMPLETION, json!(end), "completionTime cannot be set before startTime");
    }
    if end_changed && status.completion_time.is_some() && before.completion_time.is_some() {
        found.invalid(COMPLETION, json!(status.completion_time), "completionTime cannot be mutated");
    }
    if start_changed && before.start_time.is_some() && spec.suspend != Some(true) {
        found.required("status.startTime", "startTime cannot be removed for unsuspended job");
    }
}

fn finished(found: &mut Violations, status: &JobStatus, before: &JobStatus) {
    if !is_finished(status) {
        return;
    }
    let just_now = !is_finished(before);
    if let Some(active) = status.active.filter(|active| *active > 0)
        && (just_now || status.active != before.active)
    {
        found.invalid("status.active", active, "active>0 is invalid for finished job");
    }
    if status.start_time.is_none() && (just_now || before.start_time.is_some()) {
        found.required("status.startTime", "startTime is required for finished job");
    }
    if let Some(pods) = &status.uncounted_terminated_pods
        && (just_now || status.uncounted_terminated_pods != before.uncounted_terminated_pods)
        && [&pods.failed, &pods.succeeded].into_iter().flatten().any(|list| !list.is_empty())
    {
        let why = "uncountedTerminatedPods needs to be empty for finished job";
        found.invalid("status.uncountedTerminatedPods", json!(pods), why);
    }
}

fn index_lists(found: &mut Violations, spec: &JobSpec, status: &JobStatus, before: &JobStatus) {
    const COMPLETED: &str = "status.completedIndexes";
    const FAILED: &str = "status.failedIndexes";
    let completed = status.completed_indexes.as_deref().unwrap_or_default();
    let completed_changed = completed != before.completed_indexes.as_deref().unwrap_or_default();
    let failed_changed = status.failed_indexes != before.failed_indexes;
    if let Some(completions) = spec.completions.filter(|_| completed_changed)
        && let Err(why) = indexes::count(completed, completions)
    {
        found.invalid(COMPLETED, completed, format!("error parsing completedIndexes: {why}"));
    }
    let failed = status.failed_indexes.as_deref();
    if let (Some(completions), Some(failed), true) = (spec.completions, failed, failed_changed)
        && spec.backoff_limit_per_index.is_some()
        && let Err(why) = indexes::count(failed, completions)
    {
        found.invalid(FAILED, failed, format!("error parsing failedIndexes: {why}"));
    }
    if completed_changed && !completed.is_empty() && !is_indexed(spec) {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        found.invalid(COMPLETED, completed, why);
    }
    if let Some(failed) = failed.filter(|_| failed_changed && spec.backoff_limit_per_index.is_none()) {
        found.invalid(FAILED, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if let (Some(completions), Some(failed)) = (spec.completions, failed)
        && (completed_changed || failed_changed)
        && let Some(index) = indexes::overlap(completed, failed, completions)
    {
        found.invalid(FAILED, failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::job;
    use super::*;

    const START: &str = "2026-01-01T00:00:00Z";
    const END: &str = "2026-01-01T00:01:00Z";

    fn with(conditions: &[&str], more: Value) -> Value {
        let list: Vec<_> = conditions.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        let mut status = json!({"conditions": list});
        for (name, value) in more.as_object().unwrap() {
            status[name] = value.clone();
        }
        status
    }

    #[test]
    fn a_status_tells_one_story() {
        let indexed =
            || json!({"completionMode": "Indexed", "completions": 5, "parallelism": 2, "backoffLimitPerIndex": 1});
        let done = || with(&["Complete"], json!({"startTime": START, "completionTime": END}));
        for (case, spec, old, new, wrong) in [
            ("running", json!({}), json!({}), json!({"startTime": START, "active": 1}), vec![]),
            ("done", json!({}), json!({"startTime": START}), done(), vec![]),
            ("negative", json!({}), json!({}), json!({"active": -1}), vec!["status.active"]),
            ("no longer", json!({}), done(), json!({"startTime": START}), vec![CONDITIONS]),
            (
                "both ends",
                json!({}),
                json!({}),
                with(&["Complete", "Failed"], json!({"startTime": START, "completionTime": END})),
                vec![CONDITIONS],
            ),
            (
                "no times",
                json!({}),
                json!({}),
                with(&["Complete"], json!({})),
                vec!["status.completionTime", "status.startTime"],
            ),
            (
                "ended before it started",
                json!({}),
                json!({}),
                with(&["Complete"], json!({"startTime": END, "completionTime": START})),
                vec!["status.completionTime"],
            ),
            (
                "an end without success",
                json!({}),
                json!({}),
                json!({"completionTime": END}),
                vec!["status.completionTime"],
            ),
            (
                "another end",
                json!({}),
                done(),
                with(&["Complete"], json!({"startTime": START, "completionTime": "2026-01-01T00:02:00Z"})),
                vec!["status.completionTime"],
            ),
            ("no start any more", json!({}), json!({"startTime": START}), json!({}), vec!["status.startTime"]),
            ("no start while suspended", json!({"suspend": true}), json!({"startTime": START}), json!({}), vec![]),
            (
                "still active",
                json!({}),
                json!({}),
                with(&["Failed"], json!({"startTime": START, "active": 1})),
                vec!["status.active"],
            ),
            (
                "pods not counted",
                json!({}),
                json!({}),
                with(&["Failed"], json!({"startTime": START, "uncountedTerminatedPods": {"failed": ["u"]}})),
                vec!["status.uncountedTerminatedPods"],
            ),
            (
                "a pod counted twice",
                json!({}),
                json!({}),
                json!({"uncountedTerminatedPods": {"failed": ["u", ""], "succeeded": ["u"]}}),
                vec!["status.uncountedTerminatedPods.failed[0]", "status.uncountedTerminatedPods.failed[1]"],
            ),
            (
                "fewer",
                json!({}),
                json!({"failed": 2, "succeeded": 2}),
                json!({"failed": 1, "succeeded": 1}),
                vec!["status.failed", "status.succeeded"],
            ),
            ("indexes", indexed(), json!({}), json!({"completedIndexes": "0,2-3", "failedIndexes": "1"}), vec![]),
            (
                "indexes of no indexed job",
                json!({}),
                json!({}),
                json!({"completedIndexes": "0", "failedIndexes": "0"}),
                vec!["status.completedIndexes", "status.failedIndexes", "status.failedIndexes"],
            ),
            ("malformed", indexed(), json!({}), json!({"completedIndexes": "0-9"}), vec!["status.completedIndexes"]),
            (
                "malformed before",
                indexed(),
                json!({"completedIndexes": "0-9"}),
                json!({"completedIndexes": "0-9"}),
                vec![],
            ),
            (
                "in both lists",
                indexed(),
                json!({}),
                json!({"completedIndexes": "0-2", "failedIndexes": "1"}),
                vec!["status.failedIndexes"],
            ),
            (
                "success given up",
                indexed(),
                with(&["SuccessCriteriaMet"], json!({})),
                with(&["FailureTarget"], json!({})),
                vec![CONDITIONS],
            ),
        ] {
            let mut jobs = [job(spec.clone()), job(spec)];
            jobs[0].status = serde_json::from_value(old).unwrap();
            jobs[1].status = serde_json::from_value(new).unwrap();
            let mut found = Violations::default();
            validate(&mut found, &jobs[1], &jobs[0]);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
