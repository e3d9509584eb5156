//! What webhooks and policies say alike: which requests they are about, under which conditions, and where a webhook is.

pub mod client;
pub mod conditions;
pub mod matching;
pub mod rules;

use sdk_api::Violations;

/// A text that must be there, and one of a few.
pub fn one_of(found: &mut Violations, field: String, value: Option<&str>, supported: &[&str]) {
    match value.unwrap_or_default() {
        "" => found.required(field, ""),
        value => one_of_if_set(found, field, Some(value), supported),
    }
}

/// A text that may be missing, and must be one of a few where it is there.
pub fn one_of_if_set(found: &mut Violations, field: String, value: Option<&str>, supported: &[&str]) {
    if let Some(value) = value.filter(|value| !supported.contains(value)) {
        found.not_supported(field, value, supported);
    }
}
