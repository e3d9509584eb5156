//! What a stored object of the default policy lacks.

use sdk_api::k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use super::spec::AUTOUPDATE;
use crate::authorizer::rules::covers;

/// What to do with a stored object.
#[derive(Debug, PartialEq)]
pub enum Step {
    Nothing,
    Update(Value),
    Replace,
}

/// Compares a stored object with the one of the default policy. It only gains: labels, annotations, rules, subjects.
pub fn reconciled(present: &Value, wanted: &Value) -> Step {
    if present["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return Step::Nothing;
    }
    if present.get("roleRef") != wanted.get("roleRef") {
        return Step::Replace;
    }
    let mut object = present.clone();
    for field in ["labels", "annotations"] {
        for (name, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
            if object["metadata"][field].get(name).is_none() {
                object["metadata"][field][name] = value.clone();
            }
        }
    }
    if let Some(aggregation) = wanted.get("aggregationRule") {
        add_missing(
            &mut object["aggregationRule"]["clusterRoleSelectors"],
            &aggregation["clusterRoleSelectors"],
            |_, _| false,
        );
    } else if wanted.get("rules").is_some() {
        add_missing(&mut object["rules"], &wanted["rules"], |present, rule| {
            let typed = |value: &Value| serde_json::from_value::<PolicyRule>(value.clone()).unwrap_or_default();
            let present: Vec<_> = present.iter().map(typed).collect();
            covers(&present, &typed(rule))
        });
    }
    if wanted.get("subjects").is_some() {
        add_missing(&mut object["subjects"], &wanted["subjects"], |_, _| false);
    }
    if object == *present { Step::Nothing } else { Step::Update(object) }
}

/// Adds items that are neither there nor covered by what is there.
fn add_missing(present: &mut Value, wanted: &Value, is_covered: impl Fn(&[Value], &Value) -> bool) {
    let mut items = present.as_array().cloned().unwrap_or_default();
    let before = items.len();
    for item in wanted.as_array().into_iter().flatten() {
        if !items.contains(item) && !is_covered(&items, item) {
            items.push(item.clone());
        }
    }
    if items.len() != before {
        *present = json!(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_only_gain() {
        let rule = |resource: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
        let object = |rules: Value, annotation: &str| {
            let annotations = json!({AUTOUPDATE: annotation});
            json!({"metadata": {"annotations": annotations}, "rules": rules})
        };
        let all = json!({"verbs": ["*"], "apiGroups": [""], "resources": ["*"]});
        let wanted = object(json!([rule("pods")]), "true");
        for (case, present, step) in [
            ("the same", wanted.clone(), Step::Nothing),
            ("more", object(json!([rule("pods"), rule("nodes")]), "true"), Step::Nothing),
            ("wider", object(json!([all]), "true"), Step::Nothing),
            (
                "less",
                object(json!([rule("nodes")]), "true"),
                Step::Update(object(json!([rule("nodes"), rule("pods")]), "true")),
            ),
            ("left alone", object(json!([]), "false"), Step::Nothing),
            ("another role", json!({"metadata": {}, "roleRef": {"name": "x"}}), Step::Replace),
        ] {
            assert_eq!(reconciled(&present, &wanted), step, "{case}");
        }
    }
}
