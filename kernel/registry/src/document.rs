//! Documents on their way into the store: joined with their revision, and read for what the machinery needs.

use kernel_store::RevisionHole;
use serde_json::Value;

/// Encodes an object with a hole where its revision will stand.
pub fn with_hole(document: &Value) -> RevisionHole {
    let mut head = Vec::with_capacity(1024);
    let mut tail = Vec::new();
    let mut out = &mut head;
    let empty = serde_json::Map::new();
    let fields = document.as_object().unwrap_or(&empty);
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    if !fields.contains_key("metadata") {
        names.push("metadata");
    }
    out.push(b'{');
    for (at, name) in names.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_key(out, name);
        if name != "metadata" {
            write_value(out, &fields[name]);
            continue;
        }
        out.extend_from_slice(b"{\"resourceVersion\":\"");
        out = &mut tail;
        out.push(b'"');
        let metadata = fields.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
            out.push(b',');
            write_key(out, name);
            write_value(out, value);
        }
        out.push(b'}');
    }
    out.push(b'}');
    RevisionHole { head: head.into(), tail: tail.into() }
}

fn write_key(out: &mut Vec<u8>, key: &str) {
    serde_json::to_writer(&mut *out, key).expect("writing to memory does not fail");
    out.push(b':');
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("a JSON tree encodes");
}

/// A text field of the metadata; empty where there is none.
pub fn meta_text<'a>(document: &'a Value, field: &str) -> &'a str {
    document["metadata"][field].as_str().unwrap_or_default()
}

/// The metadata, made if missing.
pub fn metadata(document: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !document["metadata"].is_object() {
        document["metadata"] = Value::Object(serde_json::Map::new());
    }
    document["metadata"].as_object_mut().expect("just made an object")
}

/// Whether there was such a field.
pub fn remove(document: &mut Value, field: &str) -> bool {
    document.as_object_mut().is_some_and(|fields| fields.remove(field).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hole_is_filled_inside_the_metadata_alone() {
        for document in [
            json!({"apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "3", "annotations": {"resourceVersion": "9"}}, "spec": {}}),
            json!({"metadata": {}}),
            json!({"kind": "X"}),
        ] {
            let bytes = with_hole(&document).fill(42);
            let mut expected = document.clone();
            metadata(&mut expected).insert("resourceVersion".into(), "42".into());
            assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
        }
    }
}
