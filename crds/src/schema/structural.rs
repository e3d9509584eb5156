//! What makes a schema structural, and what else a definition's schema may not say.
//! Source: KEP-1027, `apiextensions-apiserver/pkg/apiserver/schema` and `pkg/apis/apiextensions/validation`.

use sdk_api::Violations;
use serde_json::Value;

use super::pattern::Pattern;
use super::{Additional, Items, Schema, defaults, embedded, lists, prune, validate};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const IMPLIED: &str =
    "must not specify anything other than name and generateName, but metadata is implicitly specified";

/// Where a schema stands; it decides who must have a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Checks the schema of a version; `path` is that of its `openAPIV3Schema`.
pub fn validate_schema(schema: &Schema, path: &str) -> Violations {
    let mut found = Violations::default();
    schema.walk(path, &mut |path, schema| words(schema, path, &mut found));
    structure(schema, Level::Root, path, &mut found);
    check_defaults(schema, path, false, true, &mut found);
    found
}

/// Words that are refused wherever they stand, and values that no word takes.
fn words(schema: &Schema, path: &str, found: &mut Violations) {
    for (is_set, word) in [
        (schema.reference.is_some(), "$ref"),
        (!schema.id.is_empty(), "id"),
        (schema.additional_items.is_some(), "additionalItems"),
        (schema.pattern_properties.is_some(), "patternProperties"),
        (schema.definitions.is_some(), "definitions"),
        (schema.dependencies.is_some(), "dependencies"),
    ] {
        if is_set {
            found.forbidden(format!("{path}.{word}"), format!("{word} is not supported"));
        }
    }
    if schema.unique_items {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        found.forbidden(format!("{path}.uniqueItems"), why);
    }
    match schema.additional_properties {
        Some(Additional::Allowed(false)) => {
            found.forbidden(format!("{path}.additionalProperties"), "additionalProperties cannot be set to false");
        }
        Some(_) if !schema.properties.is_empty() => {
            let why = "additionalProperties and properties are mutual exclusive";
            found.forbidden(format!("{path}.additionalProperties"), why);
        }
        _ => {}
    }
    match schema.kind.as_str() {
        "" => {}
        "null" => found.forbidden(format!("{path}.type"), "type cannot be set to null, use nullable as an alternative"),
        known if TYPES.contains(&known) => {}
        other => found.not_supported(format!("{path}.type"), other, TYPES),
    }
    if matches!(schema.items, Some(Items::ByPlace(_))) {
        found.forbidden(format!("{path}.items"), "items must be a schema object and not an array");
    }
    if schema.kind == "array" && schema.items.is_none() {
        found.required(format!("{path}.items"), "must be specified");
    }
    if !schema.pattern.is_empty()
        && let Err(why) = Pattern::new(&schema.pattern)
    {
        found.invalid(
            format!("{path}.pattern"),
            schema.pattern.as_str(),
            format!("must be a valid regular expression, but isn't: {why}"),
        );
    }
    if schema.preserve_unknown == Some(false) {
        found.invalid(format!("{path}.x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
    }
    merging(schema, path, found);
}

/// How lists and maps merge must fit what they are.
fn merging(schema: &Schema, path: &str, found: &mut Violations) {
    if let Some(map_type) = schema.map_type.as_deref() {
        needs_type(schema, path, "x-kubernetes-map-type", "object", found);
        if !matches!(map_type, "atomic" | "granular") {
            found.not_supported(format!("{path}.x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
        }
    }
    let Some(list_type) = schema.list_type.as_deref() else {
        if !schema.list_map_keys.is_empty() {
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            found.required(format!("{path}.x-kubernetes-list-type"), why);
        }
        return;
    };
    needs_type(schema, path, "x-kubernetes-list-type", "array", found);
    if list_type != "map" && !schema.list_map_keys.is_empty() {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        found.invalid(format!("{path}.x-kubernetes-list-type"), list_type, why);
    }
    match list_type {
        "atomic" => {}
        "set" => {
            let Some(items) = schema.items() else { return };
            if items.nullable {
                found.forbidden(
                    format!("{path}.items.nullable"),
                    "cannot be nullable when x-kubernetes-list-type is set",
                );
            }
            if items.kind == "object" && items.map_type.as_deref() != Some("atomic") {
                let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
                found.invalid(format!("{path}.items.x-kubernetes-map-type"), items.map_type.clone(), why);
            }
            if items.kind == "array" && items.list_type.as_deref().is_some_and(|of| of != "atomic") {
                let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
                found.invalid(format!("{path}.items.x-kubernetes-list-type"), items.list_type.clone(), why);
            }
        }
        "map" => map_keys(schema, path, found),
        other => found.not_supported(format!("{path}.x-kubernetes-list-type"), other, &["atomic", "map", "set"]),
    }
}

fn needs_type(schema: &Schema, path: &str, word: &str, wanted: &str, found: &mut Violations) {
    let why = format!("must be {wanted} if {word} is specified");
    match schema.kind.as_str() {
        is if is == wanted => {}
        "" => found.required(format!("{path}.type"), why),
        is => found.invalid(format!("{path}.type"), is, why),
    }
}

fn map_keys(schema: &Schema, path: &str, found: &mut Violations) {
    if schema.list_map_keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        found.required(format!("{path}.x-kubernetes-list-map-keys"), why);
    }
    let Some(items) = schema.items() else {
        found.required(format!("{path}.items"), "must have a schema if x-kubernetes-list-type is map");
        return;
    };
    if items.kind != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        found.invalid(format!("{path}.items.type"), items.kind.as_str(), why);
    }
    if items.nullable {
        found.forbidden(format!("{path}.items.nullable"), "cannot be nullable when x-kubernetes-list-type is map");
    }
    for (at, key) in schema.list_map_keys.iter().enumerate() {
        let here = format!("{path}.x-kubernetes-list-map-keys[{at}]");
        if schema.list_map_keys[..at].contains(key) {
            found.invalid(here, key.as_str(), "must not contain duplicate entries");
            continue;
        }
        let Some(property) = items.properties.get(key) else {
            found.invalid(here, key.as_str(), "entries must all be names of item properties");
            continue;
        };
        if matches!(property.kind.as_str(), "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            found.invalid(format!("{path}.items.properties[{key}].type"), property.kind.as_str(), why);
        }
        if !items.required.contains(key) && property.default.is_none() {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            found.required(format!("{path}.items.properties[{key}].default"), why);
        }
        if property.nullable {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            found.forbidden(format!("{path}.items.properties[{key}].nullable"), why);
        }
    }
}

/// Types everywhere, and nothing but checks within `allOf`, `anyOf`, `oneOf` and `not`.
fn structure(schema: &Schema, level: Level, path: &str, found: &mut Violations) {
    if schema.int_or_string {
        for (is_set, word) in [
            (schema.preserves_unknown(), "x-kubernetes-preserve-unknown-fields"),
            (schema.embedded, "x-kubernetes-embedded-resource"),
        ] {
            if is_set {
                found.invalid(format!("{path}.{word}"), true, "must be false if x-kubernetes-int-or-string is true");
            }
        }
        if !schema.kind.is_empty() {
            found.invalid(
                format!("{path}.type"),
                schema.kind.as_str(),
                "must be empty if x-kubernetes-int-or-string is true",
            );
        }
    }
    let here = format!("{path}.type");
    if schema.embedded && schema.kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match schema.kind.as_str() {
            "" => found.required(here, why),
            kind => found.invalid(here, kind, why),
        }
    } else if schema.kind.is_empty() && !schema.int_or_string && !schema.preserves_unknown() {
        found.required(
            here,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    } else if level == Level::Root && !schema.kind.is_empty() && schema.kind != "object" {
        found.invalid(here, schema.kind.as_str(), "must be object at the root");
    }
    if schema.embedded && schema.additional_properties.is_some() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        found.forbidden(format!("{path}.additionalProperties"), why);
    }
    if schema.embedded && !schema.preserves_unknown() && schema.properties.is_empty() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        found.required(format!("{path}.properties"), why);
    }
    if level == Level::Root || schema.embedded {
        implied(schema, path, found);
    }
    for (word, schemas) in schema.junctors() {
        // Of an int-or-string the two types may stand in an anyOf.
        let is_pattern =
            schema.int_or_string && (is_int_or_string(schemas) || (word == "allOf" && holds_int_or_string(schemas)));
        for (at, inner) in schemas.iter().enumerate() {
            if !is_pattern {
                nested(schema, inner, &format!("{path}.{word}[{at}]"), found);
            }
        }
    }
    if let Some(inner) = &schema.not {
        nested(schema, inner, &format!("{path}.not"), found);
    }
    for (name, property) in &schema.properties {
        structure(property, Level::Field, &format!("{path}.properties[{name}]"), found);
    }
    if let Some(values) = schema.additional() {
        structure(values, Level::Field, &format!("{path}.additionalProperties"), found);
    }
    if let Some(items) = schema.items() {
        structure(items, Level::Item, &format!("{path}.items"), found);
    }
}

fn is_int_or_string(schemas: &[Schema]) -> bool {
    matches!(schemas, [a, b] if a.kind == "integer" && b.kind == "string")
}

fn holds_int_or_string(schemas: &[Schema]) -> bool {
    schemas.first().is_some_and(|first| is_int_or_string(&first.any_of))
}

/// What every object has is of the form that every object's has.
fn implied(schema: &Schema, path: &str, found: &mut Violations) {
    for name in ["apiVersion", "kind"] {
        if let Some(property) = schema.properties.get(name).filter(|property| property.kind != "string") {
            found.invalid(format!("{path}.properties[{name}].type"), property.kind.as_str(), "must be string");
        }
    }
    let Some(metadata) = schema.properties.get("metadata") else { return };
    let here = format!("{path}.properties[metadata]");
    if metadata.kind != "object" {
        found.invalid(format!("{here}.type"), metadata.kind.as_str(), "must be object");
    }
    let others = metadata.properties.keys().any(|name| !matches!(name.as_str(), "name" | "generateName"));
    if others
        || metadata.additional_properties.is_some()
        || metadata.preserves_unknown()
        || !metadata.required.is_empty()
    {
        found.forbidden(here, IMPLIED);
    }
}

/// A schema within `allOf` and the like: it checks what the structure outside of it has.
fn nested(outer: &Schema, inner: &Schema, path: &str, found: &mut Violations) {
    for (is_set, word, why) in [
        (!inner.kind.is_empty(), "type", "must be empty to be structural"),
        (!inner.title.is_empty(), "title", "must be empty to be structural"),
        (!inner.description.is_empty(), "description", "must be empty to be structural"),
        (inner.default.is_some(), "default", "must be undefined to be structural"),
        (inner.additional_properties.is_some(), "additionalProperties", "must be undefined to be structural"),
        (inner.nullable, "nullable", "must be false to be structural"),
        (inner.preserves_unknown(), "x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        (inner.embedded, "x-kubernetes-embedded-resource", "must be false to be structural"),
        (inner.int_or_string, "x-kubernetes-int-or-string", "must be false to be structural"),
        (inner.list_type.is_some(), "x-kubernetes-list-type", "must be undefined to be structural"),
        (!inner.list_map_keys.is_empty(), "x-kubernetes-list-map-keys", "must be empty to be structural"),
        (inner.map_type.is_some(), "x-kubernetes-map-type", "must be undefined to be structural"),
        (!inner.rules.is_empty(), "x-kubernetes-validations", "must be empty to be structural"),
    ] {
        if is_set {
            found.forbidden(format!("{path}.{word}"), why);
        }
    }
    for (name, property) in &inner.properties {
        let here = format!("{path}.properties[{name}]");
        match outer.property(name) {
            Some(structure) => nested(structure, property, &here, found),
            None if outer.preserves_unknown() => nested(outer, property, &here, found),
            None => {
                found.required(here.replacen(path, &structure_of(path), 1), format!("because it is defined in {here}"))
            }
        }
    }
    if let Some(items) = inner.items() {
        match outer.items() {
            Some(structure) => nested(structure, items, &format!("{path}.items"), found),
            None => found
                .required(format!("{}.items", structure_of(path)), format!("because it is defined in {path}.items")),
        }
    }
    for (word, schemas) in inner.junctors() {
        for (at, deeper) in schemas.iter().enumerate() {
            nested(outer, deeper, &format!("{path}.{word}[{at}]"), found);
        }
    }
    if let Some(deeper) = &inner.not {
        nested(outer, deeper, &format!("{path}.not"), found);
    }
}

/// The path of the structure that a path through `allOf` and the like speaks of.
fn structure_of(path: &str) -> String {
    let steps = path
        .split('.')
        .filter(|step| !(*step == "not" || ["allOf[", "anyOf[", "oneOf["].iter().any(|word| step.starts_with(word))));
    steps.collect::<Vec<_>>().join(".")
}

/// Defaults are values that the schema accepts as they are.
fn check_defaults(schema: &Schema, path: &str, in_metadata: bool, is_root: bool, found: &mut Violations) {
    if let Some(value) = &schema.default {
        let here = format!("{path}.default");
        if in_metadata || is_root {
            let why = if is_root { "must not be set at the root" } else { "must not be set inside of metadata" };
            found.forbidden(here, why);
        } else if value.is_null() && !schema.nullable {
            found.invalid(here, Value::Null, "must not be null unless nullable is true");
        } else {
            let mut pruned = value.clone();
            let mut completed = value.clone();
            if !prune::prune_part(&mut pruned, schema).is_empty() {
                found.invalid(here.clone(), value.clone(), "must not have unknown fields");
            }
            defaults::default(&mut completed, schema);
            found.extend(validate::validate(&completed, schema, &here));
            lists::duplicates(&completed, schema, &here, found);
            embedded::validate(&completed, schema, &here, found);
        }
    }
    for (name, property) in &schema.properties {
        let inside = in_metadata || ((is_root || schema.embedded) && name == "metadata");
        check_defaults(property, &format!("{path}.properties[{name}]"), inside, false, found);
    }
    if let Some(values) = schema.additional() {
        check_defaults(values, &format!("{path}.additionalProperties"), in_metadata, false, found);
    }
    if let Some(items) = schema.items() {
        check_defaults(items, &format!("{path}.items"), in_metadata, false, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_structural() {
        let field = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
        for (case, schema, wrong) in [
            ("plain", field(json!({"type": "string", "default": "x", "pattern": "^x$"})), vec![]),
            ("no type at the root", json!({"properties": {}}), vec!["s.type"]),
            ("a text at the root", json!({"type": "string"}), vec!["s.type"]),
            ("no type of a field", field(json!({})), vec!["s.properties[a].type"]),
            ("anything", field(json!({"x-kubernetes-preserve-unknown-fields": true})), vec![]),
            ("an unknown type", field(json!({"type": "text"})), vec!["s.properties[a].type"]),
            ("a reference", field(json!({"type": "string", "$ref": "x"})), vec!["s.properties[a].$ref"]),
            ("no items", field(json!({"type": "array"})), vec!["s.properties[a].items"]),
            (
                "unique items",
                field(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
                vec!["s.properties[a].uniqueItems"],
            ),
            ("a broken pattern", field(json!({"type": "string", "pattern": "("})), vec!["s.properties[a].pattern"]),
            (
                "int or string",
                field(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})),
                vec![],
            ),
            (
                "a type in anyOf",
                field(json!({"type": "string", "anyOf": [{"type": "string"}]})),
                vec!["s.properties[a].anyOf[0].type"],
            ),
            (
                "a property in anyOf alone",
                json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}),
                vec!["s.properties[b]"],
            ),
            ("a wrong default", field(json!({"type": "integer", "default": "x"})), vec!["s.properties[a].default"]),
            ("a default of null", field(json!({"type": "integer", "default": null})), vec!["s.properties[a].default"]),
            (
                "a default with more",
                field(json!({"type": "object", "default": {"z": 1}, "properties": {"b": {"type": "string"}}})),
                vec!["s.properties[a].default"],
            ),
            (
                "keys",
                field(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}}})),
                vec!["s.properties[a].items.properties[k].default"],
            ),
            (
                "a set of objects",
                field(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}})),
                vec!["s.properties[a].items.x-kubernetes-map-type"],
            ),
            (
                "more metadata",
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
                vec!["s.properties[metadata]"],
            ),
            (
                "an empty embedded object",
                field(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
                vec!["s.properties[a].properties"],
            ),
        ] {
            let found = validate_schema(&Schema::parse(&schema).unwrap(), "s");
            assert_eq!(found.fields(), wrong, "{case}: {}", found.summary());
        }
    }
}
