//! Objects within objects (`x-kubernetes-embedded-resource`), and the metadata of custom objects: both are checked as
//! metadata anywhere is.

use std::sync::LazyLock;

use sdk_api::{GroupVersionKind, Violations, names};
use sdk_schema::{SchemaRef, Schemas, Unknown, check};
use serde_json::Value;

use super::{Schema, child};

static OBJECT_META: LazyLock<SchemaRef> = LazyLock::new(|| {
    let map = Schemas::builtin().kind(&GroupVersionKind::new("", "v1", "ConfigMap"));
    map.and_then(|map| map.field("metadata")).expect("every kind has metadata")
});

/// Brings the metadata of a document, and of the objects embedded in it, into its form: unknown fields go, their paths are
/// given. The error is in the words of Go's decoder.
pub fn coerce(document: &mut Value, schema: &Schema) -> Result<Vec<String>, String> {
    let mut removed = Vec::new();
    walk(document, schema, true, "", &mut removed)?;
    Ok(removed)
}

fn walk(
    value: &mut Value,
    schema: &Schema,
    is_root: bool,
    path: &str,
    removed: &mut Vec<String>,
) -> Result<(), String> {
    if is_root || schema.embedded {
        for field in ["apiVersion", "kind"] {
            if !is_root && value.get(field).is_some_and(|text| !text.is_string()) {
                return Err(format!("{}: must be a string", child(path, field)));
            }
        }
        if let Some(metadata) = value.get_mut("metadata") {
            let here = child(path, "metadata");
            let unknown = check(&OBJECT_META, metadata, Unknown::Report).map_err(|error| error.to_string())?;
            removed.extend(unknown.into_iter().map(|field| child(&here, &field.path)));
        }
    }
    match value {
        Value::Object(fields) => fields.iter_mut().try_for_each(|(name, field)| match schema.property(name) {
            Some(of) if !(is_root && name == "metadata") => walk(field, of, false, &child(path, name), removed),
            _ => Ok(()),
        }),
        Value::Array(items) => match schema.items() {
            Some(of) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(at, item)| walk(item, of, false, &format!("{path}[{at}]"), removed)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What is wrong with embedded objects: they have an `apiVersion`, a `kind`, and metadata like any other's.
pub fn validate(value: &Value, schema: &Schema, path: &str, found: &mut Violations) {
    if schema.embedded && value.is_object() {
        validate_one(value, path, found);
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(of) = schema.property(name) {
                    validate(field, of, &child(path, name), found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = schema.items() {
                for (at, item) in items.iter().enumerate() {
                    validate(item, of, &format!("{path}[{at}]"), found);
                }
            }
        }
        _ => {}
    }
}

fn validate_one(object: &Value, path: &str, found: &mut Violations) {
    for field in ["apiVersion", "kind"] {
        let here = child(path, field);
        match object.get(field).and_then(Value::as_str) {
            None => found.required(here, "must not be empty"),
            Some("") => found.invalid(here, "", "must not be empty"),
            Some(version) if field == "apiVersion" && version.matches('/').count() > 1 => {
                found.invalid(here, version, format!("unexpected GroupVersion string: {version}"));
            }
            Some(_) if field == "apiVersion" => {}
            Some(kind) => {
                for problem in names::dns1035_label(&kind.to_lowercase()) {
                    let words = format!("may have mixed case, but should otherwise match: {problem}");
                    found.invalid(here.clone(), kind, words);
                }
            }
        }
    }
    let metadata = &object["metadata"];
    let here = child(path, "metadata");
    if let Some(name) =
        metadata["name"].as_str().filter(|name| matches!(*name, "." | "..") || name.contains(['/', '%']))
    {
        let words =
            if name.starts_with('.') { format!("may not be '{name}'") } else { "may not contain '/' or '%'".into() };
        found.invalid(child(&here, "name"), name, words);
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        for problem in names::qualified_name(key) {
            found.invalid(child(&here, "labels"), key.as_str(), problem);
        }
        for problem in names::label_value(value.as_str().unwrap_or_default()) {
            found.invalid(child(&here, "labels"), value.as_str().unwrap_or_default(), problem);
        }
    }
    for key in metadata["annotations"].as_object().into_iter().flat_map(|all| all.keys()) {
        for problem in names::qualified_name(&key.to_lowercase()) {
            found.invalid(child(&here, "annotations"), key.as_str(), problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_metadata_everywhere() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"pod": {
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}))
        .unwrap();
        let mut document = json!({"metadata": {"name": "a", "colour": 1}, "pod": {"kind": "P_", "metadata": {"shape": 1, "labels": {"a": "b c"}}}});
        assert_eq!(coerce(&mut document, &schema).unwrap(), ["metadata.colour", "pod.metadata.shape"]);
        let mut found = Violations::default();
        validate(&document, &schema, "", &mut found);
        assert_eq!(found.fields(), ["pod.apiVersion", "pod.kind", "pod.metadata.labels"]);
        let error = coerce(&mut json!({"metadata": {"labels": {"a": 1}}}), &schema).unwrap_err();
        assert!(error.contains("cannot unmarshal number into Go"), "{error}");
    }
}
