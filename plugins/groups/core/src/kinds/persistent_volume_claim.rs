//! `PersistentVolumeClaim`: a wish for storage.

use sdk_api::k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use sdk_api::{Quantity, Timestamp, Violations};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::claim_spec_defaults;
use sdk_workload::validate::claim;
use serde_json::Value;

use super::fields::{differences, text};
use super::persistent_volume::short_modes;

/// Shown once the claim is bound.
fn bound(claim: &Value) -> bool {
    claim["spec"]["volumeName"].as_str().is_some_and(|name| !name.is_empty())
}

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Status", |claim, _| {
        let phase = claim["status"]["phase"].as_str().unwrap_or_default();
        if claim["metadata"]["deletionTimestamp"].is_null() { phase.into() } else { "Terminating".into() }
    }),
    Column::path("Volume", ".spec.volumeName"),
    Column::compute("Capacity", |claim, _| {
        let capacity = claim["status"]["capacity"]["storage"].as_str().filter(|_| bound(claim));
        capacity.unwrap_or_default().into()
    }),
    Column::compute("Access Modes", |claim, _| {
        if bound(claim) { short_modes(&claim["status"]["accessModes"]).into() } else { "".into() }
    }),
    Column::path("StorageClass", ".spec.storageClassName"),
    Column::compute("VolumeAttributesClass", |claim, _| {
        claim["spec"]["volumeAttributesClassName"].as_str().unwrap_or("<unset>").into()
    }),
    Column::AGE,
    Column::compute("VolumeMode", |claim, _| claim["spec"]["volumeMode"].as_str().unwrap_or("<unset>").into()).wide(),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ClaimStrategy).short_names(&["pvc"]).columns(COLUMNS).status().delete_answers_object()
}

struct ClaimStrategy;
impl Strategy for ClaimStrategy {
    type Object = PersistentVolumeClaim;

    fn default(&self, claim: &mut PersistentVolumeClaim) {
        let spec = claim.spec.get_or_insert_default();
        claim_spec_defaults(spec);
        // The older and the newer way to name what a claim is made from say the same within a namespace.
        match (&spec.data_source, &spec.data_source_ref) {
            (Some(source), None) => {
                spec.data_source_ref = Some(sdk_api::k8s_openapi::api::core::v1::TypedObjectReference {
                    api_group: source.api_group.clone(),
                    kind: source.kind.clone(),
                    name: source.name.clone(),
                    namespace: None,
                });
            }
            (None, Some(source)) if text(&source.namespace).is_empty() => {
                spec.data_source = Some(sdk_api::k8s_openapi::api::core::v1::TypedLocalObjectReference {
                    api_group: source.api_group.clone(),
                    kind: source.kind.clone(),
                    name: source.name.clone(),
                });
            }
            _ => {}
        }
    }

    fn prepare_create(&self, new: &mut PersistentVolumeClaim, _now: Timestamp) {
        new.status.get_or_insert_default().phase = Some("Pending".into());
    }

    fn validate(&self, new: &PersistentVolumeClaim, old: Option<&PersistentVolumeClaim>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        claim::claim_spec(&mut found, &spec, "spec");
        if let Some(old) = old {
            changes(&mut found, &spec, old);
        }
        found
    }
}

fn changes(found: &mut Violations, spec: &PersistentVolumeClaimSpec, old: &PersistentVolumeClaim) {
    let mut before = old.spec.clone().unwrap_or_default();
    claim_spec_defaults(&mut before);
    let bound = old.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let mut allowed = spec.clone();
    // The binder sets the volume, once; the class may be filled in where none was stated.
    if text(&before.volume_name).is_empty() {
        allowed.volume_name.clone_from(&before.volume_name);
    }
    if before.storage_class_name.is_none() {
        allowed.storage_class_name = None;
    }
    if bound {
        allowed.volume_attributes_class_name.clone_from(&before.volume_attributes_class_name);
        let wanted = allowed.resources.get_or_insert_default();
        wanted.requests = before.resources.as_ref().and_then(|resources| resources.requests.clone());
        if before.resources.is_none() {
            allowed.resources = None;
        }
    }
    if allowed != before {
        let changed = differences(&before, spec, "spec");
        let why = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{changed}"
        );
        found.forbidden("spec", why);
    }
    let storage = |spec: &PersistentVolumeClaimSpec| {
        let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.and_then(|requests| requests.get("storage")).map_or(Quantity::ZERO, Quantity::of)
    };
    let capacity = old.status.as_ref().and_then(|status| status.capacity.as_ref());
    let capacity = capacity.and_then(|capacity| capacity.get("storage")).map_or(Quantity::ZERO, Quantity::of);
    if bound && storage(spec) < storage(&before) && storage(spec) <= capacity {
        found.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(change: Value, status: Value) -> PersistentVolumeClaim {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let mut claim = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
        ClaimStrategy.default(&mut claim);
        claim
    }

    #[test]
    fn specs_and_their_changes() {
        let bound = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
        let size = |size: &str| json!({"resources": {"requests": {"storage": size}}});
        for (case, new, old, wrong) in [
            ("good", json!({}), None, vec![]),
            ("no mode", json!({"accessModes": []}), None, vec!["spec.accessModes"]),
            ("no size", json!({"resources": {}}), None, vec!["spec.resources[storage]"]),
            (
                "two of which one excludes",
                json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
                None,
                vec!["spec.accessModes"],
            ),
            ("bound to a volume", json!({"volumeName": "v"}), Some(json!({})), vec![]),
            ("bound to another", json!({"volumeName": "w"}), Some(json!({"volumeName": "v"})), vec!["spec"]),
            ("grown", size("3Gi"), Some(json!({})), vec![]),
            ("shrunk", size("1Gi"), Some(json!({})), vec!["spec.resources.requests.storage"]),
            ("another mode", json!({"accessModes": ["ReadWriteMany"]}), Some(json!({})), vec!["spec"]),
        ] {
            let old = old.map(|old| claim(old, bound.clone()));
            let found = ClaimStrategy.validate(&claim(new, bound.clone()), old.as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
        let pending = claim(json!({}), json!({"phase": "Pending"}));
        let grown = claim(size("3Gi"), json!({"phase": "Pending"}));
        assert_eq!(ClaimStrategy.validate(&grown, Some(&pending)).fields(), ["spec"], "grown before it was bound");
    }
}
