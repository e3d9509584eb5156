//! Field sets: which fields a document has, how two documents differ, and how one is laid over another, by a schema.
//!
//! This is the arithmetic of server-side apply. Where there is no schema, or it lets unknown fields through, the shape is
//! deduced: maps are granular, everything else is a leaf. Source: KEP-555, `sigs.k8s.io/structured-merge-diff`.

mod check;
mod compare;
mod merge;
mod path;
mod place;
mod remove;
mod set;

use serde_json::Value;

use crate::node::SchemaRef;
use place::{Form, Place};

pub use compare::Comparison;
pub use set::{Malformed, Set};

/// How `new` differs from `old`.
pub fn compare(schema: Option<&SchemaRef>, old: &Value, new: &Value) -> Comparison {
    compare::compare(Place::of(schema), old, new)
}

/// What a new object brings, compared with an empty one of its kind.
///
/// Parts that every object of the kind has, such as `spec`, are not counted as brought; what is in them is.
pub fn compare_new(schema: Option<&SchemaRef>, new: &Value) -> Comparison {
    compare::compare_new(Place::of(schema), new)
}

/// The fields that a document states: leaves, items of lists, entries of maps; objects with known fields are not fields
/// of their own unless they are empty.
pub fn fields_of(schema: Option<&SchemaRef>, document: &Value) -> Set {
    set_of(Place::of(schema), document).inner
}

/// Lays `config` over `live`: granular maps and lists merge, everything else is replaced.
pub fn merge(schema: Option<&SchemaRef>, live: &Value, config: &Value) -> Value {
    merge::merge(Place::of(schema), Some(live), Some(config)).unwrap_or(Value::Null)
}

/// Takes the members of `set` out of `document`; a map or list that loses all it had goes too.
pub fn remove(schema: Option<&SchemaRef>, document: &mut Value, set: &Set) {
    remove::remove(Place::of(schema), document, set);
}

/// What of a configuration does not fit the schema, in upstream's words: unknown fields, wrong types, duplicate items.
pub fn check(schema: Option<&SchemaRef>, config: &Value) -> Result<(), String> {
    check::check(Place::of(schema), config)
}

impl Set {
    /// The set with every object on the way to a member made a member too, as far as the schema names its field.
    pub fn with_named_fields(&self, schema: Option<&SchemaRef>) -> Self {
        remove::with_named_fields(Place::of(schema), self)
    }

    /// The set as the schema would have it today: what became atomic is owned as a whole.
    pub fn reconciled(&self, schema: Option<&SchemaRef>) -> Self {
        remove::reconciled(Place::of(schema), self)
    }
}

fn set_of(place: Place<'_>, value: &Value) -> set::Node {
    let mut found = Set::default();
    match place.form(None, Some(value)) {
        Form::Leaf => return set::Node::member(),
        Form::Map(atom) => {
            for (name, field) in value.as_object().into_iter().flatten() {
                let mut node = set_of(place.field(&atom, name), field);
                let is_empty = field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                node.member |= is_empty || !atom.has_field(name);
                found.push(path::field(name), node);
            }
        }
        Form::List(list) => {
            for item in value.as_array().into_iter().flatten() {
                let Ok(element) = list.element(item) else { continue };
                let mut node = set_of(list.items(), item);
                node.member = true;
                found.push(element, node);
            }
        }
    }
    set::Node { member: false, inner: found.sorted() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
