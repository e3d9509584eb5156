//! `FlowSchema`: which requests belong to which priority level.

use sdk_api::k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaSpec};
use sdk_api::{Violations, names};
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::json;

use super::rules;
use crate::bootstrap::{self, EXEMPT, is_mandatory};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("PriorityLevel", ".spec.priorityLevelConfiguration.name"),
    Column::integer("MatchingPrecedence", ".spec.matchingPrecedence").typed("string"),
    Column::compute("DistinguisherMethod", |schema, _| {
        schema["spec"]["distinguisherMethod"]["type"].as_str().unwrap_or(NONE).into()
    }),
    Column::AGE,
    Column::compute("MissingPL", |schema, _| {
        let conditions = schema["status"]["conditions"].as_array().into_iter().flatten();
        let mut dangling = conditions.filter(|condition| condition["type"] == "Dangling");
        dangling.next().and_then(|condition| condition["status"].as_str()).unwrap_or("?").into()
    })
    .describe("references a broken or non-existent PriorityLevelConfiguration"),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(FlowSchemaStrategy).columns(COLUMNS).status().generation().revision_required()
}

pub(crate) struct FlowSchemaStrategy;
impl Strategy for FlowSchemaStrategy {
    type Object = FlowSchema;

    fn default(&self, schema: &mut FlowSchema) {
        if let Some(spec) = &mut schema.spec {
            spec.matching_precedence.get_or_insert(1000);
        }
    }

    fn validate(&self, new: &FlowSchema, _old: Option<&FlowSchema>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        let name = new.metadata.name.as_deref().unwrap_or_default();
        check_spec(&mut found, name, spec);
        let fixed = bootstrap::schemas().into_iter().find(|fixed| fixed.metadata.name.as_deref() == Some(name));
        if is_mandatory(name) && fixed.is_some_and(|fixed| fixed.spec.as_ref() != Some(spec)) {
            found.invalid("spec", json!(spec), format_args!("spec of '{name}' must equal the fixed value"));
        }
        check_status(&mut found, new);
        found
    }

    fn validate_status(&self, new: &FlowSchema, _old: &FlowSchema) -> Violations {
        let mut found = Violations::default();
        check_status(&mut found, new);
        found
    }
}

fn check_spec(found: &mut Violations, name: &str, spec: &FlowSchemaSpec) {
    const PRECEDENCE: &str = "spec.matchingPrecedence";
    match spec.matching_precedence.unwrap_or(1000) {
        precedence if precedence <= 0 => found.invalid(PRECEDENCE, precedence, "must be a positive value"),
        precedence if precedence > 10_000 => found.invalid(PRECEDENCE, precedence, "must not be greater than 10000"),
        1 if name != EXEMPT => {
            found.invalid(PRECEDENCE, 1, "only the schema named 'exempt' may have matchingPrecedence 1");
        }
        _ => {}
    }
    if let Some(method) = &spec.distinguisher_method
        && !matches!(method.type_.as_str(), "ByUser" | "ByNamespace")
    {
        found.not_supported("spec.distinguisherMethod.type", method.type_.as_str(), &["ByNamespace", "ByUser"]);
    }
    let level = &spec.priority_level_configuration.name;
    if level.is_empty() {
        found.required("spec.priorityLevelConfiguration.name", "must reference a priority level");
    } else {
        for message in names::dns1123_subdomain(level) {
            found.invalid("spec.priorityLevelConfiguration.name", level.as_str(), message);
        }
    }
    for (at, rule) in spec.rules.iter().flatten().enumerate() {
        rules::check(found, &format!("spec.rules[{at}]"), rule);
    }
}

fn check_status(found: &mut Violations, schema: &FlowSchema) {
    let conditions = schema.status.as_ref().and_then(|status| status.conditions.as_ref());
    let types = conditions.into_iter().flatten().map(|condition| condition.type_.as_deref().unwrap_or_default());
    rules::check_condition_types(found, types);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn schema(change: impl FnOnce(&mut Value)) -> FlowSchema {
        let mut document = json!({"metadata": {"name": "a"}, "spec": {
            "priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": 500,
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "ann"}}],
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["blue"]}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
            }],
        }});
        change(&mut document);
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn schemas_are_checked() {
        const RULE: &str = "/spec/rules/0";
        let at =
            |path: &'static str, value: Value| schema(move |document| *document.pointer_mut(path).unwrap() = value);
        let subject = |value: Value| schema(move |document| document.pointer_mut(RULE).unwrap()["subjects"][0] = value);
        for (case, schema, wrong) in [
            ("plain", schema(|_| {}), vec![]),
            ("precedence 0", at("/spec/matchingPrecedence", json!(0)), vec!["spec.matchingPrecedence"]),
            ("precedence 1", at("/spec/matchingPrecedence", json!(1)), vec!["spec.matchingPrecedence"]),
            ("precedence 10001", at("/spec/matchingPrecedence", json!(10_001)), vec!["spec.matchingPrecedence"]),
            (
                "no level",
                at("/spec/priorityLevelConfiguration/name", json!("")),
                vec!["spec.priorityLevelConfiguration.name"],
            ),
            (
                "no such name",
                at("/spec/priorityLevelConfiguration/name", json!("A")),
                vec!["spec.priorityLevelConfiguration.name"],
            ),
            ("nobody", at("/spec/rules/0/subjects", json!([])), vec!["spec.rules[0].subjects"]),
            ("another kind", subject(json!({"kind": "Robot"})), vec!["spec.rules[0].subjects[0].kind"]),
            ("a user without one", subject(json!({"kind": "User"})), vec!["spec.rules[0].subjects[0].user"]),
            (
                "a user and a group",
                subject(json!({"kind": "User", "user": {"name": "a"}, "group": {"name": "b"}})),
                vec!["spec.rules[0].subjects[0].group"],
            ),
            (
                "no name",
                subject(json!({"kind": "Group", "group": {"name": ""}})),
                vec!["spec.rules[0].subjects[0].group.name"],
            ),
            (
                "no namespace",
                subject(json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": ""}})),
                vec!["spec.rules[0].subjects[0].serviceAccount.namespace"],
            ),
            (
                "a strange verb",
                at("/spec/rules/0/resourceRules/0/verbs", json!(["eat"])),
                vec!["spec.rules[0].resourceRules[0].verbs"],
            ),
            (
                "every verb and one",
                at("/spec/rules/0/resourceRules/0/verbs", json!(["*", "get"])),
                vec!["spec.rules[0].resourceRules[0].verbs"],
            ),
            (
                "nowhere",
                at("/spec/rules/0/resourceRules/0/namespaces", json!([])),
                vec!["spec.rules[0].resourceRules[0].namespaces"],
            ),
            (
                "a strange namespace",
                at("/spec/rules/0/resourceRules/0/namespaces", json!(["A"])),
                vec!["spec.rules[0].resourceRules[0].namespaces[0]"],
            ),
            (
                "no path",
                at("/spec/rules/0/nonResourceRules/0/nonResourceURLs", json!([])),
                vec!["spec.rules[0].nonResourceRules[0].nonResourceURLs"],
            ),
            (
                "a wildcard inside",
                at("/spec/rules/0/nonResourceRules/0/nonResourceURLs/0", json!("/a*b")),
                vec!["spec.rules[0].nonResourceRules[0].nonResourceURLs[0]"],
            ),
            (
                "no slash",
                at("/spec/rules/0/nonResourceRules/0/nonResourceURLs/0", json!("a")),
                vec!["spec.rules[0].nonResourceRules[0].nonResourceURLs[0]"],
            ),
        ] {
            assert_eq!(FlowSchemaStrategy.validate(&schema, None).fields(), wrong, "{case}");
        }
        let changed = schema(|document| document["metadata"]["name"] = "catch-all".into());
        assert_eq!(FlowSchemaStrategy.validate(&changed, None).fields(), vec!["spec"], "a mandatory one is fixed");
    }
}
