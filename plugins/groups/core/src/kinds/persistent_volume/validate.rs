//! What is wrong with a persistent volume, and what of it may not change.

use sdk_api::k8s_openapi::api::core::v1::{
    NodeSelectorTerm, PersistentVolume, PersistentVolumeSpec, VolumeNodeAffinity,
};
use sdk_api::{Quantity, Violations, names};
use sdk_workload::validate::{claim, each_invalid, scheduling};
use serde_json::Value;

use super::super::fields::{differences, immutable, text};
use super::sources;

/// Labels that were renamed; the one name may replace the other.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// Checks a volume by itself; label values that stand in the stored one stay.
pub fn volume(new: &PersistentVolume, old: Option<&PersistentVolume>) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    let spec = new.spec.clone().unwrap_or_default();
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        out.required("spec.accessModes", "");
    }
    claim::access_modes(out, modes, "spec.accessModes");
    capacity(out, &spec);
    match text(&spec.persistent_volume_reclaim_policy) {
        "Delete" | "Recycle" | "Retain" | "" => {}
        other => out.not_supported("spec.persistentVolumeReclaimPolicy", other, &["Delete", "Recycle", "Retain"]),
    }
    if let Some(affinity) = &spec.node_affinity {
        let before = old.and_then(|old| old.spec.as_ref()?.node_affinity.as_ref());
        match &affinity.required {
            Some(selector) => {
                let path = "spec.nodeAffinity.required";
                scheduling::node_selector(out, selector, path, before == Some(affinity));
            }
            None => out.required("spec.nodeAffinity.required", "must specify required node constraints"),
        }
    }
    sources::check(out, &spec, text(&new.metadata.name));
    if let Some(host) = &spec.host_path {
        let root = host.path.starts_with('/') && host.path.split('/').all(|part| matches!(part, "" | "."));
        if root && text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
            let why = "may not be 'recycle' for a hostPath mount of '/'";
            out.forbidden("spec.persistentVolumeReclaimPolicy", why);
        }
    }
    let class = text(&spec.storage_class_name);
    if !class.is_empty() {
        each_invalid(out, "spec.storageClassName", class, names::dns1123_subdomain(class));
    }
    if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !matches!(*mode, "Block" | "Filesystem")) {
        out.not_supported("spec.volumeMode", mode, &["Block", "Filesystem"]);
    }
    if let Some(class) = &spec.volume_attributes_class_name {
        match class.as_str() {
            "" => out.required("spec.volumeAttributesClassName", "an empty string is disallowed"),
            class => each_invalid(out, "spec.volumeAttributesClassName", class, names::dns1123_subdomain(class)),
        }
        if spec.csi.is_none() {
            out.required("spec.csi", "has to be specified when using volumeAttributesClassName");
        }
    }
    found
}

fn capacity(found: &mut Violations, spec: &PersistentVolumeSpec) {
    let capacity = spec.capacity.clone().unwrap_or_default();
    if capacity.is_empty() {
        found.required("spec.capacity", "");
    }
    if capacity.len() > 1 || !capacity.contains_key("storage") {
        let shown =
            spec.capacity.as_ref().map_or(Value::Null, |amounts| serde_json::to_value(amounts).unwrap_or_default());
        found.not_supported("spec.capacity", shown, &["storage"]);
    }
    for (name, amount) in &capacity {
        let (path, amount) = (format!("spec.capacity[{name}]"), Quantity::of(amount));
        if amount.is_negative() {
            found.invalid(&path, amount.units(), "must be a valid resource quantity");
        }
        if amount <= Quantity::ZERO {
            found.invalid(path, amount.to_string(), "must be greater than zero");
        }
    }
}

/// What an update changes that it may not.
pub fn changes(found: &mut Violations, new: &PersistentVolume, old: &PersistentVolume) {
    let (mut spec, before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    // The secret for growing may be named later, once.
    if let (Some(csi), Some(before)) = (&mut spec.csi, &before.csi)
        && before.controller_expand_secret_ref.is_none()
    {
        csi.controller_expand_secret_ref = None;
    }
    let (source, source_before) = (sources::of(&spec), sources::of(&before));
    if source != source_before {
        let changed = differences(&source_before, &source, "spec");
        let why = format!("spec.persistentvolumesource is immutable after creation\n{changed}");
        found.forbidden("spec.persistentvolumesource", why);
    }
    immutable(found, "volumeMode", &spec.volume_mode, &before.volume_mode);
    if before.node_affinity.is_some() && !same_nodes(spec.node_affinity.as_ref(), before.node_affinity.as_ref()) {
        let why = "field is immutable, except for updating from beta label to GA";
        found.invalid("nodeAffinity", serde_json::to_value(&spec.node_affinity).unwrap_or_default(), why);
    }
    if before.volume_attributes_class_name.is_some() && spec.volume_attributes_class_name.is_none() {
        found.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
    }
}

/// Whether two affinities say the same but for labels that were renamed since.
fn same_nodes(new: Option<&VolumeNodeAffinity>, old: Option<&VolumeNodeAffinity>) -> bool {
    let terms = |affinity: Option<&VolumeNodeAffinity>| -> Vec<NodeSelectorTerm> {
        let required = affinity.and_then(|affinity| affinity.required.as_ref());
        required.map(|required| required.node_selector_terms.clone()).unwrap_or_default()
    };
    let (new, mut old) = (terms(new), terms(old));
    for (new, old) in new.iter().zip(&mut old) {
        let pairs = new.match_expressions.iter().flatten().zip(old.match_expressions.iter_mut().flatten());
        for (new, old) in pairs {
            if RENAMED.contains(&(old.key.as_str(), new.key.as_str())) {
                old.key.clone_from(&new.key);
            }
        }
    }
    new == old
}
