//! YAML to a tree, with the scalars of YAML 1.1 as `sigs.k8s.io/yaml` reads them: `yes` is a boolean, `0644` is octal.
//!
//! Built on the events of granit-parser (the parser inside serde-saphyr): its typed layer reads YAML 1.2 and says
//! neither where duplicate keys stand nor which scalars were plain.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::decode::{DEPTH_MAX, Decoded, note_duplicate};
use crate::error::WireError;

/// How many nodes, and how many bytes of text, the aliases of a document may add (a "billion laughs" stops here).
const ALIAS_NODES_MAX: usize = 400_000;
const ALIAS_BYTES_MAX: usize = 10 << 20;

/// Reads one document.
pub(crate) fn read(bytes: &[u8]) -> Result<Decoded, WireError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| WireError::Yaml(format!("yaml: invalid UTF-8 at byte {}", error.valid_up_to())))?;
    let mut composer = Composer::default();
    let mut documents = 0;
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| scan_error(&error))?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(WireError::Yaml(format!("yaml: line {line}: more than one document")));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref()).map_err(|words| at(line, &words))?;
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                composer.remember(anchor, &value);
                composer.add(value, merge, line)?;
            }
            Event::SequenceStart(_, anchor, _) => composer.open(Items::List(Vec::new()), anchor)?,
            Event::MappingStart(_, anchor, _) => {
                composer.open(Items::Map { entries: Map::new(), merged: Vec::new(), key: None }, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => composer.close(line)?,
            Event::Alias(anchor) => {
                let value = composer.recall(anchor, line)?;
                composer.add(value, false, line)?;
            }
            _ => {}
        }
    }
    Ok(Decoded { value: composer.root.unwrap_or(Value::Null), duplicates: composer.duplicates })
}

fn at(line: usize, words: &str) -> WireError {
    WireError::Yaml(format!("yaml: line {line}: {words}"))
}

fn scan_error(error: &ScanError) -> WireError {
    at(error.marker().line(), &error.info())
}

/// A list or mapping that is being read.
enum Items {
    List(Vec<Value>),
    Map {
        entries: Map<String, Value>,
        /// What `<<` brought, which explicit keys override.
        merged: Vec<Value>,
        key: Option<Key>,
    },
}

enum Key {
    Name(String),
    Merge,
}

#[derive(Default)]
struct Composer {
    open: Vec<(Items, usize)>,
    anchors: HashMap<usize, Value>,
    alias_nodes: usize,
    alias_bytes: usize,
    root: Option<Value>,
    duplicates: Vec<String>,
}

impl Composer {
    fn open(&mut self, items: Items, anchor: usize) -> Result<(), WireError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(WireError::TooDeep);
        }
        self.open.push((items, anchor));
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<(), WireError> {
        let Some((items, anchor)) = self.open.pop() else { return Ok(()) };
        let value = match items {
            Items::List(values) => Value::Array(values),
            Items::Map { mut entries, merged, .. } => {
                for source in merged {
                    merge(&mut entries, source).map_err(|words| at(line, words))?;
                }
                Value::Object(entries)
            }
        };
        self.remember(anchor, &value);
        self.add(value, false, line)
    }

    /// Puts a finished node where it belongs: `is_merge` tells a plain `<<`.
    fn add(&mut self, value: Value, is_merge: bool, line: usize) -> Result<(), WireError> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some((Items::List(values), _)) => values.push(value),
            Some((Items::Map { entries, merged, key }, _)) => match key.take() {
                None if is_merge => *key = Some(Key::Merge),
                None => *key = Some(Key::Name(key_text(value).map_err(|words| at(line, &words))?)),
                Some(Key::Merge) => merged.push(value),
                Some(Key::Name(name)) => {
                    if entries.contains_key(&name) {
                        note_duplicate(&mut self.duplicates, format!("line {line}: key {name:?} already set in map"));
                    }
                    entries.insert(name, value);
                }
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, value: &Value) {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
    }

    fn recall(&mut self, anchor: usize, line: usize) -> Result<Value, WireError> {
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(at(line, "anchor value contains itself"));
        };
        let (nodes, bytes, depth) = weigh(value);
        self.alias_nodes += nodes;
        self.alias_bytes += bytes;
        if self.alias_nodes > ALIAS_NODES_MAX || self.alias_bytes > ALIAS_BYTES_MAX {
            return Err(WireError::Yaml("yaml: document contains excessive aliasing".into()));
        }
        if self.open.len() + depth > DEPTH_MAX {
            return Err(WireError::TooDeep);
        }
        Ok(value.clone())
    }
}

/// Nodes, bytes of text and depth of a tree.
fn weigh(value: &Value) -> (usize, usize, usize) {
    let inside = |all: &mut dyn Iterator<Item = &Value>| {
        all.map(weigh).fold((1, 0, 0), |(n, b, d), (nodes, bytes, depth)| (n + nodes, b + bytes, d.max(depth)))
    };
    match value {
        Value::String(text) => (1, text.len(), 0),
        Value::Array(items) => {
            let (nodes, bytes, depth) = inside(&mut items.iter());
            (nodes, bytes, depth + 1)
        }
        Value::Object(fields) => {
            let (nodes, bytes, depth) = inside(&mut fields.values());
            (nodes, bytes + fields.keys().map(String::len).sum::<usize>(), depth + 1)
        }
        _ => (1, 0, 0),
    }
}

/// Brings in what a `<<` names: a mapping, or a list of them, of which the first counts most.
fn merge(entries: &mut Map<String, Value>, source: Value) -> Result<(), &'static str> {
    const WRONG: &str = "map merge requires map or sequence of maps as the value";
    match source {
        Value::Object(fields) => {
            for (name, value) in fields {
                entries.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(sources) if sources.iter().all(Value::is_object) => {
            sources.into_iter().try_for_each(|source| merge(entries, source))
        }
        _ => Err(WRONG),
    }
}

/// JSON keys are strings; scalars of other types are written as such.
fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err("unsupported map key".into()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let tag = tag.map(|tag| (tag.suffix_in_namespace("tag:yaml.org,2002:"), tag.suffix()));
    match tag {
        Some((Some(core), _)) => match &*core {
            "str" | "timestamp" => Ok(Value::String(text.to_owned())),
            "binary" => {
                let plain: String = text.split_whitespace().collect();
                let bytes = STANDARD.decode(plain).map_err(|_| "!!binary value contains invalid base64 data")?;
                String::from_utf8(bytes).map(Value::String).map_err(|_| "!!binary value is not UTF-8".into())
            }
            wanted => {
                let value = resolve(text)?;
                let fits = match &value {
                    Value::Null => wanted == "null",
                    Value::Bool(_) => wanted == "bool",
                    Value::Number(_) => matches!(wanted, "int" | "float"),
                    _ => false,
                };
                if fits { Ok(value) } else { Err(format!("cannot decode !!str `{text}` as a !!{wanted}")) }
            }
        },
        // The non-specific tag `!` keeps a plain scalar a string; tags of one's own say nothing to us.
        Some((None, "")) => Ok(Value::String(text.to_owned())),
        _ if style == ScalarStyle::Plain => resolve(text),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// The value of a plain scalar. Source: `gopkg.in/yaml.v2/resolve.go`.
pub(crate) fn resolve(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err("json: unsupported value: NaN".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Err("json: unsupported value: +Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Err("json: unsupported value: -Inf".into()),
        _ if !matches!(text.as_bytes()[0], b'0'..=b'9' | b'+' | b'-' | b'.') => Value::String(text.to_owned()),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return Some(integer);
    }
    if !is_float(&plain) {
        return None;
    }
    let float: f64 = plain.parse().ok()?;
    // Go writes a whole float without a fraction, so that it is read back as an integer.
    #[expect(clippy::cast_possible_truncation, reason = "the bound is far inside i64, and the float is whole")]
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

/// Go's `ParseInt` with base 0: decimal, `0x`, `0o` or a leading zero for octal, `0b`.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(magnitude)) {
        (false, _) => Some(Number::from(magnitude)),
        (true, Ok(magnitude)) => Some(Number::from(-magnitude)),
        (true, Err(_)) => (magnitude == 1 << 63).then(|| Number::from(i64::MIN)),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).value
    }

    #[test]
    fn plain_scalars_are_those_of_yaml_1_1() {
        for (text, want) in [
            ("yes", json!(true)),
            ("n", json!(false)),
            ("Off", json!(false)),
            ("'yes'", json!("yes")),
            ("\"1\"", json!("1")),
            ("~", json!(null)),
            ("0644", json!(0o644)),
            ("0o644", json!(0o644)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("-12", json!(-12)),
            ("+7", json!(7)),
            ("08", json!(8)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.0", json!(1)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.2.3", json!("1.2.3")),
            ("100m", json!("100m")),
            ("--1", json!("--1")),
            ("2026-01-02", json!("2026-01-02")),
            ("2026-01-02T03:04:05Z", json!("2026-01-02T03:04:05Z")),
            ("12:30:45", json!("12:30:45")),
            ("0xzz", json!("0xzz")),
            ("!!str 5", json!("5")),
            ("!!int '5'", json!(5)),
            ("!!binary aGk=", json!("hi")),
            ("", json!(null)),
        ] {
            assert_eq!(value(text), want, "{text}");
        }
    }

    #[test]
    fn documents_are_composed() {
        for (text, want) in [
            ("a: 1\nb:\n- x\n- c: z\n", json!({"a": 1, "b": ["x", {"c": "z"}]})),
            ("{a: [1, 2], 3: x, y: z}", json!({"a": [1, 2], "3": "x", "true": "z"})),
            ("a: |\n  one\n  two\nb: >-\n  one\n  two\n", json!({"a": "one\ntwo\n", "b": "one two"})),
            ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("base: &x {a: 1, b: 2}\nc:\n  <<: *x\n  b: 3\n", json!({"base": {"a": 1, "b": 2}, "c": {"a": 1, "b": 3}})),
            ("# only a remark\n---\na: 1\n...\n", json!({"a": 1})),
        ] {
            assert_eq!(value(text), want, "{text}");
        }
    }

    #[test]
    fn duplicates_are_named_by_line() {
        let decoded = read(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n").unwrap();
        assert_eq!(decoded.value, json!({"a": 3, "b": {"c": 2}}));
        assert_eq!(
            decoded.duplicates,
            ["line 4: key \"c\" already set in map", "line 5: key \"a\" already set in map"]
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (case, text, words) in [
            ("tabs", "a:\n\t- b\n", "yaml: line 2"),
            ("open flow", "{a: 1", "yaml: line"),
            ("unknown alias", "a: *b\n", "yaml: line 1"),
            ("alias in itself", "a: &x [*x]\n", "yaml: line 1"),
            ("two documents", "a: 1\n---\nb: 2\n", "yaml: line 2: more than one document"),
            ("list as key", "? [a]\n: b\n", "unsupported map key"),
            ("not a number", "a: .nan\n", "json: unsupported value: NaN"),
            ("merge of a scalar", "<<: 5\n", "map merge requires map"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(words), "{case}: {error}");
        }
        assert!(matches!(read(b"a: \xff"), Err(WireError::Yaml(_))));
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let items = format!("*a{}, ", i - 1).repeat(10);
            bomb += &format!("a{i}: &a{i} [{items}]\n");
        }
        assert_eq!(read(bomb.as_bytes()), Err(WireError::Yaml("yaml: document contains excessive aliasing".into())));
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        assert!(read(deep.as_bytes()).is_err());
    }
}
