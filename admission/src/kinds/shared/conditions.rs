//! Match conditions: what a request must also be like. Expressions are checked to be there; nothing compiles CEL here
//! yet. Source: KEP-3716.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::admissionregistration::v1::{MatchCondition, ParamKind, Variable};
use sdk_api::{GroupVersion, Violations, names};

const CONDITIONS_MAX: usize = 64;
/// Words that are no names in CEL.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub fn match_conditions(found: &mut Violations, field: &str, conditions: &[MatchCondition]) {
    if conditions.len() > CONDITIONS_MAX {
        found.too_many(field, conditions.len(), CONDITIONS_MAX);
    }
    let mut seen = BTreeSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let name_field = format!("{field}[{at}].name");
        if condition.expression.trim().is_empty() {
            found.required(format!("{field}[{at}].expression"), "");
        }
        let name = condition.name.as_str();
        if name.is_empty() {
            found.required(name_field, "");
            continue;
        }
        for problem in names::qualified_name(name) {
            found.invalid(&name_field, name, problem);
        }
        if !seen.insert(name) {
            found.duplicate(name_field, name);
        }
    }
}

/// Names for expressions, for the expressions after them.
pub fn variables(found: &mut Violations, field: &str, variables: &[Variable]) {
    for (at, variable) in variables.iter().enumerate() {
        let name = variable.name.as_str();
        let field = format!("{field}[{at}]");
        if name.trim().is_empty() {
            found.required(format!("{field}.name"), "name is not specified");
        } else if !is_identifier(name) {
            found.invalid(format!("{field}.name"), name, "name is not a valid CEL identifier");
        }
        if variable.expression.trim().is_empty() {
            found.required(format!("{field}.expression"), "expression is not specified");
        }
    }
}

fn is_identifier(name: &str) -> bool {
    sdk_api::domains::c_identifier(name).is_empty() && !RESERVED.contains(&name)
}

/// The kind of a policy's parameters.
pub fn param_kind(found: &mut Violations, field: &str, kind: &ParamKind) {
    let version_field = format!("{field}.apiVersion");
    let api_version = kind.api_version.as_deref().unwrap_or_default();
    if api_version.is_empty() {
        found.required(&version_field, "");
    } else if api_version.matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {api_version}");
        found.invalid(&version_field, api_version, why);
    } else {
        let GroupVersion { group, version } = GroupVersion::parse(api_version);
        let problems = names::dns1123_subdomain(&group);
        if !group.is_empty() && !problems.is_empty() {
            found.invalid(&version_field, group.as_str(), problems.join(","));
        }
        let problems = names::dns1035_label(&version);
        if version.is_empty() {
            found.invalid(&version_field, api_version, "version must be specified");
        } else if !problems.is_empty() {
            found.invalid(&version_field, version.as_str(), problems.join(","));
        }
    }
    let kind = kind.kind.as_deref().unwrap_or_default();
    let problems = names::dns1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        found.required(format!("{field}.kind"), "");
    } else if !problems.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
        found.invalid(format!("{field}.kind"), kind, why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_have_names_of_their_own() {
        let list = json!([
            {"name": "a.io/b", "expression": "true"}, {"name": "a.io/b", "expression": " "},
            {"name": "", "expression": "1"}, {"name": "a b", "expression": "1"},
        ]);
        let mut found = Violations::default();
        match_conditions(&mut found, "m", &serde_json::from_value::<Vec<_>>(list).unwrap());
        assert_eq!(found.fields(), ["m[1].expression", "m[1].name", "m[2].name", "m[3].name"]);
        let many = vec![json!({"name": "a", "expression": "true"}); 65];
        let mut found = Violations::default();
        match_conditions(&mut found, "m", &serde_json::from_value::<Vec<_>>(json!(many)).unwrap());
        assert_eq!(found.iter().next().unwrap().to_string(), "m: Too many: 65: must have at most 64 items");
    }

    #[test]
    fn variables_are_named_as_in_cel() {
        for (name, expression, wrong) in [
            ("a_1", "1", vec![]),
            ("", "1", vec!["v[0].name"]),
            ("for", "1", vec!["v[0].name"]),
            ("1a", "", vec!["v[0].name", "v[0].expression"]),
        ] {
            let mut found = Violations::default();
            variables(&mut found, "v", &[Variable { name: name.into(), expression: expression.into() }]);
            assert_eq!(found.fields(), wrong, "{name}");
        }
    }

    #[test]
    fn kinds_of_parameters_are_named_in_full() {
        for (kind, wrong) in [
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), vec![]),
            (json!({"apiVersion": "rules.io/v1", "kind": "Limit"}), vec![]),
            (json!({}), vec!["p.apiVersion", "p.kind"]),
            (json!({"apiVersion": "a/b/c", "kind": "A b"}), vec!["p.apiVersion", "p.kind"]),
            (json!({"apiVersion": "A/1", "kind": "K"}), vec!["p.apiVersion", "p.apiVersion"]),
            (json!({"apiVersion": "a/", "kind": "K"}), vec!["p.apiVersion"]),
        ] {
            let mut found = Violations::default();
            param_kind(&mut found, "p", &serde_json::from_value(kind.clone()).unwrap());
            assert_eq!(found.fields(), wrong, "{kind}");
        }
    }
}
