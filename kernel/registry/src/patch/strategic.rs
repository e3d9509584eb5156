//! Strategic merge patch: a patch in the shape of the object, with lists merged by the keys that the schema names.
//!
//! Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch", and the design document
//! "Strategic Merge Patch" (sig-api-machinery), whose directives are
//! - `$patch: replace | delete` in a map or an item of a list,
//! - `$deleteFromPrimitiveList/FIELD: [..]`, `$setElementOrder/FIELD: [..]`, `$retainKeys: [..]` beside fields.

use sdk_api::{Reason, Status};
use sdk_schema::SchemaRef;
use serde_json::{Map, Value};

use super::go::{Printed, type_name};
use super::lists::Items;

pub(super) const DIRECTIVE: &str = "$patch";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";
const RETAIN: &str = "$retainKeys";

/// Lays `changes` over `document`, whose kind has `schema`.
///
/// A patch that cannot be read is 400. What upstream cannot make sense of while merging (an item without its merge
/// key, an unknown directive) is 500 there and here, since clients tell the cases apart by the message alone.
pub fn apply(document: Value, changes: &Value, schema: &SchemaRef) -> Result<Value, Status> {
    let (Value::Object(document), Value::Object(changes)) = (document, changes) else {
        let found = type_name(changes);
        return Err(Status::bad_request(format!(
            "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
        )));
    };
    merge_map(document, changes.clone(), Some(schema)).map(Value::Object).map_err(Status::from)
}

/// Why a patch cannot be merged, in upstream's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("invalid patch format of primitive list")]
    DeleteFormat,
    #[error("invalid patch format of retainKeys")]
    RetainFormat,
    #[error("invalid patch format of setElementOrder list")]
    OrderFormat,
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("{0}")]
    Other(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::DeleteFormat | Error::RetainFormat | Error::OrderFormat => Self::bad_request(error.to_string()),
            Error::ListOfLists => {
                Self::new(422, Reason::Invalid, "the server rejected our request due to an error in our request")
            }
            Error::Other(words) => Self::new(500, Reason::Unknown, words),
        }
    }
}

/// Merges a map. Without a schema (a field that takes any JSON) maps merge and lists are replaced.
pub(super) fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Option<&SchemaRef>,
) -> Result<Map<String, Value>, Error> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(without_directives(patch)),
            Some("delete") => Ok(Map::new()),
            _ => {
                let kind = Printed(&directive).to_string();
                patch.insert(DIRECTIVE.into(), directive);
                Err(Error::Other(format!("unknown patch type: {kind} in map: {}", Printed(&Value::Object(patch)))))
            }
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_element_order(&mut original, &mut patch, schema)?;
    for (name, change) in patch {
        if let Some(field) = directive_field(&name, DELETE_PREFIX).ok_or(Error::DeleteFormat)? {
            delete_from_list(&mut original, field, &change)?;
            continue;
        }
        if change.is_null() {
            original.remove(&name);
            continue;
        }
        let field = schema.and_then(|schema| schema.field(&name));
        let merged = match (original.remove(&name), change) {
            (Some(Value::Object(before)), Value::Object(change)) => {
                if field.as_ref().is_some_and(|field| field.patch_strategy().replace) {
                    Value::Object(without_directives(change))
                } else {
                    Value::Object(merge_map(before, change, field.as_ref())?)
                }
            }
            (Some(Value::Array(before)), Value::Array(change)) => {
                Value::Array(merge_list(before, change, field.as_ref())?)
            }
            (_, change) => match drop_directives(change) {
                Some(change) => change,
                None => continue,
            },
        };
        original.insert(name, merged);
    }
    Ok(original)
}

fn merge_list(before: Vec<Value>, change: Vec<Value>, field: Option<&SchemaRef>) -> Result<Vec<Value>, Error> {
    match field {
        Some(field) if field.patch_strategy().merge => {
            let items = field.items();
            Items { key: field.patch_merge_key(), schema: items.as_ref() }.merge(before, change)
        }
        _ => Ok(change.into_iter().filter_map(drop_directives).collect()),
    }
}

/// The field that a directive such as `$setElementOrder/containers` is about: `Some(None)` if the name is no such
/// directive, `None` if it is one without a field.
#[expect(clippy::option_option, reason = "callers turn the outer one into their error")]
fn directive_field<'a>(name: &'a str, prefix: &str) -> Option<Option<&'a str>> {
    match name.strip_prefix(prefix) {
        None => Some(None),
        Some(rest) => rest.strip_prefix('/').map(Some),
    }
}

/// `$retainKeys`: clears the fields that it does not name. The patch may only set fields that it names.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Error> {
    let Some(keys) = patch.remove(RETAIN) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(Error::RetainFormat) };
    let kept = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    let fits = |(name, change): (&String, &Value)| {
        change.is_null() || name.starts_with(DELETE_PREFIX) || name.starts_with(ORDER_PREFIX) || kept(name)
    };
    if !patch.iter().all(fits) {
        return Err(Error::RetainFormat);
    }
    original.retain(|name, _| kept(name));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the field and brings it into the order that the directive lists.
fn set_element_order(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Option<&SchemaRef>,
) -> Result<(), Error> {
    let names: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER_PREFIX)).cloned().collect();
    for name in names {
        let field = directive_field(&name, ORDER_PREFIX).flatten().ok_or(Error::OrderFormat)?;
        let order = as_list(patch.remove(&name))?.unwrap_or_default();
        let before = as_list(original.get(field).cloned())?;
        let change = as_list(patch.get(field).cloned())?;
        let place = schema.and_then(|schema| schema.field(field));
        let inner = place.as_ref().and_then(SchemaRef::items);
        let items = Items { key: place.as_ref().and_then(|place| place.patch_merge_key()), schema: inner.as_ref() };
        items.check_order(change.as_deref().unwrap_or_default(), &order)?;
        let server_order = before.clone().unwrap_or_default();
        let merged = match (before, change) {
            (None, None) => continue,
            (Some(before), None) => before,
            (None, Some(change)) => change.into_iter().filter_map(drop_directives).collect(),
            (Some(before), Some(change)) => merge_list(before, change, place.as_ref())?,
        };
        patch.remove(field);
        original.insert(field.to_owned(), Value::Array(items.in_order(merged, &order, &server_order)));
    }
    Ok(())
}

fn as_list(value: Option<Value>) -> Result<Option<Vec<Value>>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => {
            let found = match &other {
                Value::Object(_) => "map[string]interface {}",
                Value::Null => "<nil>",
                Value::Number(_) => "int64",
                plain => type_name(plain),
            };
            Err(Error::Other(format!("expected a []interface {{}}, but received a {found}")))
        }
    }
}

/// `$deleteFromPrimitiveList/FIELD`: removes values from a list.
fn delete_from_list(original: &mut Map<String, Value>, field: &str, values: &Value) -> Result<(), Error> {
    let Value::Array(values) = values else { return Err(Error::DeleteFormat) };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// What a patch's value means where there is nothing yet: without directives and nulls. `None` if it is not to be.
///
/// Upstream also drops a map that says `$patch: replace`; to replace nothing by something can only mean the something.
pub(super) fn drop_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.get(DIRECTIVE).is_some_and(|directive| directive == "delete") => None,
        Value::Object(fields) => Some(Value::Object(without_directives(fields))),
        Value::Array(items) => {
            // An item with nothing but a directive says something about the list, which there is not yet.
            let says_nothing =
                |item: &Value| item.as_object().is_some_and(|o| o.len() == 1 && o.contains_key(DIRECTIVE));
            Some(Value::Array(
                items.into_iter().filter(|item| !says_nothing(item)).filter_map(drop_directives).collect(),
            ))
        }
        plain => Some(plain),
    }
}

fn without_directives(fields: Map<String, Value>) -> Map<String, Value> {
    let is_directive = |name: &str| {
        name == DIRECTIVE || name == RETAIN || name.starts_with(DELETE_PREFIX) || name.starts_with(ORDER_PREFIX)
    };
    let kept = fields.into_iter().filter(|(name, field)| !field.is_null() && !is_directive(name));
    kept.filter_map(|(name, field)| Some((name, drop_directives(field)?))).collect()
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
