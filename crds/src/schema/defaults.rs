//! Defaulting. Source: KEP-575, defaulting of custom resources.

use serde_json::Value;

use super::Schema;

/// Fills in what is missing and has a default. Also a null counts as missing where the schema allows none.
pub fn default(document: &mut Value, schema: &Schema) {
    match document {
        Value::Object(fields) => {
            for (name, of) in &schema.properties {
                let Some(default) = &of.default else { continue };
                let missing = fields.get(name).is_none_or(|value| value.is_null() && !of.nullable);
                if missing && (of.nullable || !default.is_null()) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                let Some(of) = schema.property(name) else { continue };
                fill_null(value, of, schema.properties.contains_key(name));
                default_below(value, of);
            }
        }
        Value::Array(items) => {
            let Some(of) = schema.items() else { return };
            for item in items {
                fill_null(item, of, false);
                default_below(item, of);
            }
        }
        _ => {}
    }
}

fn default_below(value: &mut Value, schema: &Schema) {
    if value.is_object() || value.is_array() {
        default(value, schema);
    }
}

/// A null item or map value becomes the default of its schema.
fn fill_null(value: &mut Value, schema: &Schema, is_named: bool) {
    if !is_named
        && value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
}

/// Removes nulls that the schema does not allow and a default would replace, so that the default comes in.
pub fn prune_nulls(document: &mut Value, schema: &Schema) {
    match document {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                !(value.is_null() && schema.properties.get(name).is_some_and(|of| !of.nullable && of.default.is_some()))
            });
            for (name, value) in fields.iter_mut() {
                if let Some(of) = schema.property(name) {
                    prune_nulls(value, of);
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = schema.items() {
                items.iter_mut().for_each(|item| prune_nulls(item, of));
            }
        }
        _ => {}
    }
}

/// Whether defaulting would change anything.
pub fn needs_defaults(document: &Value, schema: &Schema) -> bool {
    let nulled = |value: &Value, of: &Schema| value.is_null() && !of.nullable && of.default.is_some();
    match document {
        Value::Object(fields) => {
            let missing = schema.properties.iter().any(|(name, of)| {
                of.default.as_ref().is_some_and(|default| !default.is_null() || of.nullable)
                    && fields.get(name).is_none_or(|value| value.is_null() && !of.nullable)
            });
            missing
                || fields.iter().any(|(name, value)| {
                    schema.property(name).is_some_and(|of| nulled(value, of) || needs_defaults(value, of))
                })
        }
        Value::Array(items) => {
            schema.items().is_some_and(|of| items.iter().any(|item| nulled(item, of) || needs_defaults(item, of)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_filled_in() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "A"},
            "b": {"type": "string", "nullable": true, "default": "B"},
            "c": {"type": "object", "default": {}, "properties": {"d": {"type": "integer", "default": 1}}},
            "e": {"type": "object", "properties": {"f": {"type": "integer", "default": 1}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "integer", "default": 7}},
        }}))
        .unwrap();
        for (before, after) in [
            (json!({}), json!({"a": "A", "b": "B", "c": {"d": 1}})),
            (json!({"a": null, "b": null, "c": {}}), json!({"a": "A", "b": null, "c": {"d": 1}})),
            (
                json!({"a": "", "b": "", "c": {"d": 0}, "e": {}}),
                json!({"a": "", "b": "", "c": {"d": 0}, "e": {"f": 1}}),
            ),
            (
                json!({"a": "x", "b": "x", "c": {"d": 2}, "l": [{}, {"p": "UDP"}], "m": {"k": null}}),
                json!({"a": "x", "b": "x", "c": {"d": 2}, "l": [{"p": "TCP"}, {"p": "UDP"}], "m": {"k": 7}}),
            ),
        ] {
            let mut document = before.clone();
            assert_eq!(needs_defaults(&document, &schema), before != after, "{before}");
            prune_nulls(&mut document, &schema);
            default(&mut document, &schema);
            assert_eq!(document, after, "{before}");
            assert!(!needs_defaults(&document, &schema));
        }
    }
}
