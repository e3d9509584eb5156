//! Rules: operations on resources. Source: API reference, "RuleWithOperations".

use std::collections::BTreeSet;

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::admissionregistration::v1::{NamedRuleWithOperations, RuleWithOperations};
use sdk_api::names;
use serde_json::json;

use super::one_of_if_set;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

type List = Option<Vec<String>>;

fn items(list: &List) -> &[String] {
    list.as_deref().unwrap_or_default()
}

/// The rule of a webhook.
pub fn rule(found: &mut Violations, field: &str, rule: &RuleWithOperations) {
    parts(
        found,
        field,
        [&rule.operations, &rule.api_groups, &rule.api_versions, &rule.resources],
        rule.scope.as_deref(),
    );
}

/// The rule of a policy, which can be about some names alone.
pub fn named_rule(found: &mut Violations, field: &str, rule: &NamedRuleWithOperations) {
    let mut seen = BTreeSet::new();
    for (at, name) in items(&rule.resource_names).iter().enumerate() {
        let field = format!("{field}.resourceNames[{at}]");
        for problem in names::path_segment(name) {
            found.invalid(&field, name.as_str(), problem);
        }
        if !seen.insert(name) {
            found.duplicate(field, name.as_str());
        }
    }
    parts(
        found,
        field,
        [&rule.operations, &rule.api_groups, &rule.api_versions, &rule.resources],
        rule.scope.as_deref(),
    );
}

fn parts(found: &mut Violations, field: &str, lists: [&List; 4], scope: Option<&str>) {
    let [operations, groups, versions, resources] = lists;
    for (name, list, what) in [
        ("operations", operations, "operations"),
        ("apiGroups", groups, "API groups"),
        ("apiVersions", versions, "API versions"),
    ] {
        let field = format!("{field}.{name}");
        let list = items(list);
        if list.is_empty() {
            found.required(&field, "");
        }
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            found.invalid(&field, json!(list), format!("if '*' is present, must not specify other {what}"));
        }
        for (at, item) in list.iter().enumerate() {
            let field = format!("{field}[{at}]");
            match name {
                "operations" => one_of_if_set(found, field, Some(item), &OPERATIONS),
                "apiVersions" if item.is_empty() => found.required(field, ""),
                _ => {}
            }
        }
    }
    validate_resources(found, &format!("{field}.resources"), items(resources));
    one_of_if_set(found, format!("{field}.scope"), scope, &SCOPES);
}

/// Resources and subresources; a wildcard must not make another item pointless.
fn validate_resources(found: &mut Violations, field: &str, resources: &[String]) {
    if resources.is_empty() {
        return found.required(field, "");
    }
    let (mut whole, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let mut names_resource = false;
    for (at, text) in resources.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let Some((resource, part)) = text.split_once('/') else {
            if text.is_empty() {
                found.required(field, "");
            } else {
                names_resource = text != "*";
            }
            continue;
        };
        if whole.contains(resource) {
            let why = format!("if '{resource}/*' is present, must not specify {text}");
            found.invalid(&field, text.as_str(), why);
        }
        if everywhere.contains(part) {
            let why = format!("if '*/{part}' is present, must not specify {text}");
            found.invalid(&field, text.as_str(), why);
        }
        if part == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(part);
        }
    }
    let has = |text: &str| resources.iter().any(|resource| resource == text);
    if resources.len() > 1 && has("*/*") {
        found.invalid(field, json!(resources), "if '*/*' is present, must not specify other resources");
    }
    if has("*") && names_resource {
        let why = "if '*' is present, must not specify other resources without subresources";
        found.invalid(field, json!(resources), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn rules_are_checked() {
        let plain = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let resources = |list: Value| json!({"resources": list});
        for (case, change, wrong) in [
            ("plain", json!({}), vec![]),
            ("nothing", json!({"operations": [], "resources": []}), vec!["r.operations", "r.resources"]),
            ("all, and more", json!({"operations": ["*", "CREATE"]}), vec!["r.operations"]),
            ("an unknown operation", json!({"operations": ["PATCH"]}), vec!["r.operations[0]"]),
            ("all groups and one", json!({"apiGroups": ["*", "apps"]}), vec!["r.apiGroups"]),
            ("an empty version", json!({"apiVersions": [""]}), vec!["r.apiVersions[0]"]),
            ("an unknown scope", json!({"scope": "Planet"}), vec!["r.scope"]),
            ("everything", resources(json!(["*/*"])), vec![]),
            ("everything and more", resources(json!(["*/*", "pods"])), vec!["r.resources"]),
            ("all resources and one", resources(json!(["*", "pods"])), vec!["r.resources"]),
            ("all resources and a part", resources(json!(["*", "pods/status"])), vec![]),
            ("all parts and one", resources(json!(["pods/*", "pods/status"])), vec!["r.resources[1]"]),
            ("a part of all and of one", resources(json!(["*/scale", "pods/scale"])), vec!["r.resources[1]"]),
            ("an empty resource", resources(json!([""])), vec!["r.resources[0]"]),
            ("names", json!({"resourceNames": ["a", "a", "b/c"]}), vec!["r.resourceNames[1]", "r.resourceNames[2]"]),
        ] {
            let mut document = plain.clone();
            for (name, value) in change.as_object().unwrap() {
                document[name] = value.clone();
            }
            let mut found = Violations::default();
            named_rule(&mut found, "r", &serde_json::from_value(document.clone()).unwrap());
            assert_eq!(found.fields(), wrong, "{case}");
            if document["resourceNames"].is_null() {
                let mut found = Violations::default();
                rule(&mut found, "r", &serde_json::from_value(document).unwrap());
                assert_eq!(found.fields(), wrong, "{case}");
            }
        }
    }
}
