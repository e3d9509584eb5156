//! Whether a configuration fits its schema, before it is merged.

use std::collections::HashSet;

use serde_json::Value;

use crate::node::Shape;

use super::path;
use super::place::{Atom, Place};

pub(super) fn check(place: Place<'_>, config: &Value) -> Result<(), String> {
    let mut found = Vec::new();
    walk(place, config, "", &mut found);
    match &found[..] {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(many.iter().fold("errors:".into(), |all, one| format!("{all}\n  {one}"))),
    }
}

fn walk(place: Place<'_>, value: &Value, at: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let mut say = |words: String| {
        let gap = if at.is_empty() { "" } else { ": " };
        found.push(format!("{at}{gap}{words}"));
    };
    let got = || match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    };
    let atom = place.atom();
    match (&atom, value) {
        (Atom::Deduced, Value::Object(fields)) | (Atom::Map(_) | Atom::Struct(..), Value::Object(fields)) => {
            for (name, field) in fields {
                if matches!(atom, Atom::Struct(_, false)) && !atom.has_field(name) {
                    found.push(format!("{at}.{name}: field not declared in schema"));
                    continue;
                }
                walk(place.field(&atom, name), field, &format!("{at}.{name}"), found);
            }
        }
        (Atom::Deduced, _) => {}
        (Atom::Keyed(..) | Atom::Set(_), Value::Array(items)) => {
            let super::Form::List(list) = place.form(None, Some(value)) else { return };
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = match list.element(item) {
                    Ok(element) => element,
                    Err(words) => {
                        found.push(format!("{at}: element {index}: {words}"));
                        continue;
                    }
                };
                let shown = path::shown(&element);
                walk(list.items(), item, &format!("{at}{shown}"), found);
                if !seen.insert(element) {
                    found.push(format!("{at}: duplicate entries for key {shown}"));
                }
            }
        }
        (Atom::Map(_) | Atom::Struct(..), _) => say(format!("expected map, got {}", got())),
        (Atom::Keyed(..) | Atom::Set(_), _) => say(format!("expected list, got {}", got())),
        (Atom::Leaf(shape), _) => {
            let wanted = match (shape, value) {
                (Shape::Bool, Value::Bool(_))
                | (Shape::String | Shape::Bytes, Value::String(_))
                | (Shape::Int32 | Shape::Int64 | Shape::Double, Value::Number(_)) => return,
                (Shape::Bool, _) => "boolean",
                (Shape::String | Shape::Bytes, _) => "string",
                (Shape::Int32 | Shape::Int64 | Shape::Double, _) => "numeric (int or float)",
                (Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString, v)
                    if v.is_object() || v.is_array() =>
                {
                    "any scalar"
                }
                (Shape::List(_), v) if !v.is_array() => "list",
                (Shape::Map(_) | Shape::Object(_), v) if !v.is_object() => "map",
                // What an atomic map or list holds is checked for unknown fields and types like everything else.
                (Shape::List(_), Value::Array(items)) => {
                    let inside = place.below_atomic("");
                    for (index, item) in items.iter().enumerate() {
                        walk(inside, item, &format!("{at}[{index}]"), found);
                    }
                    return;
                }
                (Shape::Map(_) | Shape::Object(_), Value::Object(fields)) => {
                    for (name, field) in fields {
                        let unknown = matches!(shape, Shape::Object(known) if crate::node::find(known, name).is_none());
                        if unknown && !place.keeps_unknown() {
                            found.push(format!("{at}.{name}: field not declared in schema"));
                            continue;
                        }
                        walk(place.below_atomic(name), field, &format!("{at}.{name}"), found);
                    }
                    return;
                }
                _ => return,
            };
            say(format!("expected {wanted}, got {}", got()));
        }
    }
}
