//! Metadata as the system keeps it: what users may not choose, and what is wrong with what they chose.

use std::collections::BTreeMap;

use rand::Rng;
use sdk_api::{Timestamp, Violations, names, time};
use sdk_plugin::Kind;
use serde_json::Value;

use crate::document::{meta_text, metadata};

/// Bytes of all annotations together. Source: `TotalAnnotationSizeLimitB`.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// Source: `maxNameLength` and `randomLength` of the name generator.
const GENERATED_BASE_MAX: usize = 58;
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name made of `generateName` and five random characters.
pub fn generate_name(base: &str, rng: &mut impl Rng) -> String {
    let mut end = base.len().min(GENERATED_BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let suffix: String = (0..5).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    format!("{}{suffix}", &base[..end])
}

/// Sets what the system alone decides about a new object.
pub fn fill_new(document: &mut Value, kind: &Kind, uid: &str, now: Timestamp) {
    let metadata = metadata(document);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), time::rfc3339(now).into());
    if kind.generation {
        metadata.insert("generation".into(), 1.into());
    }
}

/// Carries over from the stored state what an update may not change.
pub fn keep_system_fields(new: &mut Value, old: &Value) {
    let old = &old["metadata"];
    let metadata = metadata(new);
    for field in
        ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
    {
        match old.get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.remove(field),
        };
    }
}

/// Counts a generation if anything but the metadata changed, and the status where it is a part of its own.
pub fn count_generation(new: &mut Value, old: &Value, but_status: bool) {
    let changed = {
        let parts = |document: &Value| -> BTreeMap<String, Value> {
            let fields = document.as_object().into_iter().flatten();
            fields
                .filter(|(name, value)| *name != "metadata" && !(but_status && *name == "status") && !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        parts(new) != parts(old)
    };
    if changed {
        bump_generation(new);
    }
}

pub fn bump_generation(document: &mut Value) {
    let generation = document["metadata"]["generation"].as_i64().unwrap_or(0);
    metadata(document).insert("generation".into(), (generation + 1).into());
}

pub fn finalizers(document: &Value) -> Vec<&str> {
    document["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub fn is_deleting(document: &Value) -> bool {
    document["metadata"]["deletionTimestamp"].is_string()
}

/// What is wrong with the metadata. Source: `ValidateObjectMeta`.
pub fn validate(document: &Value, kind: &Kind) -> Violations {
    let mut found = Violations::default();
    let metadata = &document["metadata"];
    let (name, generate) = (meta_text(document, "name"), meta_text(document, "generateName"));
    if !generate.is_empty() {
        // A generated name ends in a letter or digit, so the base may end in a dash.
        for problem in (kind.name_rule)(&format!("{}a", generate.trim_end_matches('-'))) {
            found.invalid("metadata.generateName", generate, problem);
        }
    }
    if name.is_empty() {
        found.required("metadata.name", "name or generateName is required");
    } else {
        for problem in (kind.name_rule)(name) {
            found.invalid("metadata.name", name, problem);
        }
    }
    let namespace = meta_text(document, "namespace");
    if kind.is_namespaced() {
        if namespace.is_empty() {
            found.required("metadata.namespace", "");
        } else {
            for problem in names::dns1123_label(namespace) {
                found.invalid("metadata.namespace", namespace, problem);
            }
        }
    } else if !namespace.is_empty() {
        found.forbidden("metadata.namespace", "not allowed on this type");
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        for problem in names::qualified_name(key) {
            found.invalid("metadata.labels", key.as_str(), problem);
        }
        for problem in names::label_value(value.as_str().unwrap_or_default()) {
            found.invalid("metadata.labels", value.as_str().unwrap_or_default(), problem);
        }
    }
    let mut bytes = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        for problem in names::qualified_name(&key.to_lowercase()) {
            found.invalid("metadata.annotations", key.as_str(), problem);
        }
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        found.too_long("metadata.annotations", ANNOTATIONS_BYTES_MAX);
    }
    for finalizer in finalizers(document) {
        for problem in names::qualified_name(finalizer) {
            found.invalid("metadata.finalizers", finalizer, problem);
        }
        if !finalizer.contains('/') && !matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes") {
            found.invalid(
                "metadata.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            );
        }
    }
    if ["orphan", "foregroundDeletion"].iter().all(|f| finalizers(document).contains(f)) {
        found.invalid(
            "metadata.finalizers",
            metadata["finalizers"].clone(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        );
    }
    owners(metadata, &mut found);
    found
}

fn owners(metadata: &Value, found: &mut Violations) {
    let mut controller: Option<&str> = None;
    for (at, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        for (field, words) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(field).is_empty() {
                found.invalid(format!("metadata.ownerReferences[{at}].{field}"), text(field), words);
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            found.invalid(
                format!("metadata.ownerReferences[{at}]"),
                owner.clone(),
                "/v1, Kind=Event is disallowed from being an owner",
            );
        }
        if owner["controller"] == true {
            if let Some(first) = controller {
                let words = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                    text("name")
                );
                found.invalid("metadata.ownerReferences", metadata["ownerReferences"].clone(), words);
            }
            controller = Some(text("name"));
        }
    }
}

/// What is wrong with the change of the metadata. Source: `ValidateObjectMetaUpdate`.
pub fn validate_update(new: &Value, old: &Value) -> Violations {
    let mut found = Violations::default();
    for field in ["name", "namespace", "uid"] {
        let (before, after) = (&old["metadata"][field], &new["metadata"][field]);
        if before != after {
            found.invalid(format!("metadata.{field}"), after.clone(), "field is immutable");
        }
    }
    if is_deleting(old) {
        let before = finalizers(old);
        let added: Vec<_> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let list: Vec<_> = added.iter().map(|f| format!("{f:?}")).collect();
            found.forbidden(
                "metadata.finalizers",
                format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}", list.join(", ")),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_checked_field_by_field() {
        let kind = Kind::plain::<ConfigMap>();
        for (case, metadata, wrong) in [
            ("good", json!({"name": "a", "namespace": "n", "labels": {"a/b": "c"}}), vec![]),
            ("no name", json!({"namespace": "n"}), vec!["metadata.name"]),
            ("bad name", json!({"name": "A", "namespace": "n"}), vec!["metadata.name"]),
            ("no namespace", json!({"name": "a"}), vec!["metadata.namespace"]),
            ("bad label", json!({"name": "a", "namespace": "n", "labels": {"a": "b c"}}), vec!["metadata.labels"]),
            ("bad finalizer", json!({"name": "a", "namespace": "n", "finalizers": ["x"]}), vec!["metadata.finalizers"]),
            (
                "two controllers",
                json!({"name": "a", "namespace": "n", "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1", "controller": true},
                    {"apiVersion": "v1", "kind": "Pod", "name": "y", "uid": "2", "controller": true}]}),
                vec!["metadata.ownerReferences"],
            ),
        ] {
            assert_eq!(validate(&json!({"metadata": metadata}), &kind).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn generated_names_stay_short() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
        assert_eq!(generate_name("web-", &mut rng).len(), 9);
        assert_eq!(generate_name(&"x".repeat(80), &mut rng).len(), 63);
    }

    #[test]
    fn generations_count_changes_of_the_specification() {
        let old = json!({"metadata": {"generation": 2}, "spec": {"a": 1}, "status": {"b": 1}});
        for (new, generation) in [
            (json!({"metadata": {"generation": 2, "labels": {"x": "y"}}, "spec": {"a": 1}, "status": {"b": 2}}), 2),
            (json!({"metadata": {"generation": 2}, "spec": {"a": 2}}), 3),
        ] {
            let mut new = new;
            count_generation(&mut new, &old, true);
            assert_eq!(new["metadata"]["generation"], generation);
        }
    }
}
