//! `ValidatingAdmissionPolicyBinding` and `MutatingAdmissionPolicyBinding`: where a policy holds, with what parameters.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBinding,
};
use sdk_api::{Violations, names};
use sdk_plugin::cells::{UNSET, selector_text};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("PolicyName", ".spec.policyName"),
    Column::compute("ParamRef", |binding, _| {
        let parameters = &binding["spec"]["paramRef"];
        let text = |field: &str| parameters[field].as_str().filter(|text| !text.is_empty());
        match (text("namespace"), text("name")) {
            (namespace, Some(name)) => format!("{}/{name}", namespace.unwrap_or("*")).into(),
            (_, None) if !parameters["selector"].is_null() => selector_text(&parameters["selector"]).into(),
            _ => UNSET.into(),
        }
    }),
    Column::AGE,
];

fn row(kind: Kind) -> Kind {
    kind.categories(&["api-extensions"]).columns(COLUMNS).generation().revision_required()
}

/// The row of bindings of validating policies.
pub fn validating() -> Kind {
    row(Kind::of(Validating))
}

/// The row of bindings of mutating policies.
pub fn mutating() -> Kind {
    row(Kind::of(Mutating))
}

fn policy_name(found: &mut Violations, name: &str) {
    match name {
        "" => found.required("spec.policyName", ""),
        name => {
            for problem in names::dns1123_subdomain(name) {
                found.invalid("spec.policyName", name, problem);
            }
        }
    }
}

struct Validating;
impl Strategy for Validating {
    type Object = ValidatingAdmissionPolicyBinding;

    fn validate(
        &self,
        new: &ValidatingAdmissionPolicyBinding,
        _old: Option<&ValidatingAdmissionPolicyBinding>,
    ) -> Violations {
        const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
        let mut found = Violations::default();
        policy_name(&mut found, &new.spec.policy_name);
        let actions = &new.spec.validation_actions;
        if actions.is_empty() {
            found.required("spec.validationActions", "at least one validation action is required");
        }
        for (at, action) in actions.iter().enumerate() {
            let field = format!("spec.validationActions[{at}]");
            if !ACTIONS.contains(&action.as_str()) {
                found.not_supported(field, action.as_str(), &ACTIONS);
            } else if actions[..at].contains(action) {
                found.duplicate(field, action.as_str());
            }
        }
        if ["Deny", "Warn"].into_iter().all(|wanted| actions.iter().any(|action| action == wanted)) {
            let value = serde_json::json!(actions);
            let why = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                       API response and headers serves no purpose)";
            found.invalid("spec.validationActions", value, why);
        }
        found
    }
}

struct Mutating;
impl Strategy for Mutating {
    type Object = MutatingAdmissionPolicyBinding;

    fn validate(
        &self,
        new: &MutatingAdmissionPolicyBinding,
        _old: Option<&MutatingAdmissionPolicyBinding>,
    ) -> Violations {
        let mut found = Violations::default();
        let name = new.spec.as_ref().and_then(|spec| spec.policy_name.as_deref());
        policy_name(&mut found, name.unwrap_or_default());
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bindings_are_checked() {
        for (case, spec, wrong) in [
            ("plain", json!({"policyName": "p", "validationActions": ["Deny", "Audit"]}), vec![]),
            ("nothing", json!({}), vec!["spec.policyName", "spec.validationActions"]),
            (
                "said twice",
                json!({"policyName": "p", "validationActions": ["Deny", "Warn"]}),
                vec!["spec.validationActions"],
            ),
            ("unknown", json!({"policyName": "p", "validationActions": ["Shout"]}), vec!["spec.validationActions[0]"]),
        ] {
            let binding = serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap();
            assert_eq!(Validating.validate(&binding, None).fields(), wrong, "{case}");
        }
    }
}
