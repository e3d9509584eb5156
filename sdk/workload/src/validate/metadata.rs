//! Labels and annotations inside specs.

use std::collections::BTreeMap;

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
