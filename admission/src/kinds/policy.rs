//! `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`: rules about writes, written in CEL.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    MatchResources, MutatingAdmissionPolicy, ValidatingAdmissionPolicy,
};
use sdk_api::{Timestamp, Violations};
use sdk_plugin::cells::UNSET;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const PARAM_KIND: Column = Column::compute("ParamKind", |policy, _| {
    let kind = &policy["spec"]["paramKind"];
    match (kind["apiVersion"].as_str(), kind["kind"].as_str()) {
        (Some(version), Some(kind)) => format!("{version}/{kind}").into(),
        _ => UNSET.into(),
    }
});

const VALIDATING_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Validations", |p, _| count(p, "validations")).typed("integer"),
    PARAM_KIND,
    Column::AGE,
];
const MUTATING_COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Mutations", |p, _| count(p, "mutations")).typed("integer"),
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

fn default_match(resources: &mut MatchResources) {
    resources.match_policy.get_or_insert_with(|| "Equivalent".into());
    resources.namespace_selector.get_or_insert_default();
    resources.object_selector.get_or_insert_default();
    let rules = resources.resource_rules.iter_mut().chain(resources.exclude_resource_rules.iter_mut());
    for rule in rules.flatten() {
        rule.scope.get_or_insert_with(|| "*".into());
    }
}

fn failure_policy(found: &mut Violations, policy: Option<&str>) {
    match policy {
        None => found.required("spec.failurePolicy", ""),
        Some("Fail" | "Ignore") => {}
        Some(other) => found.not_supported("spec.failurePolicy", other, &["Fail", "Ignore"]),
    }
}

fn constraints(found: &mut Violations, resources: Option<&MatchResources>) {
    if resources.is_none_or(|resources| resources.resource_rules.as_ref().is_none_or(Vec::is_empty)) {
        found.required("spec.matchConstraints.resourceRules", "");
    }
}

struct Validating;
impl Strategy for Validating {
    type Object = ValidatingAdmissionPolicy;

    fn default(&self, policy: &mut ValidatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        spec.failure_policy.get_or_insert_with(|| "Fail".into());
        if let Some(resources) = &mut spec.match_constraints {
            default_match(resources);
        }
    }

    fn prepare_create(&self, new: &mut ValidatingAdmissionPolicy, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &ValidatingAdmissionPolicy, _old: Option<&ValidatingAdmissionPolicy>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        failure_policy(&mut found, spec.failure_policy.as_deref());
        constraints(&mut found, spec.match_constraints.as_ref());
        let (validations, annotations) =
            (spec.validations.unwrap_or_default(), spec.audit_annotations.unwrap_or_default());
        if validations.is_empty() && annotations.is_empty() {
            found.required("spec.validations", "validations or auditAnnotations must be specified");
        }
        for (at, validation) in validations.iter().enumerate() {
            if validation.expression.trim().is_empty() {
                found.required(format!("spec.validations[{at}].expression"), "expression is not specified");
            }
        }
        found
    }
}

struct Mutating;
impl Strategy for Mutating {
    type Object = MutatingAdmissionPolicy;

    fn default(&self, policy: &mut MutatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        spec.failure_policy.get_or_insert_with(|| "Fail".into());
        spec.reinvocation_policy.get_or_insert_with(|| "Never".into());
        if let Some(resources) = &mut spec.match_constraints {
            default_match(resources);
        }
    }

    fn validate(&self, new: &MutatingAdmissionPolicy, _old: Option<&MutatingAdmissionPolicy>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        failure_policy(&mut found, spec.failure_policy.as_deref());
        constraints(&mut found, spec.match_constraints.as_ref());
        if spec.mutations.is_none_or(|mutations| mutations.is_empty()) {
            found.required("spec.mutations", "mutations must contain at least one item");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_checked() {
        let rules = json!({"resourceRules": [{"resources": ["pods"]}]});
        for (case, spec, wrong) in [
            ("plain", json!({"matchConstraints": rules, "validations": [{"expression": "true"}]}), vec![]),
            (
                "about nothing",
                json!({"validations": [{"expression": "true"}]}),
                vec!["spec.matchConstraints.resourceRules"],
            ),
            ("says nothing", json!({"matchConstraints": rules}), vec!["spec.validations"]),
            (
                "an empty expression",
                json!({"matchConstraints": rules, "validations": [{"expression": " "}]}),
                vec!["spec.validations[0].expression"],
            ),
        ] {
            let mut policy = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            Validating.default(&mut policy);
            assert_eq!(Validating.validate(&policy, None).fields(), wrong, "{case}");
        }
    }
}
