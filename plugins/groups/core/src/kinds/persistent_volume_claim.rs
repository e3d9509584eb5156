//! `PersistentVolumeClaim`: a wish for storage.

use sdk_api::k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{Quantity, Timestamp, Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::claim_spec_defaults;
use sdk_workload::validate::{claim, each_invalid};
use serde_json::Value;

use super::fields::{differences, immutable, text};
use super::persistent_volume::{BETA_CLASS, class, short_modes};

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
        if !bound(claim) {
            return "".into();
        }
        claim["status"]["capacity"]["storage"].as_str().unwrap_or("0").into()
    }),
    Column::compute("Access Modes", |claim, _| {
        if bound(claim) { short_modes(&claim["status"]["accessModes"]).into() } else { "".into() }
    }),
    Column::compute("StorageClass", |claim, _| class(claim).into()).describe("StorageClass of the pvc"),
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
        new.status.insert(Default::default()).phase = Some("Pending".into());
    }

    fn validate(&self, new: &PersistentVolumeClaim, old: Option<&PersistentVolumeClaim>) -> Violations {
        let mut found = Violations::default();
        claim::claim_spec(&mut found, &new.spec.clone().unwrap_or_default(), "spec");
        if let Some(old) = old {
            changes(&mut found, new, old);
        }
        found
    }

    fn validate_status(&self, new: &PersistentVolumeClaim, _old: &PersistentVolumeClaim) -> Violations {
        let mut found = Violations::default();
        let status = new.status.clone().unwrap_or_default();
        for (name, amount) in status.capacity.iter().flatten() {
            let amount = Quantity::of(amount);
            if amount.is_negative() {
                let why = "must be a valid resource quantity";
                found.invalid(format!("status.capacity[{name}]"), amount.units(), why);
            }
        }
        let path = "status.allocatedResourceStatus";
        for (name, state) in status.allocated_resource_statuses.iter().flatten() {
            resource_key(&mut found, name, path);
            if !RESIZE_STATES.contains(&state.as_str()) {
                found.not_supported(path, name.as_str(), &RESIZE_STATES);
            }
        }
        for (name, amount) in status.allocated_resources.iter().flatten() {
            if !resource_key(&mut found, name, "status.allocatedResources") {
                continue;
            }
            let amount = Quantity::of(amount);
            if amount.is_negative() {
                let why = "must be a valid resource quantity";
                found.invalid(format!("status.allocatedResources[{name}]"), amount.units(), why);
            }
        }
        found
    }

    fn warnings(&self, new: &PersistentVolumeClaim) -> Vec<String> {
        let mut all = Vec::new();
        if new.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BETA_CLASS)) {
            all.push(format!(
                "metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        all
    }
}

/// How far a resize got. Source: KEP-1790.
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
];

/// Of Kubernetes' own resources a claim is given storage alone.
fn resource_key(found: &mut Violations, name: &str, path: &str) -> bool {
    let wrong = names::qualified_name(name);
    let fits = wrong.is_empty();
    each_invalid(found, path, name, wrong);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if fits && native && name != "storage" {
        found.not_supported(path, name, &["storage"]);
        return false;
    }
    fits
}

fn storage(spec: &PersistentVolumeClaimSpec) -> Option<&ApiQuantity> {
    spec.resources.as_ref()?.requests.as_ref()?.get("storage")
}

fn changes(found: &mut Violations, new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) {
    let spec = new.spec.clone().unwrap_or_default();
    let mut before = old.spec.clone().unwrap_or_default();
    claim_spec_defaults(&mut before);
    let annotation = |claim: &PersistentVolumeClaim| {
        claim.metadata.annotations.as_ref().and_then(|annotations| annotations.get(BETA_CLASS)).cloned()
    };
    let (class, class_before) = (annotation(new), annotation(old));
    let bound = new.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let mut allowed = spec.clone();
    // The binder sets the volume, once.
    if text(&before.volume_name).is_empty() {
        allowed.volume_name.clone_from(&before.volume_name);
    }
    // The class may be filled in where none was stated, or move from the annotation of old to the field.
    let moved =
        class_before.is_some() && spec.storage_class_name == class_before && (class.is_none() || class == class_before);
    let filled =
        spec.storage_class_name.is_some() && (class_before.is_none() || spec.storage_class_name == class_before);
    if before.storage_class_name.is_none() && (moved || filled) {
        allowed.storage_class_name = None;
    }
    if class != class_before && !(before.storage_class_name.is_none() && moved) {
        found.invalid(format!("metadata.annotations.{BETA_CLASS}"), class.unwrap_or_default(), "field is immutable");
    }
    if bound {
        if allowed.volume_attributes_class_name.is_some() {
            allowed.volume_attributes_class_name.clone_from(&before.volume_attributes_class_name);
        }
        if let Some(requests) = allowed.resources.as_mut().and_then(|resources| resources.requests.as_mut()) {
            match storage(&before) {
                Some(amount) => drop(requests.insert("storage".into(), amount.clone())),
                None => drop(requests.remove("storage")),
            }
        }
    }
    if allowed != before {
        let changed = differences(&before, &allowed, "spec");
        let why = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{changed}"
        );
        found.forbidden("spec", why);
    }
    // A wish that could not be met may be taken back as far as what there is. Source: KEP-1790.
    let amount = |quantity: Option<&ApiQuantity>| quantity.map_or(Quantity::ZERO, Quantity::of);
    let capacity = old.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
    if amount(storage(&spec)) < amount(storage(&before)) && amount(storage(&spec)) <= amount(capacity) {
        found.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
    immutable(found, "volumeMode", &spec.volume_mode, &before.volume_mode);
    if before.volume_attributes_class_name.is_some() {
        let path = "spec.volumeAttributesClassName";
        match spec.volume_attributes_class_name.as_deref() {
            None => found.forbidden(path, "update from non-nil value to nil is forbidden"),
            Some("") => found.forbidden(path, "update from non-nil value to an empty string is forbidden"),
            Some(_) => {}
        }
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
            ("a wish taken back", size("3Gi"), Some(size("4Gi")), vec![]),
            ("a class filled in", json!({"storageClassName": "s"}), Some(json!({})), vec![]),
            ("another class", json!({"storageClassName": "s"}), Some(json!({"storageClassName": "r"})), vec!["spec"]),
            (
                "other attributes",
                json!({"volumeAttributesClassName": "s"}),
                Some(json!({"volumeAttributesClassName": "r"})),
                vec![],
            ),
            (
                "no attributes any more",
                json!({}),
                Some(json!({"volumeAttributesClassName": "r"})),
                vec!["spec", "spec.volumeAttributesClassName"],
            ),
            (
                "two sources",
                json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
                    "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"}}),
                None,
                vec!["spec"],
            ),
            (
                "from something else",
                json!({"dataSource": {"kind": "Secret", "name": "a"}}),
                None,
                vec!["spec.dataSource", "spec.dataSourceRef"],
            ),
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

    #[test]
    fn a_status_says_how_far_a_resize_got() {
        for (case, status, wrong) in [
            ("nothing", json!({}), vec![]),
            (
                "under way",
                json!({"allocatedResourceStatuses": {"storage": "NodeResizePending"}, "allocatedResources": {"storage": "3Gi"}}),
                vec![],
            ),
            ("of another resource", json!({"allocatedResources": {"cpu": "1"}}), vec!["status.allocatedResources"]),
            ("lost", json!({"allocatedResourceStatuses": {"storage": "Lost"}}), vec!["status.allocatedResourceStatus"]),
            ("less than nothing", json!({"capacity": {"storage": "-1"}}), vec!["status.capacity[storage]"]),
        ] {
            let claim = claim(json!({}), status);
            assert_eq!(ClaimStrategy.validate_status(&claim, &claim).fields(), wrong, "{case}");
        }
    }
}
