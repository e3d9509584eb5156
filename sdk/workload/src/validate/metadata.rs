//! Labels and annotations inside specs.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{Violations, names};

use super::each_invalid;

const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

type Map = BTreeMap<String, String>;

/// Keys and values of labels.
pub fn labels(found: &mut Violations, labels: Option<&Map>, path: &str) {
    for (key, value) in labels.into_iter().flatten() {
        each_invalid(found, path, key, names::qualified_name(key));
        each_invalid(found, path, value, names::label_value(value));
    }
}

/// Keys of annotations, and their size in all.
pub fn annotations(found: &mut Violations, annotations: Option<&Map>, path: &str) {
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        each_invalid(found, path, key, names::qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        found.too_long(path, ANNOTATIONS_BYTES_MAX);
    }
}

/// The metadata of a template for objects that get all else from whoever makes them: labels and annotations alone.
pub fn template_metadata(found: &mut Violations, meta: &ObjectMeta, path: &str) {
    annotations(found, meta.annotations.as_ref(), &format!("{path}.annotations"));
    labels(found, meta.labels.as_ref(), &format!("{path}.labels"));
    for (field, set) in [
        ("name", meta.name.is_some()),
        ("generateName", meta.generate_name.is_some()),
        ("namespace", meta.namespace.is_some()),
        ("uID", meta.uid.is_some()),
        ("resourceVersion", meta.resource_version.is_some()),
        ("generation", meta.generation.is_some()),
        ("deletionTimestamp", meta.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", meta.owner_references.is_some()),
        ("finalizers", meta.finalizers.is_some()),
    ] {
        if set {
            found.forbidden(format!("{path}.{field}"), "cannot be set");
        }
    }
}
