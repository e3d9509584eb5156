//! `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`: rules about writes, written in CEL.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    AuditAnnotation, MutatingAdmissionPolicy, MutatingAdmissionPolicySpec, Mutation, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicySpec, Validation,
};
use sdk_api::{Timestamp, Violations, domains, names};
use sdk_plugin::cells::UNSET;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

use super::shared::{conditions, matching, one_of, one_of_if_set};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const PATCH_TYPES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ANNOTATIONS_MAX: usize = 20;
/// Bytes of an expression whose value is an audit annotation.
const ANNOTATION_EXPRESSION_MAX: usize = 5 * 1024;

const PARAM_KIND: Column = Column::compute("ParamKind", |policy, _| {
    let kind = &policy["spec"]["paramKind"];
    match (kind["apiVersion"].as_str(), kind["kind"].as_str()) {
        (Some(version), Some(kind)) => format!("{version}/{kind}").into(),
        _ => UNSET.into(),
    }
})
.describe("ParamKind specifies the kind of resources used to parameterize this policy");

const VALIDATING_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Validations", |p, _| count(p, "validations"))
        .typed("integer")
        .describe("Validations indicates the number of validation rules defined in this configuration"),
    PARAM_KIND,
    Column::AGE,
];
const MUTATING_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Mutations", |p, _| count(p, "mutations"))
        .typed("integer")
        .describe("Mutation indicates the number of mutations rules defined in this configuration"),
    PARAM_KIND,
    Column::AGE,
];

fn count(policy: &Value, field: &str) -> Value {
    policy["spec"][field].as_array().map_or(0, Vec::len).into()
}

/// The row of those that refuse.
pub fn validating() -> Kind {
    let kind = Kind::of(Validating).categories(&["api-extensions"]).columns(VALIDATING_COLUMNS);
    kind.status().generation().revision_required()
}

/// The row of those that change.
pub fn mutating() -> Kind {
    let kind = Kind::of(Mutating).categories(&["api-extensions"]).columns(MUTATING_COLUMNS);
    kind.generation().revision_required()
}

struct Validating;
impl Strategy for Validating {
    type Object = ValidatingAdmissionPolicy;

    fn default(&self, policy: &mut ValidatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        spec.failure_policy.get_or_insert_with(|| "Fail".into());
        if let Some(resources) = &mut spec.match_constraints {
            matching::default(resources);
        }
    }

    fn prepare_create(&self, new: &mut ValidatingAdmissionPolicy, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &ValidatingAdmissionPolicy, old: Option<&ValidatingAdmissionPolicy>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        one_of(&mut found, "spec.failurePolicy".into(), spec.failure_policy.as_deref(), &FAILURE_POLICIES);
        if let Some(kind) = &spec.param_kind {
            conditions::param_kind(&mut found, "spec.paramKind", kind);
        }
        matching::constraints(&mut found, spec.match_constraints.as_ref());
        let before = old.and_then(|old| old.spec.as_ref());
        // What an update leaves as it is need not be good.
        let same = |old: &ValidatingAdmissionPolicySpec| {
            (&old.param_kind, &old.match_conditions) == (&spec.param_kind, &spec.match_conditions)
        };
        if !before.is_some_and(same) {
            let list = spec.match_conditions.as_deref().unwrap_or_default();
            conditions::match_conditions(&mut found, "spec.matchConditions", list);
        }
        conditions::variables(&mut found, "spec.variables", spec.variables.as_deref().unwrap_or_default());
        let validations = spec.validations.as_deref().unwrap_or_default();
        let annotations = spec.audit_annotations.as_deref().unwrap_or_default();
        if validations.is_empty() && annotations.is_empty() {
            for field in ["spec.validations", "spec.auditAnnotations"] {
                found.required(field, "validations or auditAnnotations must contain at least one item");
            }
        }
        for (at, rule) in validations.iter().enumerate() {
            validation(&mut found, &format!("spec.validations[{at}]"), rule);
        }
        audit_annotations(&mut found, new.metadata.name.as_deref().unwrap_or_default(), annotations);
        found
    }

    fn validate_status(&self, new: &ValidatingAdmissionPolicy, _old: &ValidatingAdmissionPolicy) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        let warnings = status.type_checking.as_ref().and_then(|checking| checking.expression_warnings.as_ref());
        for (at, warning) in warnings.into_iter().flatten().enumerate() {
            let field = format!("status.typeChecking.expressionWarnings[{at}]");
            if warning.warning.is_empty() {
                found.required(format!("{field}.warning"), "");
            }
            if warning.field_ref.trim().is_empty() {
                found.required(format!("{field}.fieldRef"), "");
            }
        }
        let list = status.conditions.as_deref().unwrap_or_default();
        sdk_api::conditions::conditions(&mut found, "status.conditions", list);
        found
    }
}

fn validation(found: &mut Violations, field: &str, validation: &Validation) {
    if validation.expression.trim().is_empty() {
        found.required(format!("{field}.expression"), "expression is not specified");
    }
    let expression = validation.message_expression.as_deref().unwrap_or_default();
    if !expression.is_empty() && expression.trim().is_empty() {
        found.invalid(format!("{field}.messageExpression"), expression, "must be non-empty if specified");
    }
    let message = validation.message.as_deref().unwrap_or_default();
    if !message.is_empty() && message.trim().is_empty() {
        found.invalid(format!("{field}.message"), message, "message must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        found.invalid(format!("{field}.message"), message, "message must not contain line breaks");
    }
    one_of_if_set(found, format!("{field}.reason"), validation.reason.as_deref(), &REASONS);
}

/// Annotations of audit events are called after the policy.
fn audit_annotations(found: &mut Violations, policy: &str, annotations: &[AuditAnnotation]) {
    const FIELD: &str = "spec.auditAnnotations";
    if annotations.len() > ANNOTATIONS_MAX {
        let why = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        found.invalid(FIELD, serde_json::json!(annotations), why);
    }
    for (at, annotation) in annotations.iter().enumerate() {
        let (field, key) = (format!("{FIELD}[{at}]"), annotation.key.as_str());
        if policy.is_empty() {
            found.invalid(format!("{field}.key"), key, "requires metadata.name be non-empty");
        } else {
            let name = format!("{policy}/{key}");
            domains::each_invalid(found, format!("{field}.key"), &name, names::qualified_name(&name));
        }
        match annotation.value_expression.trim().len() {
            0 => found.required(format!("{field}.valueExpression"), "valueExpression is not specified"),
            1..=ANNOTATION_EXPRESSION_MAX => {}
            _ => {
                let why = format!("must not exceed {ANNOTATION_EXPRESSION_MAX} bytes in length");
                found.required(format!("{field}.valueExpression"), why);
            }
        }
        if annotations[..at].iter().any(|earlier| earlier.key == key) {
            found.duplicate(format!("{field}.key"), key);
        }
    }
}

struct Mutating;
impl Strategy for Mutating {
    type Object = MutatingAdmissionPolicy;

    fn default(&self, policy: &mut MutatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        spec.failure_policy.get_or_insert_with(|| "Fail".into());
        if let Some(resources) = &mut spec.match_constraints {
            matching::default(resources);
        }
    }

    fn validate(&self, new: &MutatingAdmissionPolicy, old: Option<&MutatingAdmissionPolicy>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        one_of(&mut found, "spec.failurePolicy".into(), spec.failure_policy.as_deref(), &FAILURE_POLICIES);
        if let Some(kind) = &spec.param_kind {
            conditions::param_kind(&mut found, "spec.paramKind", kind);
        }
        matching::constraints(&mut found, spec.match_constraints.as_ref());
        matching::mutable_operations(&mut found, "spec.matchConstraints", spec.match_constraints.as_ref());
        let before = old.and_then(|old| old.spec.as_ref());
        let same = |old: &MutatingAdmissionPolicySpec| {
            (&old.param_kind, &old.match_conditions) == (&spec.param_kind, &spec.match_conditions)
        };
        if !before.is_some_and(same) {
            let list = spec.match_conditions.as_deref().unwrap_or_default();
            conditions::match_conditions(&mut found, "spec.matchConditions", list);
        }
        conditions::variables(&mut found, "spec.variables", spec.variables.as_deref().unwrap_or_default());
        let mutations = spec.mutations.as_deref().unwrap_or_default();
        if mutations.is_empty() {
            found.required("spec.mutations", "mutations must contain at least one item");
        }
        for (at, change) in mutations.iter().enumerate() {
            mutation(&mut found, &format!("spec.mutations[{at}]"), change);
        }
        let policy = spec.reinvocation_policy.as_deref();
        one_of(&mut found, "spec.reinvocationPolicy".into(), policy, &REINVOCATION_POLICIES);
        found
    }
}

/// A change is an apply configuration or a JSON patch.
fn mutation(found: &mut Violations, field: &str, mutation: &Mutation) {
    let apply = mutation.apply_configuration.as_ref().map(|apply| apply.expression.as_deref());
    let patch = mutation.json_patch.as_ref().map(|patch| patch.expression.as_deref());
    let (name, given, other_name, other) = match mutation.patch_type.as_str() {
        "ApplyConfiguration" => ("applyConfiguration", apply, "jsonPatch", patch),
        "JSONPatch" => ("jsonPatch", patch, "applyConfiguration", apply),
        kind => return one_of(found, format!("{field}.patchType"), Some(kind), &PATCH_TYPES),
    };
    let kind = mutation.patch_type.as_str();
    match given {
        None => found.required(format!("{field}.{name}"), format!("must be specified when patchType is {kind}")),
        Some(expression) if expression.unwrap_or_default().trim().is_empty() => {
            found.required(format!("{field}.{name}.expression"), "expression is not specified");
        }
        Some(_) => {}
    }
    if other.is_some() {
        let why = format!("must not be specified when patchType is {kind}");
        found.invalid(format!("{field}.{other_name}"), format!("{{{other_name}}}"), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(operation: &str) -> Value {
        json!({"resourceRules": [
            {"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
        ]})
    }

    fn spec(change: Value) -> Value {
        let mut spec = json!({"matchConstraints": rules("CREATE")});
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        spec
    }

    #[test]
    fn validating_policies_are_checked() {
        let one = || json!([{"expression": "true"}]);
        let rule = |rule: Value| spec(json!({"validations": [rule]}));
        for (case, spec, wrong) in [
            ("plain", spec(json!({"validations": one()})), vec![]),
            ("about nothing", json!({"validations": one()}), vec!["spec.matchConstraints"]),
            (
                "about no resource",
                json!({"matchConstraints": {}, "validations": one()}),
                vec!["spec.matchConstraints.resourceRules"],
            ),
            ("says nothing", spec(json!({})), vec!["spec.validations", "spec.auditAnnotations"]),
            ("an empty expression", rule(json!({"expression": " "})), vec!["spec.validations[0].expression"]),
            (
                "a message of two lines",
                rule(json!({"expression": "true", "message": "a\nb", "reason": "Bored", "messageExpression": " "})),
                vec![
                    "spec.validations[0].messageExpression",
                    "spec.validations[0].message",
                    "spec.validations[0].reason",
                ],
            ),
            (
                "annotations",
                spec(json!({"auditAnnotations": [
                    {"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": ""},
                    {"key": "b c", "valueExpression": "x".repeat(5 * 1024 + 1)},
                ]})),
                vec![
                    "spec.auditAnnotations[1].valueExpression",
                    "spec.auditAnnotations[1].key",
                    "spec.auditAnnotations[2].key",
                    "spec.auditAnnotations[2].valueExpression",
                ],
            ),
            (
                "an unknown policy of failure",
                spec(json!({"validations": one(), "failurePolicy": "Shrug"})),
                vec!["spec.failurePolicy"],
            ),
            (
                "parameters, conditions, variables",
                spec(json!({
                    "validations": one(), "paramKind": {"apiVersion": "v1"}, "matchConditions": [{"expression": "true"}],
                    "variables": [{"name": "in", "expression": "1"}],
                })),
                vec!["spec.paramKind.kind", "spec.matchConditions[0].name", "spec.variables[0].name"],
            ),
        ] {
            let mut policy = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            Validating.default(&mut policy);
            assert_eq!(Validating.validate(&policy, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn mutating_policies_are_checked() {
        let apply = || json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}});
        let with = |mutation: Value| spec(json!({"reinvocationPolicy": "Never", "mutations": [mutation]}));
        for (case, spec, wrong) in [
            ("plain", with(apply()), vec![]),
            ("nothing", json!({}), vec!["spec.matchConstraints", "spec.mutations", "spec.reinvocationPolicy"]),
            ("no type", with(json!({})), vec!["spec.mutations[0].patchType"]),
            ("an unknown type", with(json!({"patchType": "Merge"})), vec!["spec.mutations[0].patchType"]),
            (
                "the other one",
                with(json!({"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}})),
                vec!["spec.mutations[0].jsonPatch", "spec.mutations[0].applyConfiguration"],
            ),
            (
                "no expression",
                with(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": " "}})),
                vec!["spec.mutations[0].jsonPatch.expression"],
            ),
            (
                "deletions",
                json!({"matchConstraints": rules("DELETE"), "reinvocationPolicy": "IfNeeded", "mutations": [apply()]}),
                vec!["spec.matchConstraints.resourceRules.operations"],
            ),
        ] {
            let mut policy = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            Mutating.default(&mut policy);
            assert_eq!(Mutating.validate(&policy, None).fields(), wrong, "{case}");
        }
    }
}
