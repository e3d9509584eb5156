//! JSON merge patch, RFC 7386.

use serde_json::{Map, Value};

/// Lays `changes` over `document`: maps merge, null removes a field, everything else replaces.
pub fn apply(mut document: Value, changes: &Value) -> Value {
    merge(&mut document, changes);
    document
}

fn merge(target: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *target = changes.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_are_those_of_the_rfc() {
        for (case, document, changes, want) in [
            ("replace", json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            ("add", json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            ("remove", json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            ("remove what is not there", json!({}), json!({"a": null}), json!({})),
            ("lists are replaced", json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            ("inside", json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3, "c": null}}), json!({"a": {"b": 3}})),
            ("a map over a scalar", json!({"a": 1}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
            ("nulls of new maps go", json!({}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {}}})),
            ("nulls in lists stay", json!({}), json!({"a": [null, {"b": null}]}), json!({"a": [null, {"b": null}]})),
            (
                "kubectl label",
                json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
                json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
                json!({"metadata": {"labels": {"b": "2", "c": "3"}}}),
            ),
            ("not a map", json!({"a": 1}), json!([1]), json!([1])),
        ] {
            assert_eq!(apply(document, &changes), want, "{case}");
        }
    }
}
