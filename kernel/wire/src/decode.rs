//! From a request's body to a tree.

use std::fmt;

use sdk_api::{GroupVersionKind, Status};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::WireError;
use crate::{go_json, protobuf, yaml_in};

/// How deep lists and maps may nest in a document.
///
/// Upstream reads 10,000 levels; a real object has fewer than 60. The bound keeps every recursive walk over a document
/// (checking, patching, dropping) within a small part of a thread's stack.
pub const DEPTH_MAX: usize = 127;

/// How many duplicate keys of one document are reported.
const DUPLICATES_MAX: usize = 100;

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
    Apply,
}

/// What a request's body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Json,
    Yaml,
    Protobuf,
}

const BODIES: &str = "application/json, application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl ContentType {
    /// Reads the `Content-Type` of a body that is an object of a built-in kind; without one it is JSON.
    pub fn of_body(header: Option<&str>) -> Result<Self, Status> {
        match media_type(header).as_deref() {
            Some(PROTOBUF) => Ok(Self::Protobuf),
            _ => Self::of_custom_body(header).map_err(|_| unsupported(&format!("{BODIES}, {PROTOBUF}"))),
        }
    }

    /// Reads the `Content-Type` of a body that is a custom resource, which has no protobuf form.
    pub fn of_custom_body(header: Option<&str>) -> Result<Self, Status> {
        match media_type(header).as_deref() {
            None | Some("application/json") => Ok(Self::Json),
            Some("application/yaml") => Ok(Self::Yaml),
            Some(_) => Err(unsupported(BODIES)),
        }
    }

    /// Reads the `Content-Type` of a patch. `strategic` is false for kinds without merge keys (custom resources).
    pub fn of_patch(header: Option<&str>, strategic: bool) -> Result<(Self, PatchType), Status> {
        match media_type(header).as_deref() {
            Some("application/json-patch+json") => Ok((Self::Json, PatchType::Json)),
            Some("application/merge-patch+json") => Ok((Self::Json, PatchType::Merge)),
            Some("application/strategic-merge-patch+json") if strategic => Ok((Self::Json, PatchType::StrategicMerge)),
            Some("application/apply-patch+yaml") => Ok((Self::Yaml, PatchType::Apply)),
            _ if strategic => Err(unsupported(
                "application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
            _ => Err(unsupported(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

fn unsupported(accepted: &str) -> Status {
    let words = "the body of the request was in an unknown format - accepted media types include";
    Status::unsupported_media_type(format!("{words}: {accepted}"))
}

/// The type without its parameters, in lower case.
fn media_type(header: Option<&str>) -> Option<String> {
    let type_ = header?.split(';').next().unwrap_or_default().trim();
    (!type_.is_empty()).then(|| type_.to_ascii_lowercase())
}

/// A document, and what was wrong with it that need not refuse it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    /// Keys that came twice, of which the last counts, in upstream's words: `duplicate field "spec.replicas"`, and of
    /// YAML `line 5: key "replicas" already set in map`. At most 100.
    pub duplicates: Vec<String>,
}

/// Reads one document; anything after it but white space is an error.
///
/// Integers that fit 64 bits stay integers; larger ones become floating point, as in Go, and are then refused where an
/// integer is wanted. Nesting is bounded by [`DEPTH_MAX`], what YAML aliases add by 400,000 nodes and 10 MiB; the size
/// of `bytes` is for the caller to bound.
pub fn decode(bytes: &[u8], content_type: ContentType) -> Result<Decoded, WireError> {
    match content_type {
        ContentType::Json => decode_json(bytes),
        ContentType::Yaml => yaml_in::read(bytes),
        ContentType::Protobuf => protobuf::decode(bytes, None),
    }
}

/// Reads one object where a kind is expected, which protobuf needs to know if its envelope does not say it.
pub fn decode_object(
    bytes: &[u8],
    content_type: ContentType,
    expected: &GroupVersionKind,
) -> Result<Decoded, WireError> {
    match content_type {
        ContentType::Protobuf => protobuf::decode(bytes, Some(expected)),
        _ => decode(bytes, content_type),
    }
}

fn decode_json(bytes: &[u8]) -> Result<Decoded, WireError> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let tree = Tree { path: &Path::Root, duplicates: &mut duplicates };
    match tree.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(Decoded { value, duplicates }),
        Err(error) if error.to_string().starts_with("recursion limit") => Err(WireError::TooDeep),
        Err(error) => Err(WireError::Json(go_json::complaint(bytes).unwrap_or_else(|| error.to_string()))),
    }
}

/// Where the reader is, for the names of duplicates.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Reads a [`Value`] and notes the keys that come twice.
struct Tree<'a> {
    path: &'a Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = Path::Index(self.path, values.len());
            let item = Tree { path: &path, duplicates: &mut *self.duplicates };
            match items.next_element_seed(item)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(Key(name)) = entries.next_key()? {
            let path = Path::Field(self.path, &name);
            let value = entries.next_value_seed(Tree { path: &path, duplicates: &mut *self.duplicates })?;
            if map.contains_key(&name) {
                note_duplicate(self.duplicates, format!("duplicate field {:?}", path.to_string()));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// A key, which serde_json hands out as a string.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Adds to a document's duplicates, each once and not too many.
pub(crate) fn note_duplicate(duplicates: &mut Vec<String>, words: String) {
    if duplicates.len() < DUPLICATES_MAX && !duplicates.contains(&words) {
        duplicates.push(words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Result<Decoded, WireError> {
        decode(text.as_bytes(), ContentType::Json)
    }

    #[test]
    fn json_is_read_with_duplicates_named() {
        for (text, value, duplicates) in [
            (r#"{"a": 1}"#, json!({"a": 1}), vec![]),
            (r#" [1, -2, 2.5, "x", null, true] "#, json!([1, -2, 2.5, "x", null, true]), vec![]),
            (r#"{"a": 1, "a": 2}"#, json!({"a": 2}), vec![r#"duplicate field "a""#]),
            (
                r#"{"spec": {"c": [{"n": 1}, {"n": 1, "n": 2, "n": 3}], "c": []}}"#,
                json!({"spec": {"c": []}}),
                vec![r#"duplicate field "spec.c[1].n""#, r#"duplicate field "spec.c""#],
            ),
            (r#"{"n": 9007199254740993}"#, json!({"n": 9_007_199_254_740_993_i64}), vec![]),
            (r#"{"n": 18446744073709551615}"#, json!({"n": u64::MAX}), vec![]),
            (
                r#"{"n": 1e3, "m": 36893488147419103232}"#,
                json!({"n": 1e3, "m": 36_893_488_147_419_103_232_f64}),
                vec![],
            ),
        ] {
            let decoded = json(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (decoded.value, decoded.duplicates),
                (value, duplicates.into_iter().map(String::from).collect())
            );
        }
    }

    #[test]
    fn malformed_json_is_refused_in_gos_words() {
        for (text, words) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a": }"#, "invalid character '}' looking for beginning of value"),
            (r#"{"a": 1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("{} {}", "invalid character '{' after top-level value"),
            ("apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        ] {
            assert_eq!(json(text), Err(WireError::Json(words.into())), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(json(&nested(DEPTH_MAX)).is_ok());
        for depth in [DEPTH_MAX + 1, 100_000] {
            assert_eq!(json(&nested(depth)), Err(WireError::TooDeep), "{depth}");
        }
        let status = WireError::TooDeep.status("Pod", b"{\"a\":1}");
        assert_eq!(
            status.message,
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
             exceeded max depth ({\"a\":1})"
        );
    }

    #[test]
    fn content_types_are_told_apart() {
        for (header, want) in [
            (None, Ok(ContentType::Json)),
            (Some("application/json; charset=utf-8"), Ok(ContentType::Json)),
            (Some("Application/YAML"), Ok(ContentType::Yaml)),
            (Some("application/vnd.kubernetes.protobuf"), Ok(ContentType::Protobuf)),
            (Some("text/plain"), Err(415)),
        ] {
            assert_eq!(ContentType::of_body(header).map_err(|status| status.code), want, "{header:?}");
        }
        for (header, want) in [
            (None, Ok(ContentType::Json)),
            (Some("application/yaml"), Ok(ContentType::Yaml)),
            (Some("application/vnd.kubernetes.protobuf"), Err(415)),
        ] {
            assert_eq!(ContentType::of_custom_body(header).map_err(|status| status.code), want, "{header:?}");
        }
        for (header, strategic, want) in [
            ("application/json-patch+json", true, Ok(PatchType::Json)),
            ("application/strategic-merge-patch+json", true, Ok(PatchType::StrategicMerge)),
            ("application/strategic-merge-patch+json", false, Err(415)),
            ("application/apply-patch+yaml", false, Ok(PatchType::Apply)),
            ("application/json", true, Err(415)),
        ] {
            let got = ContentType::of_patch(Some(header), strategic);
            assert_eq!(got.map(|(_, type_)| type_).map_err(|status| status.code), want, "{header} {strategic}");
        }
    }
}
