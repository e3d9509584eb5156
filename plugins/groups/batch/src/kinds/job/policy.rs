//! When a Job fails early, and when it succeeds early. Sources: KEP-3329 and KEP-3998.

use sdk_api::k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
    SuccessPolicyRule,
};
use sdk_api::{Violations, checks, names};
use serde_json::json;

use super::indexes;
use super::validate::is_indexed;

const FAILURE_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const POD_CONDITIONS_MAX: usize = 20;
const SUCCESS_RULES_MAX: usize = 20;
/// Bytes of a list of indexes.
const INDEXES_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// Go writes lists without commas.
fn listed(values: &[&str]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// A text that must be one of a few.
fn one_of(found: &mut Violations, field: String, value: &str, supported: &[&str]) {
    if value.is_empty() {
        found.required(field, listed(supported));
    } else if !supported.contains(&value) {
        found.not_supported(field, value, supported);
    }
}

/// Checks both policies of the spec at `field`.
pub fn policies(found: &mut Violations, field: &str, spec: &JobSpec) {
    if let Some(policy) = &spec.pod_failure_policy {
        let field = format!("{field}.podFailurePolicy.rules");
        if policy.rules.len() > FAILURE_RULES_MAX {
            found.too_many(&field, policy.rules.len(), FAILURE_RULES_MAX);
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            failure_rule(found, &format!("{field}[{at}]"), rule, spec);
        }
    }
    let Some(policy) = &spec.success_policy else { return };
    let field = format!("{field}.successPolicy");
    if !is_indexed(spec) {
        return found.invalid(field, json!(policy), "requires indexed completion mode");
    }
    let field = format!("{field}.rules");
    if policy.rules.is_empty() {
        found.required(&field, "at least one rules must be specified when the successPolicy is specified");
    }
    if policy.rules.len() > SUCCESS_RULES_MAX {
        found.too_many(&field, policy.rules.len(), SUCCESS_RULES_MAX);
    }
    for (at, rule) in policy.rules.iter().enumerate() {
        success_rule(found, &format!("{field}[{at}]"), rule, spec.completions.unwrap_or(0));
    }
}

fn failure_rule(found: &mut Violations, field: &str, rule: &PodFailurePolicyRule, job: &JobSpec) {
    if rule.action == "FailIndex" && job.backoff_limit_per_index.is_none() {
        found.invalid(format!("{field}.action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
    }
    one_of(found, format!("{field}.action"), &rule.action, &ACTIONS);
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(found, &format!("{field}.onExitCodes"), codes, job);
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    pod_conditions(found, &format!("{field}.onPodConditions"), patterns);
    match (&rule.on_exit_codes, patterns.is_empty()) {
        (Some(_), false) => {
            found.invalid_unshown(field, "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        (None, true) => {
            found.invalid_unshown(field, "specifying one of OnExitCodes and OnPodConditions is required");
        }
        _ => {}
    }
}

fn exit_codes(found: &mut Violations, field: &str, codes: &PodFailurePolicyOnExitCodesRequirement, job: &JobSpec) {
    one_of(found, format!("{field}.operator"), &codes.operator, &OPERATORS);
    let pod = job.template.spec.as_ref();
    let names = pod.into_iter().flat_map(|pod| pod.containers.iter().chain(pod.init_containers.iter().flatten()));
    if let Some(name) = &codes.container_name
        && !names.into_iter().any(|container| container.name == *name)
    {
        let why = "must be one of the container or initContainer names in the pod template";
        found.invalid(format!("{field}.containerName"), name.as_str(), why);
    }
    let (field, values) = (format!("{field}.values"), &codes.values);
    if values.is_empty() {
        found.invalid(&field, json!(values), "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        found.too_many(&field, values.len(), EXIT_CODES_MAX);
    }
    for (at, value) in values.iter().enumerate() {
        if *value == 0 && codes.operator == "In" {
            found.invalid(format!("{field}[{at}]"), 0, "must not be 0 for the In operator");
        }
        if values[..at].contains(value) {
            found.duplicate(format!("{field}[{at}]"), *value);
        }
    }
    if !values.is_sorted() {
        found.invalid(&field, json!(values), "must be ordered");
    }
}

fn pod_conditions(found: &mut Violations, field: &str, patterns: &[PodFailurePolicyOnPodConditionsPattern]) {
    if patterns.len() > POD_CONDITIONS_MAX {
        found.too_many(field, patterns.len(), POD_CONDITIONS_MAX);
    }
    for (at, pattern) in patterns.iter().enumerate() {
        for problem in names::qualified_name(&pattern.type_) {
            found.invalid(format!("{field}[{at}].type"), pattern.type_.as_str(), problem);
        }
        one_of(found, format!("{field}[{at}].status"), pattern.status.as_deref().unwrap_or_default(), &STATUSES);
    }
}

fn success_rule(found: &mut Violations, field: &str, rule: &SuccessPolicyRule, completions: i32) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        found.required(field, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut named = None;
    if let Some(list) = &rule.succeeded_indexes {
        let field = format!("{field}.succeededIndexes");
        if list.len() > INDEXES_MAX {
            found.too_long(&field, INDEXES_MAX);
        }
        match indexes::count(list, completions) {
            Ok(count) => named = Some(count),
            Err(why) => {
                named = Some(0);
                found.invalid(&field, list.as_str(), format!("error parsing succeededIndexes: {why}"));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    let field = format!("{field}.succeededCount");
    checks::not_negative(found, &field, Some(count));
    if count > completions {
        let why = format!("must be less than or equal to {completions} (the number of specified completions)");
        found.invalid(&field, count, why);
    }
    if let Some(named) = named.filter(|named| count > *named) {
        let why = format!(
            "must be less than or equal to {named} (the number of indexes in the specified succeededIndexes field)"
        );
        found.invalid(&field, count, why);
    }
}
