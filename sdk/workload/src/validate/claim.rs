//! The spec of a volume claim, on its own or in a template.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use sdk_api::{Quantity, Violations, checks, names};

use super::{each_invalid, one_of_if_set};

/// The access modes of volumes and claims.
pub const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Access modes: known, and `ReadWriteOncePod` alone.
pub fn access_modes(found: &mut Violations, modes: &[String], path: &str) {
    for mode in modes {
        one_of_if_set(found, path, Some(mode), &ACCESS_MODES);
    }
    let kinds: BTreeSet<_> = modes.iter().filter(|mode| ACCESS_MODES.contains(&mode.as_str())).collect();
    if kinds.len() > 1 && kinds.iter().any(|mode| *mode == "ReadWriteOncePod") {
        found.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks the spec of a volume claim.
pub fn claim_spec(found: &mut Violations, spec: &PersistentVolumeClaimSpec, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        found.required(at("accessModes"), "at least 1 access mode is required");
    }
    if let Some(selector) = &spec.selector {
        checks::label_selector(found, at("selector"), selector);
    }
    access_modes(found, modes, &at("accessModes"));
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
    let group = |group: &Option<String>| group.clone().unwrap_or_default();
    if let Some(source) = &spec.data_source {
        data_source(found, &source.name, &source.kind, &group(&source.api_group), &at("dataSource"));
    }
    if let Some(source) = &spec.data_source_ref {
        data_source(found, &source.name, &source.kind, &group(&source.api_group), &at("dataSourceRef"));
        let namespace = source.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        if let Some(namespace) = namespace {
            each_invalid(found, &at("dataSourceRef.namespace"), namespace, names::dns1123_label(namespace));
        }
        let same = spec.data_source.as_ref().is_none_or(|other| {
            (&other.name, &other.kind, &other.api_group) == (&source.name, &source.kind, &source.api_group)
        });
        if namespace.is_some() && spec.data_source.is_some() {
            let why = "may not be specified when dataSourceRef.namespace is specified";
            found.invalid(path, at("dataSource"), why);
        } else if !same {
            found.invalid(path, at("dataSource"), "must match dataSourceRef");
        }
    }
    if let Some(class) = spec.volume_attributes_class_name.as_deref().filter(|class| !class.is_empty()) {
        each_invalid(found, &at("volumeAttributesClassName"), class, names::dns1123_subdomain(class));
    }
}

/// What a claim is filled from: another claim, or an object of a group that says how. Source: KEP-1495.
fn data_source(found: &mut Violations, name: &str, kind: &str, group: &str, path: &str) {
    if name.is_empty() {
        found.required(format!("{path}.name"), "");
    }
    if kind.is_empty() {
        found.required(format!("{path}.kind"), "");
    }
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        found.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() {
        each_invalid(found, &format!("{path}.apiGroup"), group, names::dns1123_subdomain(group));
    }
}
