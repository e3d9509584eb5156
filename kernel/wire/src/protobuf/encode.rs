//! From an object's JSON to protobuf: one object, lists, events of a watch.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use sdk_api::{GroupVersion, GroupVersionKind, Timestamp};
use sdk_schema::protobuf::{Message, Messages, Wire};
use serde_json::{Map, Value, json};

use super::reader::error;
use super::{GO_ZERO_SECOND, MAGIC};
use crate::error::WireError;
use crate::write::ListHead;

/// One object with its envelope; its kind is what its `apiVersion` and `kind` say.
///
/// An error means that the kind has no message, or that the object is not what its schema says.
pub fn encode(object: &Value) -> Result<Bytes, WireError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = message(api_version, kind)?;
    let fields_of = object.as_object().ok_or_else(|| error("an object is a JSON object"))?;
    enveloped(api_version, kind, |out| fields(message, fields_of, out))
}

/// A list of objects whose JSON is at hand; of each there is but one tree at a time.
pub fn encode_list<'a, I>(head: &ListHead<'_>, items: I) -> Result<Bytes, WireError>
where
    I: IntoIterator<Item = &'a Bytes>,
{
    let list = message(head.api_version, head.kind)?;
    let field = list.fields.iter().find(|field| field.name == "items");
    let (number, item) = match field.map(|field| (field.number, &field.wire)) {
        Some((number, Wire::List(item))) => match **item {
            Wire::Message(item) => (number, Messages::builtin().get(item)),
            _ => return Err(error(format!("{} is no list of objects", head.kind))),
        },
        _ => return Err(error(format!("{} is no list", head.kind))),
    };
    enveloped(head.api_version, head.kind, |out| {
        let metadata = json!({
            "resourceVersion": head.resource_version, "continue": head.continue_token,
            "remainingItemCount": head.remaining,
        });
        fields(list, &Map::from_iter([("metadata".to_owned(), metadata)]), out)?;
        for json in items {
            let object: Map<String, Value> =
                serde_json::from_slice(json).map_err(|source| error(source.to_string()))?;
            nested(number, out, |out| fields(item, &object, out))?;
        }
        Ok(())
    })
}

/// One event of a watch, of an object that [`encode`] wrote.
///
/// The stream is cut into frames: four bytes of length, the most significant first, and a `WatchEvent`
/// `{1: type, 2: {1: object}}`, which has no envelope of its own while the object has.
pub fn watch_frame(event: &str, object: &[u8]) -> Bytes {
    let mut extension = Vec::with_capacity(object.len() + 8);
    bytes(1, object, &mut extension);
    let mut message = Vec::with_capacity(extension.len() + event.len() + 16);
    bytes(1, event.as_bytes(), &mut message);
    bytes(2, &extension, &mut message);
    let mut out = BytesMut::with_capacity(message.len() + 4);
    out.put_u32(u32::try_from(message.len()).expect("an object is smaller than 4 GiB"));
    out.put_slice(&message);
    out.freeze()
}

fn message(api_version: &str, kind: &str) -> Result<&'static Message, WireError> {
    let GroupVersion { group, version } = GroupVersion::parse(api_version);
    Messages::builtin()
        .kind(&GroupVersionKind::new(group, version, kind))
        .ok_or_else(|| error(format!("kind {kind:?} of {api_version:?} has no protobuf form")))
}

fn enveloped(
    api_version: &str,
    kind: &str,
    object: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<Bytes, WireError> {
    let mut out = MAGIC.to_vec();
    nested(1, &mut out, |out| {
        bytes(1, api_version.as_bytes(), out);
        bytes(2, kind.as_bytes(), out);
        Ok(())
    })?;
    nested(2, &mut out, object)?;
    // Neither an encoding nor another content type.
    bytes(3, b"", &mut out);
    bytes(4, b"", &mut out);
    Ok(out.into())
}

fn fields(message: &Message, object: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), WireError> {
    for field in &message.fields {
        if let Wire::Inline(id) = field.wire {
            nested(field.number, out, |out| fields(Messages::builtin().get(id), object, out))?;
        } else if let Some(value) = object.get(field.name).filter(|value| !value.is_null()) {
            write(&field.wire, field.number, field.name, value, out)?;
        }
    }
    Ok(())
}

fn write(wire: &Wire, number: u32, name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), WireError> {
    let unfit = || error(format!("field {name} holds {value}, which is no {wire:?}"));
    let text = || value.as_str().ok_or_else(unfit);
    match wire {
        Wire::Bool => varint(number, u64::from(value.as_bool().ok_or_else(unfit)?), out),
        Wire::Int32 | Wire::Int64 => varint(number, integer(value).ok_or_else(unfit)?.cast_unsigned(), out),
        Wire::Double => {
            tag(number, 1, out);
            out.put_u64_le(value.as_f64().ok_or_else(unfit)?.to_bits());
        }
        Wire::String => bytes(number, text()?.as_bytes(), out),
        Wire::Bytes => bytes(number, &STANDARD.decode(text()?).map_err(|_| unfit())?, out),
        Wire::Time | Wire::MicroTime => {
            let time: Timestamp = text()?.parse().map_err(|_| unfit())?;
            nested(number, out, |out| {
                // Go's zero is the first second of the year 1, and has no fields.
                if time.as_second() != GO_ZERO_SECOND {
                    let nanos = i64::from(time.subsec_nanosecond());
                    let nanos = if *wire == Wire::MicroTime { nanos } else { 0 };
                    varint(1, time.as_second().cast_unsigned(), out);
                    varint(2, nanos.cast_unsigned(), out);
                }
                Ok(())
            })?;
        }
        Wire::Quantity => nested(number, out, |out| {
            match value {
                Value::Number(amount) => bytes(1, amount.to_string().as_bytes(), out),
                _ => bytes(1, text()?.as_bytes(), out),
            }
            Ok(())
        })?,
        Wire::IntOrString => nested(number, out, |out| {
            let (type_, amount, string) = match value {
                Value::String(text) => (1, 0, &**text),
                _ => (0, integer(value).ok_or_else(unfit)?, ""),
            };
            varint(1, type_, out);
            varint(2, amount.cast_unsigned(), out);
            bytes(3, string.as_bytes(), out);
            Ok(())
        })?,
        Wire::Raw => nested(number, out, |out| {
            bytes(1, value.to_string().as_bytes(), out);
            Ok(())
        })?,
        Wire::Message(id) | Wire::Inline(id) => {
            let object = value.as_object().ok_or_else(unfit)?;
            nested(number, out, |out| fields(Messages::builtin().get(*id), object, out))?;
        }
        Wire::List(item) => {
            for value in value.as_array().ok_or_else(unfit)? {
                // A missing item is a zero one, as Go reads it.
                let value = if value.is_null() { &zero(item) } else { value };
                write(item, number, name, value, out)?;
            }
        }
        Wire::Map(values) => {
            for (key, value) in value.as_object().ok_or_else(unfit)? {
                nested(number, out, |out| {
                    bytes(1, key.as_bytes(), out);
                    let value = if value.is_null() { &zero(values) } else { value };
                    write(values, 2, name, value, out)
                })?;
            }
        }
        Wire::Wrapped(list) => nested(number, out, |out| write(list, 1, name, value, out))?,
        Wire::SchemaOrArray(id) | Wire::SchemaOrBool(id) | Wire::SchemaOrStrings(id) => nested(number, out, |out| {
            let schema = Wire::Message(*id);
            match (wire, value) {
                (Wire::SchemaOrBool(_), Value::Bool(allowed)) => varint(1, u64::from(*allowed), out),
                (Wire::SchemaOrBool(_), _) => {
                    varint(1, 1, out);
                    write(&schema, 2, name, value, out)?;
                }
                (Wire::SchemaOrArray(_), Value::Array(_)) => {
                    write(&Wire::List(Box::new(schema)), 2, name, value, out)?;
                }
                (Wire::SchemaOrStrings(_), Value::Array(_)) => {
                    write(&Wire::List(Box::new(Wire::String)), 2, name, value, out)?;
                }
                _ => write(&schema, 1, name, value, out)?,
            }
            Ok(())
        })?,
    }
    Ok(())
}

fn zero(wire: &Wire) -> Value {
    match wire {
        Wire::Bool => false.into(),
        Wire::Int32 | Wire::Int64 | Wire::Double | Wire::IntOrString => 0.into(),
        Wire::Time | Wire::MicroTime => "0001-01-01T00:00:00Z".into(),
        Wire::Quantity => "0".into(),
        Wire::String | Wire::Bytes => "".into(),
        Wire::Raw => Value::Null,
        Wire::List(_) | Wire::Wrapped(_) => Value::Array(Vec::new()),
        _ => Value::Object(Map::new()),
    }
}

/// Whole numbers, however JSON wrote them.
fn integer(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within what a double holds exactly")]
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

fn tag(number: u32, wire_type: u8, out: &mut Vec<u8>) {
    number_of(u64::from(number) << 3 | u64::from(wire_type), out);
}

fn number_of(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    number_of(value, out);
}

fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    number_of(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A message inside: written first, its length put before it then, since most are short and moving them is cheap.
fn nested(
    number: u32,
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    tag(number, 2, out);
    let start = out.len();
    content(out)?;
    let mut length = Vec::with_capacity(5);
    number_of((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
    Ok(())
}
