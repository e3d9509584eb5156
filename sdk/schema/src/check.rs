//! Decoding by schema: wrong types are refused, unknown fields pruned, nulls dropped, formats made canonical.

use std::fmt;

use sdk_api::quantity::WRONG_FORMAT;
use sdk_api::{GroupVersionKind, Quantity, Status};
use serde_json::Value;

use crate::formats::{Precision, canonical_base64, canonical_time};
use crate::node::{NodeId, SchemaRef, Shape, find};
use crate::schemas::Schemas;

/// How many unknown fields one document reports; further ones are pruned in silence, as upstream does.
const UNKNOWN_MAX: usize = 100;

/// What to say about unknown fields. They are pruned either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    Ignore,
    Report,
}

/// A field that the schema does not know, by its path: `spec.containers[0].colour`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    pub path: String,
}

impl fmt::Display for UnknownField {
    /// As in upstream's warnings: `unknown field "spec.colour"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown field {:?}", self.path)
    }
}

/// A value of the wrong type, in the words of Go's decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{decoded}")]
pub struct TypeError {
    decoded: String,
    converted: String,
}

impl TypeError {
    /// What a format says of itself is the same wherever it is read.
    fn of(words: impl Into<String>) -> Self {
        let decoded = words.into();
        Self { converted: decoded.clone(), decoded }
    }

    /// The same in the words of upstream's converter, which reads what a strategic merge patch has made:
    /// `unrecognized type: int32`.
    pub fn converted(&self) -> &str {
        &self.converted
    }

    /// The answer to a request whose body was meant to be `expected` and named itself `found`:
    /// `Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal …`.
    pub fn status(&self, found: &GroupVersionKind, expected: &str) -> Status {
        let GroupVersionKind { kind, version, .. } = found;
        Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {expected}: {self}"))
    }
}

/// Brings a document into the form that upstream's decoder would give it.
///
/// - A value of the wrong type, an integer out of range or a string in the wrong format is an error.
/// - Fields that the schema does not know are removed, and returned if `unknown` asks for them (at most 100).
/// - A null counts as absent: a null field is removed, a null item or map value becomes the empty value of its type.
/// - Quantities, times and base64 become canonical, so that equal values are equal text.
///
/// Nothing is defaulted and nothing is required. Recursion is as deep as the document, whose depth the caller bounds.
/// Source: `sigs.k8s.io/json` and the `UnmarshalJSON` methods of `k8s.io/apimachinery`.
pub fn check(schema: &SchemaRef, value: &mut Value, unknown: Unknown) -> Result<Vec<UnknownField>, TypeError> {
    let mut walk = Walk { schemas: &schema.schemas, unknown, found: Vec::new() };
    walk.value(schema.node, value, &Path::Root)?;
    Ok(walk.found)
}

/// Where the walk is; a list on the stack, read only when there is something to say.
enum Path<'a> {
    Root,
    /// A field, with the object that has it.
    Field(&'a Path<'a>, NodeId, &'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// With keys and indexes, as unknown fields are named.
    fn full(&self) -> String {
        let name = |parent: &Path<'_>, name: &str| match parent {
            Path::Root => name.to_owned(),
            parent => format!("{}.{name}", parent.full()),
        };
        match self {
            Self::Root => String::new(),
            Self::Field(parent, _, field) => name(parent, field),
            Self::Key(parent, key) => name(parent, key),
            Self::Index(parent, index) => format!("{}[{index}]", parent.full()),
        }
    }

    /// Field names alone, as Go's type errors give them.
    fn fields(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, _, field) => match parent.fields() {
                before if before.is_empty() => (*field).to_owned(),
                before => format!("{before}.{field}"),
            },
            Self::Key(parent, _) | Self::Index(parent, _) => parent.fields(),
        }
    }

    /// The innermost object.
    fn object(&self) -> Option<NodeId> {
        match self {
            Self::Root => None,
            Self::Field(_, object, _) => Some(*object),
            Self::Key(parent, _) | Self::Index(parent, _) => parent.object(),
        }
    }
}

struct Walk<'a> {
    schemas: &'a Schemas,
    unknown: Unknown,
    found: Vec<UnknownField>,
}

impl Walk<'_> {
    fn value(&mut self, id: NodeId, value: &mut Value, path: &Path<'_>) -> Result<(), TypeError> {
        let node = self.schemas.resolve(id);
        let shape = &self.schemas.node(node).shape;
        if value.is_null() {
            *value = empty(shape);
            return Ok(());
        }
        match (shape, &mut *value) {
            (Shape::Any | Shape::Ref(_), _)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::String | Shape::IntOrString, Value::String(_))
            | (Shape::Double, Value::Number(_)) => Ok(()),
            (Shape::Int32 | Shape::IntOrString, Value::Number(n))
                if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) =>
            {
                Ok(())
            }
            (Shape::Int64, Value::Number(n)) if n.is_i64() => Ok(()),
            (Shape::Bytes, Value::String(text)) => {
                *text = canonical_base64(text).map_err(TypeError::of)?;
                Ok(())
            }
            (Shape::Time, Value::String(text)) => {
                *text = canonical_time(text, Precision::Seconds).map_err(TypeError::of)?;
                Ok(())
            }
            (Shape::MicroTime, Value::String(text)) => {
                *text = canonical_time(text, Precision::Micros).map_err(TypeError::of)?;
                Ok(())
            }
            (Shape::Quantity, _) => {
                let quantity = match value {
                    Value::String(text) => text.trim().parse::<Quantity>(),
                    Value::Number(number) => number.to_string().parse(),
                    _ => Err(WRONG_FORMAT),
                };
                *value = Value::String(quantity.map_err(TypeError::of)?.to_string());
                Ok(())
            }
            (Shape::List(items), Value::Array(values)) => {
                values.iter_mut().enumerate().try_for_each(|(i, item)| self.value(*items, item, &Path::Index(path, i)))
            }
            (Shape::Map(inner), Value::Object(entries)) => {
                entries.iter_mut().try_for_each(|(key, item)| self.value(*inner, item, &Path::Key(path, key)))
            }
            (Shape::Object(fields), Value::Object(entries)) => {
                let preserve = [id, node].iter().any(|id| self.schemas.facts(*id).is_some_and(|f| f.preserve_unknown));
                let mut outcome = Ok(());
                entries.retain(|name, item| {
                    if outcome.is_err() {
                        return true;
                    }
                    let here = Path::Field(path, node, name);
                    match find(fields, name) {
                        Some(_) if item.is_null() => false,
                        Some(field) => {
                            outcome = self.value(field, item, &here);
                            true
                        }
                        None if preserve => true,
                        None => {
                            self.report(&here);
                            false
                        }
                    }
                });
                outcome
            }
            (_, found) => Err(self.mismatch(id, found, path)),
        }
    }

    fn report(&mut self, path: &Path<'_>) {
        if self.unknown == Unknown::Report && self.found.len() < UNKNOWN_MAX {
            self.found.push(UnknownField { path: path.full() });
        }
    }

    fn mismatch(&self, id: NodeId, found: &Value, path: &Path<'_>) -> TypeError {
        let shape = self.schemas.shape(id);
        let integer = matches!(shape, Shape::Int32 | Shape::Int64 | Shape::IntOrString);
        let converted = self.conversion_mismatch(shape, found);
        let found = match found {
            Value::Null => "null".into(),
            Value::Bool(_) => "bool".into(),
            Value::Number(number) if integer => format!("number {number}"),
            Value::Number(_) => "number".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) => "object".to_owned(),
        };
        // The types that decode themselves complain about what they read from.
        let wanted = match shape {
            Shape::Time | Shape::MicroTime => "string".into(),
            Shape::IntOrString => "int32".into(),
            _ => self.go_type(id),
        };
        let place = match path.object() {
            Some(object) => format!("struct field {}.{}", self.go_name(object, false), path.fields()),
            None => "value".into(),
        };
        let decoded = format!("json: cannot unmarshal {found} into Go {place} of type {wanted}");
        TypeError { converted: converted.unwrap_or_else(|| decoded.clone()), decoded }
    }

    /// Source: `k8s.io/apimachinery/pkg/runtime/converter.go`.
    fn conversion_mismatch(&self, shape: &Shape, found: &Value) -> Option<String> {
        let from = match found {
            Value::Null => return None,
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float64",
            Value::Number(_) => "int64",
            Value::String(_) => "string",
            Value::Array(_) => "slice",
            Value::Object(_) => "map",
        };
        let to = match shape {
            Shape::List(_) | Shape::Bytes => return Some(format!("cannot restore slice from {from}")),
            Shape::Map(_) => return Some(format!("cannot restore map from {from}")),
            Shape::Object(_) => return Some(format!("cannot restore struct from: {from}")),
            Shape::Bool => "bool",
            Shape::String => "string",
            Shape::Int32 => "int32",
            Shape::Int64 => "int64",
            Shape::Double => "float64",
            // These read themselves from JSON.
            _ => return None,
        };
        // Go converts numbers to numbers, and would make a character of one: both come to the same refusal.
        let convertible = found.is_number() && to != "bool";
        Some(if convertible { format!("cannot convert {from} to {to}") } else { format!("unrecognized type: {to}") })
    }

    /// The Go type of a node, as `%T` prints it.
    fn go_type(&self, id: NodeId) -> String {
        match &self.schemas.node(id).shape {
            Shape::Any => "interface {}".into(),
            Shape::Bool => "bool".into(),
            Shape::String => "string".into(),
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Double => "float64".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::List(items) => format!("[]{}", self.go_type(*items)),
            Shape::Map(values) => match self.go_type(*values) {
                quantity if quantity == "resource.Quantity" => "v1.ResourceList".into(),
                values => format!("map[string]{values}"),
            },
            Shape::Ref(target) => self.go_type(*target),
            Shape::Object(_) | Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => {
                self.go_name(id, true)
            }
        }
    }

    /// `Container`, or `v1.Container`, of `io.k8s.api.core.v1.Container`.
    fn go_name(&self, id: NodeId, with_package: bool) -> String {
        let name = self.schemas.name_of(id).unwrap_or("map[string]interface {}");
        let mut parts = name.rsplit('.');
        let kind = parts.next().unwrap_or_default();
        match parts.next() {
            Some(package) if with_package => format!("{package}.{kind}"),
            _ => kind.to_owned(),
        }
    }
}

/// What Go's decoder leaves where an item of a list or map is null.
fn empty(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(false),
        Shape::String | Shape::Bytes => Value::String(String::new()),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::String("0".into()),
        Shape::Object(_) => Value::Object(serde_json::Map::new()),
        Shape::Any | Shape::Ref(_) | Shape::Time | Shape::MicroTime | Shape::List(_) | Shape::Map(_) => Value::Null,
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
