//! From JSON to the protobuf messages of gnostic, in which client-go asks for OpenAPI.
//!
//! A message is a table; the tables of OpenAPI v2 and v3 stand in files of their own. Numbers are those of gnostic's
//! `OpenAPIv2.proto` and `OpenAPIv3.proto`.

use serde_json::Value;

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Text,
    Flag,
    Integer,
    Double,
    /// Any value, as a message that holds its YAML. JSON is YAML.
    Yaml,
    One(&'static Message),
    /// One field for each item of a list.
    Each(&'static Type),
}

/// What a JSON value becomes.
pub(super) enum Message {
    /// Fields by their JSON names; those that begin with `x-` go to the number at the end (0: none), as pairs of name
    /// and YAML.
    Fields(&'static [(&'static str, u32, Type)], u32),
    /// An object of any keys, as pairs of name and value.
    Pairs(u32, Type),
    /// A list, or a single value in the place of a list.
    Items(u32, Type),
    /// One of several, by the look of it; what has no form is left out.
    Choice(fn(&Value) -> Option<(u32, Type)>),
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

/// The bytes of a message.
pub(super) fn encode(message: &Message, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match (message, value) {
        (Message::Fields(fields, extensions), Value::Object(entries)) => {
            for (name, value) in entries {
                match fields.iter().find(|(known, _, _)| known == name) {
                    Some((_, number, type_)) => field(&mut out, *number, *type_, value),
                    None if name.starts_with("x-") && *extensions != 0 => {
                        pair(&mut out, *extensions, name, Type::Yaml, value)
                    }
                    None => {}
                }
            }
        }
        (Message::Pairs(number, type_), Value::Object(entries)) => {
            for (name, value) in entries {
                pair(&mut out, *number, name, *type_, value);
            }
        }
        (Message::Items(number, type_), Value::Array(items)) => {
            items.iter().for_each(|item| field(&mut out, *number, *type_, item));
        }
        (Message::Items(number, type_), single) => field(&mut out, *number, *type_, single),
        (Message::Choice(choose), value) => {
            if let Some((number, type_)) = choose(value) {
                field(&mut out, number, type_, value);
            }
        }
        _ => {}
    }
    out
}

/// Adds a field. A value of another type than the field's is left out.
pub(super) fn field(out: &mut Vec<u8>, number: u32, type_: Type, value: &Value) {
    match (type_, value) {
        (Type::Text, Value::String(text)) => bytes(out, number, text.as_bytes()),
        (Type::Flag, Value::Bool(flag)) => {
            varint(out, u64::from(number << 3 | VARINT));
            out.push(u8::from(*flag));
        }
        (Type::Integer, Value::Number(count)) => {
            if let Some(count) = count.as_i64() {
                varint(out, u64::from(number << 3 | VARINT));
                // Negative numbers take ten bytes, as two's complement.
                varint(out, count.cast_unsigned());
            }
        }
        (Type::Double, Value::Number(count)) => {
            if let Some(count) = count.as_f64() {
                varint(out, u64::from(number << 3 | FIXED64));
                out.extend(count.to_le_bytes());
            }
        }
        (Type::Yaml, value) => {
            const YAML: u32 = 2;
            let mut any = Vec::new();
            bytes(&mut any, YAML, format!("{value}\n").as_bytes());
            bytes(out, number, &any);
        }
        (Type::One(message), value) => bytes(out, number, &encode(message, value)),
        (Type::Each(type_), Value::Array(items)) => items.iter().for_each(|item| field(out, number, *type_, item)),
        _ => {}
    }
}

/// Adds a pair of name and value, the form of an entry of a map.
pub(super) fn pair(out: &mut Vec<u8>, number: u32, name: &str, type_: Type, value: &Value) {
    let mut inner = Vec::new();
    bytes(&mut inner, 1, name.as_bytes());
    field(&mut inner, 2, type_, value);
    bytes(out, number, &inner);
}

/// Adds what is encoded already.
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | LENGTH_DELIMITED));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static INNER: Message = Message::Fields(&[("a", 1, Type::Text)], 9);

    #[test]
    fn values_become_bytes() {
        static FIELDS: Message = Message::Fields(
            &[
                ("text", 1, Type::Text),
                ("flag", 2, Type::Flag),
                ("count", 3, Type::Integer),
                ("half", 4, Type::Double),
                ("any", 5, Type::Yaml),
                ("one", 6, Type::One(&INNER)),
                ("many", 16, Type::Each(&Type::Text)),
            ],
            20,
        );
        static PAIRS: Message = Message::Pairs(2, Type::Text);
        static ITEMS: Message = Message::Items(1, Type::Text);
        static CHOICE: Message = Message::Choice(|value| match value {
            Value::Bool(_) => Some((2, Type::Flag)),
            Value::Object(_) => Some((1, Type::One(&INNER))),
            _ => None,
        });
        let bytes = |parts: &[&[u8]]| parts.concat();
        for (case, message, value, want) in [
            ("text", &FIELDS, json!({"text": "ab"}), bytes(&[&[0x0a, 2], b"ab"])),
            ("flag", &FIELDS, json!({"flag": true}), vec![0x10, 1]),
            ("integer", &FIELDS, json!({"count": 300}), vec![0x18, 0xac, 0x02]),
            ("negative", &FIELDS, json!({"count": -1}), bytes(&[&[0x18], &[0xff; 9], &[1]])),
            ("double", &FIELDS, json!({"half": 0.5}), vec![0x21, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]),
            ("yaml", &FIELDS, json!({"any": [1]}), bytes(&[&[0x2a, 6, 0x12, 4], b"[1]\n"])),
            ("message", &FIELDS, json!({"one": {"a": "b"}}), vec![0x32, 3, 0x0a, 1, b'b']),
            ("a number above 15", &FIELDS, json!({"many": ["b"]}), vec![0x82, 0x01, 1, b'b']),
            (
                "extension",
                &FIELDS,
                json!({"x-k": 1}),
                bytes(&[&[0xa2, 0x01, 11, 0x0a, 3], b"x-k", &[0x12, 4, 0x12, 2], b"1\n"]),
            ),
            ("unknown field", &FIELDS, json!({"other": 1}), vec![]),
            ("wrong type", &FIELDS, json!({"text": 1}), vec![]),
            ("pairs", &PAIRS, json!({"k": "v"}), bytes(&[&[0x12, 6, 0x0a, 1], b"k", &[0x12, 1], b"v"])),
            ("list", &ITEMS, json!(["a", "b"]), vec![0x0a, 1, b'a', 0x0a, 1, b'b']),
            ("a list of one", &ITEMS, json!("a"), vec![0x0a, 1, b'a']),
            ("one of two", &CHOICE, json!(false), vec![0x10, 0]),
            ("the other", &CHOICE, json!({}), vec![0x0a, 0]),
            ("neither", &CHOICE, json!(1), vec![]),
        ] {
            assert_eq!(encode(message, &value), want, "{case}");
        }
    }
}
