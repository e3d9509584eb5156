//! From protobuf to the tree that the object's JSON has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk_api::time::{rfc3339, rfc3339_micro};
use sdk_api::{GroupVersion, GroupVersionKind, Timestamp};
use sdk_schema::protobuf::{Field, Message, Messages, Wire};
use serde_json::{Map, Number, Value, json};

use super::reader::{Payload, Reader, error};
use super::{GO_ZERO_SECOND, MAGIC};
use crate::decode::{ContentType, DEPTH_MAX, Decoded};
use crate::error::WireError;

/// Reads one object with its envelope.
///
/// `apiVersion` and `kind` are the envelope's, or else those of `expected`, as upstream fills them in. Of a kind that
/// has no message nothing else is read: the caller refuses it by its name. Unknown fields are passed over. Zero values
/// that mean nothing (Go writes every field that is no pointer) are left out, as upstream's JSON leaves them out.
/// Nesting is bounded by [`DEPTH_MAX`], the size of `bytes` is for the caller to bound.
pub fn decode(bytes: &[u8], expected: Option<&GroupVersionKind>) -> Result<Decoded, WireError> {
    envelope(bytes, expected, DEPTH_MAX).map(|value| Decoded { value, duplicates: Vec::new() })
}

fn envelope(bytes: &[u8], expected: Option<&GroupVersionKind>, depth: usize) -> Result<Value, WireError> {
    if bytes.is_empty() {
        return Err(error("empty data"));
    }
    let content = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        error(format!("provided data does not appear to be a protobuf message, expected prefix {}", go_bytes(MAGIC)))
    })?;
    if content.is_empty() {
        return Err(error("empty body"));
    }
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    let mut unknown = Reader::new(content);
    while let Some((number, payload)) = unknown.field()? {
        match number {
            1 => {
                let mut type_meta = Reader::new(bytes_of(payload, "TypeMeta")?);
                while let Some((number, payload)) = type_meta.field()? {
                    match number {
                        1 => api_version = text(payload, "APIVersion")?,
                        2 => kind = text(payload, "Kind")?,
                        _ => {}
                    }
                }
            }
            2 => raw = bytes_of(payload, "Raw")?,
            _ => {}
        }
    }
    if api_version.is_empty()
        && let Some(expected) = expected
    {
        api_version = expected.group_version().to_string();
    }
    if kind.is_empty()
        && let Some(expected) = expected
    {
        kind = expected.kind.to_string();
    }
    for (field, text) in [("Kind", &kind), ("apiVersion", &api_version)] {
        if text.is_empty() {
            let type_meta = format!("runtime.TypeMeta{{APIVersion:{api_version:?}, Kind:{kind:?}}}");
            return Err(error(format!("Object '{field}' is missing in '{type_meta}'")));
        }
    }
    let GroupVersion { group, version } = GroupVersion::parse(&api_version);
    let gvk = GroupVersionKind::new(group, version, &kind);
    let mut object = Map::new();
    if let Some(message) = Messages::builtin().kind(&gvk) {
        fields(message, raw, &mut object, depth).map_err(|error| error.of_kind(&gvk))?;
    }
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

fn fields(message: &Message, bytes: &[u8], into: &mut Map<String, Value>, depth: usize) -> Result<(), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        let Ok(found) = message.fields.binary_search_by_key(&number, |field| field.number) else { continue };
        field(&message.fields[found], payload, into, depth)?;
    }
    Ok(())
}

fn field(field: &Field, payload: Payload<'_>, into: &mut Map<String, Value>, depth: usize) -> Result<(), WireError> {
    let name = field.name;
    match &field.wire {
        Wire::Inline(id) => fields(Messages::builtin().get(*id), bytes_of(payload, name)?, into, depth)?,
        Wire::Message(id) => {
            let bytes = bytes_of(payload, name)?;
            let place = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(place) = place {
                fields(Messages::builtin().get(*id), bytes, place, depth)?;
            }
        }
        Wire::List(items) => {
            let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
            let place = into.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(place) = place {
                item(items, name, payload, place, depth)?;
            }
        }
        Wire::Map(values) => {
            let (key, value) = entry(values, name, payload, depth)?;
            let place = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(place) = place {
                place.insert(key, value);
            }
        }
        wire => {
            let value = value(wire, name, payload, depth)?;
            if value.is_null() || (!field.keeps_zero && is_zero(wire, &value)) {
                // A later occurrence of a field replaces an earlier one, be it with nothing.
                into.remove(name);
            } else {
                into.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Adds to a list: one item, or several numbers packed into one field.
fn item(wire: &Wire, name: &str, payload: Payload<'_>, into: &mut Vec<Value>, depth: usize) -> Result<(), WireError> {
    if let (Wire::Bool | Wire::Int32 | Wire::Int64, Payload::Bytes(packed)) = (wire, payload) {
        let mut numbers = Reader::new(packed);
        while !numbers.is_empty() {
            into.push(value(wire, name, Payload::Varint(numbers.varint()?), depth)?);
        }
    } else {
        into.push(value(wire, name, payload, depth)?);
    }
    Ok(())
}

/// One entry of a map: `{1: key, 2: value}`, of which either may be left out if it is empty.
fn entry(wire: &Wire, name: &str, payload: Payload<'_>, depth: usize) -> Result<(String, Value), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
    let empty = match wire {
        Wire::Bool | Wire::Int32 | Wire::Int64 => Payload::Varint(0),
        Wire::Double => Payload::Fixed64(0),
        _ => Payload::Bytes(b""),
    };
    let (mut key, mut content) = (String::new(), empty);
    let mut reader = Reader::new(bytes_of(payload, name)?);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => key = text(payload, name)?,
            2 => content = payload,
            _ => {}
        }
    }
    Ok((key, value(wire, name, content, depth)?))
}

/// One value; null where Go's JSON has null.
fn value(wire: &Wire, name: &str, payload: Payload<'_>, depth: usize) -> Result<Value, WireError> {
    Ok(match wire {
        Wire::Bool => Value::Bool(varint(payload, name)? != 0),
        #[expect(clippy::cast_possible_truncation, reason = "Go cuts off what does not fit, too")]
        Wire::Int32 => (varint(payload, name)? as i32).into(),
        Wire::Int64 => varint(payload, name)?.cast_signed().into(),
        Wire::Double => match payload {
            Payload::Fixed64(bits) => Number::from_f64(f64::from_bits(bits))
                .map(Value::Number)
                .ok_or_else(|| error(format!("field {name} is no number that JSON has")))?,
            other => return Err(wrong_type(other, name)),
        },
        Wire::String => text(payload, name)?.into(),
        Wire::Bytes => STANDARD.encode(bytes_of(payload, name)?).into(),
        Wire::Time | Wire::MicroTime => time(wire, bytes_of(payload, name)?)?,
        Wire::Quantity => match first(bytes_of(payload, name)?)? {
            Some(payload) => text(payload, name)?.into(),
            None => "0".into(),
        },
        Wire::IntOrString => int_or_string(bytes_of(payload, name)?)?,
        Wire::Raw => raw(bytes_of(payload, name)?, depth)?,
        Wire::Message(id) | Wire::Inline(id) => {
            let mut object = Map::new();
            fields(Messages::builtin().get(*id), bytes_of(payload, name)?, &mut object, depth)?;
            Value::Object(object)
        }
        Wire::List(_) | Wire::Map(_) => return Err(error(format!("field {name} has no place for another list"))),
        Wire::Wrapped(list) => {
            let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
            let mut items = Vec::new();
            let mut reader = Reader::new(bytes_of(payload, name)?);
            while let Some((number, payload)) = reader.field()? {
                match &**list {
                    Wire::List(wire) if number == 1 => item(wire, name, payload, &mut items, depth)?,
                    _ => {}
                }
            }
            Value::Array(items)
        }
        Wire::SchemaOrArray(id) | Wire::SchemaOrBool(id) | Wire::SchemaOrStrings(id) => {
            one_or_other(wire, &Wire::Message(*id), bytes_of(payload, name)?, depth)?
        }
    })
}

/// The forms of a schema's keywords that may be a schema or something simpler.
fn one_or_other(wire: &Wire, message: &Wire, bytes: &[u8], depth: usize) -> Result<Value, WireError> {
    let (mut allowed, mut schema, mut list) = (false, None, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match (wire, number) {
            (Wire::SchemaOrBool(_), 1) => allowed = varint(payload, "Allows")? != 0,
            (Wire::SchemaOrBool(_), 2) | (_, 1) => schema = Some(value(message, "Schema", payload, depth)?),
            (Wire::SchemaOrArray(_), 2) => list.push(value(message, "JSONSchemas", payload, depth)?),
            (Wire::SchemaOrStrings(_), 2) => list.push(text(payload, "Property")?.into()),
            _ => {}
        }
    }
    Ok(match (wire, schema) {
        (Wire::SchemaOrBool(_), None) => Value::Bool(allowed),
        _ if !list.is_empty() => Value::Array(list),
        (_, schema) => schema.unwrap_or(Value::Null),
    })
}

/// Field 1 of a message that has but one; the last counts.
fn first(bytes: &[u8]) -> Result<Option<Payload<'_>>, WireError> {
    let mut found = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        if number == 1 {
            found = Some(payload);
        }
    }
    Ok(found)
}

/// 0000-01-01T00:00:00Z, before which RFC 3339 has no years.
const YEAR_ZERO_SECOND: i64 = -62_167_219_200;

/// Upstream ignores the fraction of a second in a `Time`, which its JSON does not have.
fn time(wire: &Wire, bytes: &[u8]) -> Result<Value, WireError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => seconds = varint(payload, "Seconds")?.cast_signed(),
            #[expect(clippy::cast_possible_truncation, reason = "Go cuts off what does not fit, too")]
            2 => nanos = varint(payload, "Nanos")? as i32,
            _ => {}
        }
    }
    if (seconds == 0 && nanos == 0) || seconds == GO_ZERO_SECOND {
        return Ok(Value::Null);
    }
    if seconds < YEAR_ZERO_SECOND {
        return Err(error(format!("time out of range: {seconds} seconds")));
    }
    let is_micro = matches!(wire, Wire::MicroTime);
    let time = Timestamp::new(seconds, if is_micro { nanos } else { 0 })
        .map_err(|_| error(format!("time out of range: {seconds} seconds")))?;
    Ok(if is_micro { rfc3339_micro(time) } else { rfc3339(time) }.into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, WireError> {
    let (mut type_, mut number, mut string) = (0, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((field, payload)) = reader.field()? {
        match field {
            1 => type_ = varint(payload, "Type")?,
            #[expect(clippy::cast_possible_truncation, reason = "Go cuts off what does not fit, too")]
            2 => number = varint(payload, "IntVal")? as i32,
            3 => string = text(payload, "StrVal")?,
            _ => {}
        }
    }
    match type_ {
        0 => Ok(number.into()),
        1 => Ok(string.into()),
        _ => Err(error("impossible IntOrString.Type")),
    }
}

/// A document inside the document: JSON, or again an object with its envelope.
fn raw(bytes: &[u8], depth: usize) -> Result<Value, WireError> {
    let Some(payload) = first(bytes)? else { return Ok(Value::Null) };
    let content = bytes_of(payload, "Raw")?;
    if content.is_empty() {
        return Ok(Value::Null);
    }
    if content.starts_with(MAGIC) {
        return envelope(content, None, depth);
    }
    let value = crate::decode(content, ContentType::Json)?.value;
    if fits(&value, depth) { Ok(value) } else { Err(WireError::TooDeep) }
}

fn fits(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| fits(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| fits(field, depth - 1)),
        _ => true,
    }
}

/// Whether Go's `omitempty` leaves a value out. It keeps structs, which a quantity is; of an IntOrString, also a struct,
/// zero and nothing are the same to every reader.
fn is_zero(wire: &Wire, value: &Value) -> bool {
    match wire {
        Wire::Bool => *value == json!(false),
        Wire::Int32 | Wire::Int64 | Wire::IntOrString => *value == json!(0),
        Wire::Double => *value == json!(0.0),
        Wire::String | Wire::Bytes => *value == json!(""),
        _ => false,
    }
}

fn varint(payload: Payload<'_>, name: &str) -> Result<u64, WireError> {
    match payload {
        Payload::Varint(number) => Ok(number),
        other => Err(wrong_type(other, name)),
    }
}

fn bytes_of<'a>(payload: Payload<'a>, name: &str) -> Result<&'a [u8], WireError> {
    match payload {
        Payload::Bytes(bytes) => Ok(bytes),
        other => Err(wrong_type(other, name)),
    }
}

fn text(payload: Payload<'_>, name: &str) -> Result<String, WireError> {
    let bytes = bytes_of(payload, name)?;
    let text = std::str::from_utf8(bytes).map_err(|_| error(format!("field {name} is not valid UTF-8")))?;
    Ok(text.to_owned())
}

/// Go names the field as its struct does.
fn wrong_type(payload: Payload<'_>, name: &str) -> WireError {
    let mut chars = name.chars();
    let name = chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default();
    error(format!("proto: wrong wireType = {} for field {name}", payload.wire_type()))
}

fn go_bytes(bytes: &[u8]) -> String {
    format!("[{}]", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" "))
}
