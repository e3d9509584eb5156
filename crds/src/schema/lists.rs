//! Lists that are sets or maps: no item twice. Source: KEP-1027, `x-kubernetes-list-type`.

use std::collections::HashSet;

use sdk_api::Violations;
use serde_json::{Map, Value};

use super::{Schema, child};

/// Reports items that stand twice in sets, and keys that stand twice in maps.
pub fn duplicates(value: &Value, schema: &Schema, path: &str, found: &mut Violations) {
    match value {
        Value::Array(items) => {
            let key = |item: &Value| -> Option<Value> {
                match schema.list_type.as_deref() {
                    Some("set") => Some(item.clone()),
                    Some("map") => {
                        let keys =
                            schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
                        Some(Value::Object(keys.collect::<Map<_, _>>()))
                    }
                    _ => None,
                }
            };
            let mut seen = HashSet::new();
            for (at, item) in items.iter().enumerate() {
                if let Some(key) = key(item).filter(|key| !seen.insert(key.to_string())) {
                    found.duplicate(format!("{path}[{at}]"), key);
                }
                if let Some(of) = schema.items() {
                    duplicates(item, of, &format!("{path}[{at}]"), found);
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(of) = schema.property(name) {
                    duplicates(field, of, &child(path, name), found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_stands_twice() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                    "items": {"type": "object"}},
            "any": {"type": "array", "items": {"type": "string"}},
        }}))
        .unwrap();
        let value = json!({"set": ["a", "b", "a"], "map": [{"a": 1}, {"a": 1, "b": 2}, {"a": 2}], "any": ["a", "a"]});
        let mut found = Violations::default();
        duplicates(&value, &schema, "", &mut found);
        assert_eq!(found.summary(), "[map[1]: Duplicate value: {\"a\":1}, set[2]: Duplicate value: \"a\"]");
    }
}
