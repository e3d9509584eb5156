//! `ValidatingAdmissionPolicyBinding` and `MutatingAdmissionPolicyBinding`: where a policy holds, with what parameters.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{
    MatchResources, MutatingAdmissionPolicyBinding, ParamRef, ValidatingAdmissionPolicyBinding,
};
use sdk_api::{Violations, checks, names};
use sdk_plugin::cells::{UNSET, selector_text};
use sdk_plugin::{Column, Kind, Strategy};

use super::shared::{matching, one_of};

/// What to do when a policy's parameters are missing.
const ACTIONS_WITHOUT: [&str; 2] = ["Allow", "Deny"];

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("PolicyName", ".spec.policyName")
        .describe("PolicyName indicates the policy definition which the policy binding binded to"),
    Column::compute("ParamRef", |binding, _| {
        let parameters = &binding["spec"]["paramRef"];
        let text = |field: &str| parameters[field].as_str().filter(|text| !text.is_empty());
        match (text("namespace"), text("name")) {
            (namespace, Some(name)) => format!("{}/{name}", namespace.unwrap_or("*")).into(),
            (_, None) if !parameters["selector"].is_null() => selector_text(&parameters["selector"]).into(),
            _ => UNSET.into(),
        }
    })
    .describe("ParamRef indicates the param resource which sets the configration param"),
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

/// What both kinds of binding say.
fn scope(found: &mut Violations, parameters: Option<&ParamRef>, resources: Option<&MatchResources>) {
    if let Some(parameters) = parameters {
        param_ref(found, "spec.paramRef", parameters);
    }
    if let Some(resources) = resources {
        matching::resources(found, "spec.matchResources", resources);
    }
}

fn param_ref(found: &mut Violations, field: &str, parameters: &ParamRef) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let name = parameters.name.as_deref().unwrap_or_default();
    for problem in names::path_segment(name) {
        found.invalid(format!("{field}.name"), name, problem);
    }
    match (&parameters.selector, name.is_empty()) {
        (None, true) => found.required(field, "one of name or selector must be specified"),
        (None, false) => {}
        (Some(selector), is_alone) => {
            if !is_alone {
                found.forbidden(format!("{field}.name"), BOTH);
            }
            checks::label_selector(found, format!("{field}.selector"), selector);
            if !is_alone {
                found.forbidden(format!("{field}.selector"), BOTH);
            }
        }
    }
    let action = parameters.parameter_not_found_action.as_deref();
    one_of(found, format!("{field}.parameterNotFoundAction"), action, &ACTIONS_WITHOUT);
}

struct Validating;
impl Strategy for Validating {
    type Object = ValidatingAdmissionPolicyBinding;

    fn default(&self, binding: &mut ValidatingAdmissionPolicyBinding) {
        if let Some(resources) = &mut binding.spec.match_resources {
            matching::default(resources);
        }
    }

    fn validate(
        &self,
        new: &ValidatingAdmissionPolicyBinding,
        _old: Option<&ValidatingAdmissionPolicyBinding>,
    ) -> Violations {
        const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
        let mut found = Violations::default();
        policy_name(&mut found, &new.spec.policy_name);
        scope(&mut found, new.spec.param_ref.as_ref(), new.spec.match_resources.as_ref());
        let actions = &new.spec.validation_actions;
        if actions.is_empty() {
            found.required("spec.validationActions", "at least one validation action is required");
        }
        for (at, action) in actions.iter().enumerate() {
            let field = format!("spec.validationActions[{at}]");
            if !ACTIONS.contains(&action.as_str()) {
                found.not_supported(&field, action.as_str(), &ACTIONS);
            }
            if actions[..at].contains(action) {
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

    fn default(&self, binding: &mut MutatingAdmissionPolicyBinding) {
        if let Some(resources) = binding.spec.as_mut().and_then(|spec| spec.match_resources.as_mut()) {
            matching::default(resources);
        }
    }

    fn validate(
        &self,
        new: &MutatingAdmissionPolicyBinding,
        _old: Option<&MutatingAdmissionPolicyBinding>,
    ) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        policy_name(&mut found, spec.policy_name.as_deref().unwrap_or_default());
        scope(&mut found, spec.param_ref.as_ref(), spec.match_resources.as_ref());
        matching::mutable_operations(&mut found, "spec.matchResources", spec.match_resources.as_ref());
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
            (
                "parameters",
                json!({"policyName": "p", "validationActions": ["Deny"],
                    "paramRef": {"name": "c", "parameterNotFoundAction": "Deny"}, "matchResources": {}}),
                vec![],
            ),
            (
                "no parameters",
                json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": {}}),
                vec!["spec.paramRef", "spec.paramRef.parameterNotFoundAction"],
            ),
            (
                "parameters by name and by labels",
                json!({"policyName": "p", "validationActions": ["Deny"],
                    "paramRef": {"name": "a/b", "selector": {}, "parameterNotFoundAction": "Wait"}}),
                vec![
                    "spec.paramRef.name",
                    "spec.paramRef.name",
                    "spec.paramRef.selector",
                    "spec.paramRef.parameterNotFoundAction",
                ],
            ),
            (
                "a bad rule",
                json!({"policyName": "p", "validationActions": ["Deny"], "matchResources": {"resourceRules": [{
                    "operations": ["LOOK"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]}}),
                vec!["spec.matchResources.resourceRules[0].operations[0]"],
            ),
        ] {
            let mut binding = serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap();
            Validating.default(&mut binding);
            assert_eq!(Validating.validate(&binding, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn changes_are_not_made_to_deletions() {
        let rule = json!({"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let spec = json!({"policyName": "p", "matchResources": {"resourceRules": [rule]}});
        let mut binding = serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap();
        Mutating.default(&mut binding);
        assert_eq!(Mutating.validate(&binding, None).fields(), ["spec.matchResources.resourceRules.operations"]);
    }
}
