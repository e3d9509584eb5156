//! What several kinds of this group say of their fields.

use std::borrow::Cow;

use sdk_api::Violations;
use sdk_plugin::column::at_path;
use serde::Serialize;
use serde_json::Value;

/// Why most fields that may not change may not.
pub const IMMUTABLE: &str = "field is immutable";

/// The text at a path, for field selectors: empty where there is none.
pub fn at<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
    match at_path(object, path) {
        Value::String(text) => text.into(),
        Value::Null => "".into(),
        other => other.to_string().into(),
    }
}

/// A boolean at a path, for field selectors: `false` where there is none.
pub fn flag<'a>(object: &Value, path: &str) -> Cow<'a, str> {
    if at_path(object, path) == &Value::Bool(true) { "true".into() } else { "false".into() }
}

/// A text as the type holds it: absent is empty.
pub fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// Refuses a change of a field.
pub fn immutable<T: PartialEq + Serialize>(found: &mut Violations, path: &str, new: &T, old: &T) {
    if new != old {
        found.invalid(path, serde_json::to_value(new).unwrap_or_default(), IMMUTABLE);
    }
}

/// What differs between two documents, a line each, for messages about forbidden changes.
pub fn differences<T: Serialize>(old: &T, new: &T, path: &str) -> String {
    let mut lines = Vec::new();
    let value = |typed: &T| serde_json::to_value(typed).unwrap_or_default();
    differ(&value(old), &value(new), path, &mut lines);
    lines.join("\n")
}

fn differ(old: &Value, new: &Value, path: &str, lines: &mut Vec<String>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(before), Value::Object(after)) => {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                differ(&old[name], &new[name], &format!("{path}.{name}"), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (i, (old, new)) in before.iter().zip(after).enumerate() {
                differ(old, new, &format!("{path}[{i}]"), lines);
            }
        }
        _ => lines.push(format!("  {path}: {old} -> {new}")),
    }
}
