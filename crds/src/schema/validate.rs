//! What is wrong with a value by its schema, in the words of upstream's validator. Source: `k8s.io/kube-openapi/pkg/validation`.

use std::collections::HashSet;

use sdk_api::Violations;
use serde_json::Value;

use super::{Schema, child, formats};

/// The field of what is said of a place as a whole; upstream's validator names the place in the words instead.
const NOWHERE: &str = "<nil>";

/// Checks `value`, which stands at `path` (empty at the root).
pub fn validate(value: &Value, schema: &Schema, path: &str) -> Violations {
    let mut found = Violations::default();
    check(value, schema, path, &mut found);
    found
}

fn check(value: &Value, schema: &Schema, path: &str, found: &mut Violations) {
    if !fits_type(value, schema, path, found) {
        return;
    }
    if let Some(values) = &schema.values {
        let listed = values.iter().any(|allowed| same(allowed, value)) || (value.is_null() && schema.nullable);
        if !listed {
            let supported: Vec<String> =
                values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), Into::into)).collect();
            found.not_supported(path, value.clone(), &supported.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    match value {
        Value::String(text) => string(text, schema, path, found),
        Value::Number(number) => numeric(number, schema, path, found),
        Value::Array(items) => array(items, schema, path, found),
        Value::Object(fields) => object(fields, schema, path, found),
        Value::Null | Value::Bool(_) => {}
    }
    junctors(value, schema, path, found);
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|n| n.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits_type(value: &Value, schema: &Schema, path: &str, found: &mut Violations) -> bool {
    let is = type_of(value);
    if is == "null" && (schema.nullable || (schema.kind.is_empty() && !schema.int_or_string)) {
        return true;
    }
    let wanted = match schema.kind.as_str() {
        _ if schema.int_or_string && matches!(is, "integer" | "string") => return true,
        _ if schema.int_or_string => "integer,string",
        "" => return true,
        "number" if is == "integer" => return true,
        wanted if wanted == is => return true,
        wanted => wanted,
    };
    found.type_invalid(path, is, format!("{path} in body must be of type {wanted}: {is:?}"));
    false
}

/// Numbers are equal by value: 1 and 1.0.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn string(text: &str, schema: &Schema, path: &str, found: &mut Violations) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        found.too_long(path, usize::try_from(max).unwrap_or(0));
    }
    if let Some(min) = schema.min_length.filter(|min| length < *min) {
        found.invalid(path, text, format!("{path} in body should be at least {min} chars long"));
    }
    if schema.pattern().is_some_and(|pattern| !pattern.is_match(text)) {
        found.invalid(path, text, format!("{path} in body should match '{}'", schema.pattern));
    }
    if !formats::fits(&schema.format, text) {
        found.type_invalid(path, text, format!("{path} in body must be of type {}: {text:?}", schema.format));
    }
}

/// A number as Go prints a float64.
fn go_number(number: f64) -> String {
    if number.abs() >= 1e21 { format!("{number:e}") } else { number.to_string() }
}

fn numeric(number: &serde_json::Number, schema: &Schema, path: &str, found: &mut Violations) {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let mut wrong =
        |words: String| found.invalid(path, Value::Number(number.clone()), format!("{path} in body {words}"));
    if let Some(max) = schema.maximum {
        match schema.exclusive_maximum {
            true if value >= max => wrong(format!("should be less than {}", go_number(max))),
            false if value > max => wrong(format!("should be less than or equal to {}", go_number(max))),
            _ => {}
        }
    }
    if let Some(min) = schema.minimum {
        match schema.exclusive_minimum {
            true if value <= min => wrong(format!("should be greater than {}", go_number(min))),
            false if value < min => wrong(format!("should be greater than or equal to {}", go_number(min))),
            _ => {}
        }
    }
    if let Some(of) = schema.multiple_of.filter(|of| *of > 0.0) {
        let parts = value / of;
        if (parts - parts.round()).abs() > 1e-9 {
            wrong(format!("should be a multiple of {}", go_number(of)));
        }
    }
    let integer = schema.kind == "integer" || schema.int_or_string;
    let fits = match schema.format.as_str() {
        "int32" if integer => value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX),
        "int64" if integer => number.is_i64() || value.abs() < 9.2e18,
        "uint32" if integer => value >= 0.0 && value <= f64::from(u32::MAX),
        "uint64" if integer => value >= 0.0,
        "float" if schema.kind == "number" => value.abs() <= f64::from(f32::MAX),
        _ => true,
    };
    if !fits {
        let words = format!("Checked value must be of type {} with format {}", schema.kind, schema.format);
        found.invalid(path, Value::Number(number.clone()), words);
    }
}

fn array(items: &[Value], schema: &Schema, path: &str, found: &mut Violations) {
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(min) = schema.min_items.filter(|min| count < *min) {
        found.invalid(path, items.to_vec(), format!("{path} in body should have at least {min} items"));
    }
    if let Some(max) = schema.max_items.filter(|max| count > *max) {
        found.too_many(path, items.len(), usize::try_from(max).unwrap_or(0));
    }
    let mut seen = HashSet::new();
    if schema.unique_items && !items.iter().all(|item| seen.insert(item.to_string())) {
        found.invalid(path, items.to_vec(), format!("{path} in body shouldn't contain duplicates"));
    }
    if let Some(of) = schema.items() {
        for (at, item) in items.iter().enumerate() {
            check(item, of, &format!("{path}[{at}]"), found);
        }
    }
}

fn object(fields: &serde_json::Map<String, Value>, schema: &Schema, path: &str, found: &mut Violations) {
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    let shown = || Value::Object(fields.clone());
    if let Some(min) = schema.min_properties.filter(|min| count < *min) {
        found.invalid(path, shown(), format!("{path} in body should have at least {min} properties"));
    }
    if let Some(max) = schema.max_properties.filter(|max| count > *max) {
        found.too_many(path, fields.len(), usize::try_from(max).unwrap_or(0));
    }
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        found.required(child(path, name), "");
    }
    for (name, field) in fields {
        if let Some(of) = schema.property(name) {
            check(field, of, &child(path, name), found);
        }
    }
}

fn junctors(value: &Value, schema: &Schema, path: &str, found: &mut Violations) {
    let results = |schemas: &[Schema]| schemas.iter().map(|of| validate(value, of, path)).collect::<Vec<_>>();
    // What the alternative says that comes nearest: it complains least.
    let nearest = |results: Vec<Violations>| results.into_iter().min_by_key(|found| found.iter().count());
    if !schema.any_of.is_empty() {
        let results = results(&schema.any_of);
        if !results.iter().any(Violations::is_empty) {
            found.invalid(NOWHERE, "", format!("{path:?} must validate at least one schema (anyOf)"));
            found.extend(nearest(results).unwrap_or_default());
        }
    }
    if !schema.one_of.is_empty() {
        let results = results(&schema.one_of);
        let valid = results.iter().filter(|found| found.is_empty()).count();
        let words = format!("{path:?} must validate one and only one schema (oneOf).");
        match valid {
            1 => {}
            0 => {
                found.invalid(NOWHERE, "", format!("{words} Found none valid"));
                found.extend(nearest(results).unwrap_or_default());
            }
            many => found.invalid(NOWHERE, "", format!("{words} Found {many} valid alternatives")),
        }
    }
    if !schema.all_of.is_empty() {
        let results = results(&schema.all_of);
        let valid = results.iter().filter(|found| found.is_empty()).count();
        if valid < results.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.invalid(NOWHERE, "", format!("{path:?} must validate all the schemas (allOf){none}"));
            results.into_iter().for_each(|more| found.extend(more));
        }
    }
    if schema.not.as_ref().is_some_and(|not| validate(value, not, path).is_empty()) {
        found.invalid(NOWHERE, "", format!("{path:?} must not validate the schema (not)"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_values_are_told_in_upstreams_words() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 10, "format": "int32"},
            "big": {"type": "integer", "format": "int32"},
            "half": {"type": "number", "multipleOf": 0.5},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "cron": {"type": "string", "pattern": "^a+$", "maxLength": 3, "minLength": 2},
            "time": {"type": "string", "format": "date-time"},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
            "maybe": {"type": "string", "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "integer"}},
        }}}}))
        .unwrap();
        for (spec, words) in [
            (json!({"size": 3, "maybe": null, "port": "http", "half": 1.5, "map": {"a": 1}}), "[]"),
            (json!({}), "spec.size: Required value"),
            (
                json!({"size": "3"}),
                "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            ),
            (json!({"size": 0}), "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
            (json!({"size": 11}), "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
            (json!({"size": 2.0}), "[]"),
            (
                json!({"size": 1, "big": 3_000_000_000_u64}),
                "spec.big: Invalid value: 3000000000: Checked value must be of type integer with format int32",
            ),
            (
                json!({"size": 1, "half": 0.3}),
                "spec.half: Invalid value: 0.3: spec.half in body should be a multiple of 0.5",
            ),
            (
                json!({"size": 1, "colour": "green"}),
                "spec.colour: Unsupported value: \"green\": supported values: \"blue\", \"red\"",
            ),
            (
                json!({"size": 1, "cron": "bb"}),
                "spec.cron: Invalid value: \"bb\": spec.cron in body should match '^a+$'",
            ),
            (json!({"size": 1, "cron": "aaaa"}), "spec.cron: Too long: may not be more than 3 bytes"),
            (
                json!({"size": 1, "cron": "a"}),
                "spec.cron: Invalid value: \"a\": spec.cron in body should be at least 2 chars long",
            ),
            (
                json!({"size": 1, "time": "now"}),
                "spec.time: Invalid value: \"now\": spec.time in body must be of type date-time: \"now\"",
            ),
            (json!({"size": 1, "list": ["a", "b", "c"]}), "spec.list: Too many: 3: must have at most 2 items"),
            (
                json!({"size": 1, "list": [1]}),
                "spec.list[0]: Invalid value: \"integer\": spec.list[0] in body must be of type string: \"integer\"",
            ),
            (
                json!({"size": null}),
                "spec.size: Invalid value: \"null\": spec.size in body must be of type integer: \"null\"",
            ),
            (
                json!({"size": 1, "port": true}),
                "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
            ),
        ] {
            let found = validate(&json!({"spec": spec}), &schema, "");
            assert_eq!(found.summary(), words, "{spec}");
        }
    }

    #[test]
    fn alternatives_are_counted() {
        let schema = |word: &str| {
            let alternatives = json!([{"required": ["a"]}, {"required": ["b"]}]);
            Schema::parse(&json!({"type": "object", "properties": {"spec": {"type": "object", word: alternatives}}}))
                .unwrap()
        };
        for (word, spec, words) in [
            ("oneOf", json!({"a": 1}), vec![]),
            (
                "oneOf",
                json!({"a": 1, "b": 1}),
                vec!["\"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"],
            ),
            ("oneOf", json!({}), vec!["\"spec\" must validate one and only one schema (oneOf). Found none valid", ""]),
            ("anyOf", json!({"a": 1, "b": 1}), vec![]),
            ("anyOf", json!({}), vec!["\"spec\" must validate at least one schema (anyOf)", ""]),
            ("allOf", json!({"a": 1, "b": 1}), vec![]),
            ("allOf", json!({"a": 1}), vec!["\"spec\" must validate all the schemas (allOf)", ""]),
        ] {
            let found = validate(&json!({"spec": spec}), &schema(word), "");
            assert_eq!(found.iter().map(|one| one.detail.as_str()).collect::<Vec<_>>(), words, "{word} {spec}");
        }
        let not = Schema::parse(&json!({"not": {"required": ["a"]}})).unwrap();
        assert!(validate(&json!({}), &not, "x").is_empty() && !validate(&json!({"a": 1}), &not, "x").is_empty());
    }
}
