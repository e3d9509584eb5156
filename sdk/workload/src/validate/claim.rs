//! The spec of a volume claim, on its own or in a template.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use sdk_api::{Quantity, Violations, names};

use super::selector::label_selector;
use super::{each_invalid, one_of_if_set};

/// The access modes of volumes and claims.
pub const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Access modes: at least one, known, and `ReadWriteOncePod` alone.
pub fn access_modes(found: &mut Violations, modes: &[String], path: &str) {
    if modes.is_empty() {
        found.required(path, "at least 1 access mode is required");
    }
    for mode in modes {
        one_of_if_set(found, path, Some(mode), &ACCESS_MODES);
    }
    let kinds: BTreeSet<_> = modes.iter().collect();
    if kinds.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        found.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks the spec of a volume claim.
pub fn claim_spec(found: &mut Violations, spec: &PersistentVolumeClaimSpec, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    access_modes(found, spec.access_modes.as_deref().unwrap_or_default(), &at("accessModes"));
    if let Some(selector) = &spec.selector {
        label_selector(found, selector, &at("selector"), false);
    }
    let resources = spec.resources.as_ref();
    match resources.and_then(|resources| resources.requests.as_ref()).and_then(|requests| requests.get("storage")) {
        None => found.required(at("resources[storage]"), ""),
        Some(amount) => match amount.0.parse::<Quantity>() {
            Err(why) => found.invalid(at("resources[storage]"), amount.0.as_str(), why),
            Ok(quantity) if quantity.is_negative() || quantity.is_zero() => {
                found.invalid(at("resources[storage]"), amount.0.as_str(), "must be greater than zero");
            }
            Ok(_) => {}
        },
    }
    if let Some(class) = spec.storage_class_name.as_deref().filter(|class| !class.is_empty()) {
        each_invalid(found, &at("storageClassName"), class, names::dns1123_subdomain(class));
    }
    one_of_if_set(found, &at("volumeMode"), spec.volume_mode.as_deref(), &["Block", "Filesystem"]);
    if let Some(source) = &spec.data_source {
        if source.name.is_empty() {
            found.required(at("dataSource.name"), "");
        }
        if source.kind.is_empty() {
            found.required(at("dataSource.kind"), "");
        }
        let group = source.api_group.as_deref().unwrap_or_default();
        if group.is_empty() && source.kind != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            found.invalid(at("dataSource"), source.kind.as_str(), why);
        }
    }
    if let Some(source) = &spec.data_source_ref {
        if source.name.is_empty() {
            found.required(at("dataSourceRef.name"), "");
        }
        if source.kind.is_empty() {
            found.required(at("dataSourceRef.kind"), "");
        }
        if source.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()) && spec.data_source.is_some() {
            let why = "may not be specified when dataSourceRef.namespace is specified";
            found.invalid(at("dataSource"), super::shown(&spec.data_source), why);
        }
    }
    if let Some(class) = spec.volume_attributes_class_name.as_deref().filter(|class| !class.is_empty()) {
        each_invalid(found, &at("volumeAttributesClassName"), class, names::dns1123_subdomain(class));
    }
}
