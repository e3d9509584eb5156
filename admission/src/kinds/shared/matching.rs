//! Which requests a policy, or its binding, is about. Source: API reference, "MatchResources".

use sdk_api::k8s_openapi::api::admissionregistration::v1::{MatchResources, NamedRuleWithOperations};
use sdk_api::{Violations, checks};

use super::{one_of, rules};

const POLICIES: [&str; 2] = ["Equivalent", "Exact"];
/// What can be changed on its way to the store. A deletion has nothing to change.
const MUTABLE_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

/// Fills in that everything matches, in any scope.
pub fn default(resources: &mut MatchResources) {
    resources.match_policy.get_or_insert_with(|| "Equivalent".into());
    resources.namespace_selector.get_or_insert_default();
    resources.object_selector.get_or_insert_default();
    let rules = resources.resource_rules.iter_mut().chain(resources.exclude_resource_rules.iter_mut());
    for rule in rules.flatten() {
        rule.scope.get_or_insert_with(|| "*".into());
    }
}

/// Checks the resources at `field`.
pub fn resources(found: &mut Violations, field: &str, resources: &MatchResources) {
    one_of(found, format!("{field}.matchPolicy"), resources.match_policy.as_deref(), &POLICIES);
    for (name, selector) in
        [("namespaceSelector", &resources.namespace_selector), ("objectSelector", &resources.object_selector)]
    {
        let field = format!("{field}.{name}");
        match selector {
            None => found.required(field, ""),
            Some(selector) => checks::label_selector(found, field, selector),
        }
    }
    for (name, list) in
        [("resourceRules", &resources.resource_rules), ("excludeResourceRules", &resources.exclude_resource_rules)]
    {
        for (at, rule) in list.iter().flatten().enumerate() {
            rules::named_rule(found, &format!("{field}.{name}[{at}]"), rule);
        }
    }
}

/// Checks the constraints of a policy, which must be about something.
pub fn constraints(found: &mut Violations, resources: Option<&MatchResources>) {
    const FIELD: &str = "spec.matchConstraints";
    let Some(given) = resources else { return found.required(FIELD, "") };
    self::resources(found, FIELD, given);
    if rules_of(given).is_empty() {
        found.required(format!("{FIELD}.resourceRules"), "");
    }
}

/// Checks that the resources at `field` are only about what can be changed.
pub fn mutable_operations(found: &mut Violations, field: &str, resources: Option<&MatchResources>) {
    let rules = resources.map(rules_of).unwrap_or_default();
    for operation in rules.iter().flat_map(|rule| rule.operations.iter().flatten()) {
        if !MUTABLE_OPERATIONS.contains(&operation.as_str()) {
            let field = format!("{field}.resourceRules.operations");
            found.not_supported(field, operation.as_str(), &MUTABLE_OPERATIONS);
        }
    }
}

fn rules_of(resources: &MatchResources) -> &[NamedRuleWithOperations] {
    resources.resource_rules.as_deref().unwrap_or_default()
}
