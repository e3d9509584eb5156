//! A tree to YAML in block style, quoted so that readers of YAML 1.1 and 1.2 read it back equal.

use bytes::Bytes;
use serde_json::Value;

use crate::yaml_in::resolve;

/// Turns JSON into YAML.
pub fn json_to_yaml(json: &[u8]) -> Result<Bytes, serde_json::Error> {
    serde_json::from_slice(json).map(|value| to_yaml(&value))
}

/// Writes a tree as YAML: lists at the indent of their key, keys in byte order, as `sigs.k8s.io/yaml` does.
pub fn to_yaml(value: &Value) -> Bytes {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) => block(&mut out, value, 0, true),
        scalar => {
            write_scalar(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    Bytes::from(out)
}

/// Writes a list or mapping at an indent; `fresh` tells that the cursor is not behind `- ` already.
fn block(out: &mut String, value: &Value, indent: usize, mut fresh: bool) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                start_line(out, indent, &mut fresh);
                write_key(out, name);
                out.push(':');
                match field {
                    Value::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(out, field, indent + 2, true);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        out.push('\n');
                        block(out, field, indent, true);
                    }
                    scalar => {
                        out.push(' ');
                        write_scalar(out, scalar, indent + 2);
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                start_line(out, indent, &mut fresh);
                out.push_str("- ");
                block(out, item, indent + 2, false);
            }
        }
        scalar => {
            write_scalar(out, scalar, indent);
            out.push('\n');
        }
    }
}

fn start_line(out: &mut String, indent: usize, fresh: &mut bool) {
    if *fresh {
        out.extend(std::iter::repeat_n(' ', indent));
    }
    *fresh = true;
}

fn write_key(out: &mut String, name: &str) {
    if is_plain(name) { out.push_str(name) } else { write_quoted(out, name) }
}

fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) if is_literal(text) => write_literal(out, text, indent),
        Value::String(text) => write_quoted(out, text),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::Number(number) => match number.as_f64() {
            // YAML 1.1 floats want a dot or they are strings to some readers.
            Some(float) if number.is_f64() && !number.to_string().contains('.') => out.push_str(&format!("{float:.1}")),
            _ => out.push_str(&number.to_string()),
        },
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}

/// Whether a string may stand without quotes: plain characters, and nothing that some reader takes for another type.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let safe = |b: &u8| b.is_ascii_alphanumeric() || b"_-./+=()@ :,;%^$~\\<".contains(b);
    let starts = first.is_ascii_alphanumeric() || b"_./+($\\".contains(first);
    starts
        && bytes.iter().all(safe)
        && !matches!(last, b' ' | b':')
        && !text.contains(": ")
        && !is_like_another_type(text)
}

fn is_like_another_type(text: &str) -> bool {
    // What reads as a string but starts like a number may be a date, a base-60 number or an odd float elsewhere.
    let numeric = |b: u8| b.is_ascii_digit() || b"+-._:eExXoT,".contains(&b);
    let time = text.len() >= 8 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit) && text.contains('-');
    !matches!(resolve(text), Ok(Value::String(_))) || time || text.bytes().all(numeric) || text == "="
}

/// Whether a text of several lines can be written as a literal block.
fn is_literal(text: &str) -> bool {
    let printable = |c: char| {
        c == '\n'
            || (!c.is_control()
                && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
    };
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n'])
        && text.chars().all(printable)
        && !text.lines().any(|line| line.ends_with(' '))
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push('|');
    out.push_str(match ends {
        0 => "-",
        1 => "",
        _ => "+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent.max(2)));
            out.push_str(line);
        }
    }
    // The caller ends the last line; further empty ones are part of the text.
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

/// Double quotes with JSON's escapes, and escapes for what YAML takes for line breaks.
fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml_in;

    #[test]
    fn documents_look_as_people_write_them() {
        let document = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "web"}, "annotations": {}},
            "data": {"script": "#!/bin/sh\necho hi\n", "flag": "yes", "number": "1", "empty": ""},
            "list": [1, "two", ["three"], {"a": 1, "b": [2]}, {}],
        });
        let text = String::from_utf8(to_yaml(&document).to_vec()).unwrap();
        let want = "\
apiVersion: v1
data:
  empty: \"\"
  flag: \"yes\"
  number: \"1\"
  script: |
    #!/bin/sh
    echo hi
kind: ConfigMap
list:
- 1
- two
- - three
- a: 1
  b:
  - 2
- {}
metadata:
  annotations: {}
  labels:
    app.kubernetes.io/name: web
  name: a
";
        assert_eq!(text, want);
    }

    #[test]
    fn every_string_is_read_back_equal() {
        for text in [
            "",
            " ",
            "a ",
            " a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "- a",
            "-",
            "---",
            "...",
            "?",
            "!a",
            "&a",
            "*a",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\tb",
            "a\nb",
            "a\n",
            "\na",
            "a\n\nb\n\n",
            " a\nb",
            "a \nb",
            "yes",
            "No",
            "on",
            "y",
            "null",
            "~",
            "Null",
            "1",
            "-1",
            "1.5",
            "1e3",
            "0x1f",
            "0o7",
            "1_000",
            ".5",
            ".inf",
            ".nan",
            "12:30:45",
            "2026-01-02",
            "2026-01-02T03:04:05Z",
            "=",
            "<<",
            "[a]",
            "{a}",
            "a,b",
            "a]b",
            "ä",
            "\u{1f600}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "a\rb",
            "a\u{0}b",
            "\\",
            "a\\nb",
            "true",
            "1:2",
            "a\n b\n  c",
            "|",
            ">",
            "x\n\t\ty",
        ] {
            for document in [json!({ "k": text }), json!([text]), json!({ text: { "k": [text] } }), json!(text)] {
                let written = to_yaml(&document);
                let read = yaml_in::read(&written).unwrap_or_else(|e| panic!("{text:?}: {e}\n{written:?}"));
                assert_eq!(read.value, document, "{written:?}");
            }
        }
    }
}
