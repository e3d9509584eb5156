//! Pruning: fields that the schema does not name are removed. Source: KEP-1065, structural schemas.

use serde_json::Value;

use super::{Additional, Schema, child};

/// Removes unknown fields below the root, where `apiVersion`, `kind` and `metadata` are known anyway. Gives their paths.
pub fn prune(document: &mut Value, schema: &Schema) -> Vec<String> {
    let mut removed = Vec::new();
    walk(document, schema, true, "", &mut removed);
    removed
}

/// The same for a value below the root.
pub fn prune_part(value: &mut Value, schema: &Schema) -> Vec<String> {
    let mut removed = Vec::new();
    walk(value, schema, schema.embedded, "", &mut removed);
    removed
}

/// Whether anything would be removed.
pub fn needs_pruning(document: &Value, schema: &Schema) -> bool {
    has_unknown(document, schema, true)
}

fn is_implied(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn walk(value: &mut Value, schema: &Schema, is_resource: bool, path: &str, removed: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            let Some(of) = schema.items() else { return };
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, of, of.embedded, &format!("{path}[{at}]"), removed);
            }
        }
        Value::Object(fields) => {
            let keeps = keeps_unknown(schema);
            fields.retain(|name, field| {
                let here = child(path, name);
                if is_resource && is_implied(name) {
                    return true;
                }
                match schema.property(name) {
                    Some(of) => {
                        walk(field, of, of.embedded, &here, removed);
                        true
                    }
                    None if keeps => true,
                    None => {
                        removed.push(here);
                        false
                    }
                }
            });
        }
        _ => {}
    }
}

fn keeps_unknown(schema: &Schema) -> bool {
    schema.preserves_unknown() || matches!(schema.additional_properties, Some(Additional::Allowed(true)))
}

/// The same walk without changes: true at the first field that would go.
fn has_unknown(value: &Value, schema: &Schema, is_resource: bool) -> bool {
    match value {
        Value::Array(items) => {
            schema.items().is_some_and(|of| items.iter().any(|item| has_unknown(item, of, of.embedded)))
        }
        Value::Object(fields) => {
            let keeps = keeps_unknown(schema);
            fields.iter().any(|(name, field)| match schema.property(name) {
                _ if is_resource && is_implied(name) => false,
                Some(of) => has_unknown(field, of, of.embedded),
                None => !keeps,
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_go() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "string"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"b": {"type": "object"}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}}},
                "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            }}}}))
        .unwrap();
        let mut document = json!({"apiVersion": "x/v1", "kind": "W", "metadata": {"name": "a"}, "status": 1, "spec": {
            "a": "b", "c": 1, "free": {"z": 1, "b": {"gone": 1}}, "map": {"k": {"x": 1, "y": 2}},
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "more": 1}, "list": [{"x": 1}, {"y": 1}]}});
        assert!(needs_pruning(&document, &schema));
        let mut removed = prune(&mut document, &schema);
        removed.sort();
        assert_eq!(
            removed,
            ["spec.c", "spec.free.b.gone", "spec.list[1].y", "spec.map.k.y", "spec.pod.more", "status"]
        );
        assert!(!needs_pruning(&document, &schema));
        assert_eq!(document["spec"]["free"], json!({"z": 1, "b": {}}));
    }
}
