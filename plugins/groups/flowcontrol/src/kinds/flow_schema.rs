//! `FlowSchema`: which requests belong to which priority level.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::flowcontrol::v1::FlowSchema;
use sdk_plugin::cells::NONE;
use sdk_plugin::{Column, Kind, Strategy};

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

struct FlowSchemaStrategy;
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
        let precedence = spec.matching_precedence.unwrap_or(1000);
        if precedence <= 0 {
            found.invalid("spec.matchingPrecedence", precedence, "must be a positive value");
        } else if precedence > 10_000 {
            found.invalid("spec.matchingPrecedence", precedence, "must not be greater than 10000");
        }
        if let Some(method) = &spec.distinguisher_method
            && !matches!(method.type_.as_str(), "ByUser" | "ByNamespace")
        {
            found.not_supported("spec.distinguisherMethod", method.type_.as_str(), &["ByNamespace", "ByUser"]);
        }
        if spec.priority_level_configuration.name.is_empty() {
            found.required("spec.priorityLevelConfiguration.name", "must reference a priority level");
        }
        for (at, rule) in spec.rules.iter().flatten().enumerate() {
            if rule.subjects.is_empty() {
                found.required(format!("spec.rules[{at}].subjects"), "subjects must contain at least one value");
            }
            if rule.resource_rules.as_ref().is_none_or(Vec::is_empty)
                && rule.non_resource_rules.as_ref().is_none_or(Vec::is_empty)
            {
                let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
                found.required(format!("spec.rules[{at}]"), why);
            }
        }
        found
    }
}
