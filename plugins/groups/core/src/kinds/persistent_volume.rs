//! `PersistentVolume`: storage that outlives pods.

use sdk_api::k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec};
use sdk_api::{Quantity, Timestamp, Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::Options;
use sdk_workload::validate::{claim, each_invalid, scheduling};
use serde_json::Value;

use super::fields::{differences, immutable, text};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Capacity", ".spec.capacity.storage"),
    Column::compute("Access Modes", |volume, _| short_modes(&volume["spec"]["accessModes"]).into()),
    Column::path("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
    Column::compute("Status", |volume, _| {
        let phase = volume["status"]["phase"].as_str().unwrap_or_default();
        if volume["metadata"]["deletionTimestamp"].is_null() { phase.into() } else { "Terminating".into() }
    }),
    Column::compute("Claim", |volume, _| {
        let claim = &volume["spec"]["claimRef"];
        let text = |field: &str| claim[field].as_str().unwrap_or_default();
        if claim.is_null() { "".into() } else { format!("{}/{}", text("namespace"), text("name")).into() }
    }),
    Column::path("StorageClass", ".spec.storageClassName"),
    Column::compute("VolumeAttributesClass", |volume, _| {
        volume["spec"]["volumeAttributesClassName"].as_str().unwrap_or("<unset>").into()
    }),
    Column::path("Reason", ".status.reason"),
    Column::AGE,
    Column::compute("VolumeMode", |volume, _| volume["spec"]["volumeMode"].as_str().unwrap_or("<unset>").into()).wide(),
];

/// Fields of the spec that are no source.
const OTHER_FIELDS: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeStrategy).short_names(&["pv"]).columns(COLUMNS).status().delete_answers_object()
}

/// Access modes as the table shortens them.
pub fn short_modes(modes: &Value) -> String {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.as_array().into_iter().flatten().any(|stated| stated == mode);
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

struct VolumeStrategy;
impl Strategy for VolumeStrategy {
    type Object = PersistentVolume;

    fn default(&self, volume: &mut PersistentVolume) {
        let spec = volume.spec.get_or_insert_default();
        if text(&spec.persistent_volume_reclaim_policy).is_empty() {
            spec.persistent_volume_reclaim_policy = Some("Retain".into());
        }
        spec.volume_mode.get_or_insert_with(|| "Filesystem".into());
        if let Some(host) = &mut spec.host_path {
            host.type_.get_or_insert_default();
        }
    }

    fn prepare_create(&self, new: &mut PersistentVolume, now: Timestamp) {
        let status = new.status.get_or_insert_default();
        status.phase = Some("Pending".into());
        let now = sdk_api::time::whole_seconds(now);
        status.last_phase_transition_time = Some(sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    }

    fn validate(&self, new: &PersistentVolume, old: Option<&PersistentVolume>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        claim::access_modes(&mut found, spec.access_modes.as_deref().unwrap_or_default(), "spec.accessModes");
        let capacity = spec.capacity.clone().unwrap_or_default();
        if capacity.is_empty() {
            found.required("spec.capacity", "");
        } else if capacity.len() > 1 || !capacity.contains_key("storage") {
            let shown = serde_json::to_value(&capacity).unwrap_or_default();
            found.not_supported("spec.capacity", shown, &["storage"]);
        }
        for (name, amount) in &capacity {
            if Quantity::of(amount) <= Quantity::ZERO {
                found.invalid(format!("spec.capacity[{name}]"), amount.0.as_str(), "must be greater than zero");
            }
        }
        match text(&spec.persistent_volume_reclaim_policy) {
            "Delete" | "Recycle" | "Retain" | "" => {}
            other => {
                found.not_supported("spec.persistentVolumeReclaimPolicy", other, &["Delete", "Recycle", "Retain"]);
            }
        }
        if let Some(affinity) = spec.node_affinity.as_ref() {
            match &affinity.required {
                Some(selector) => {
                    scheduling::node_selector(&mut found, selector, "spec.nodeAffinity.required", Options::default());
                }
                None => found.required("spec.nodeAffinity.required", "must specify required node constraints"),
            }
        }
        sources(&mut found, &spec);
        let class = text(&spec.storage_class_name);
        if !class.is_empty() {
            each_invalid(&mut found, "spec.storageClassName", class, names::dns1123_subdomain(class));
        }
        if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !matches!(*mode, "Block" | "Filesystem")) {
            found.not_supported("spec.volumeMode", mode, &["Block", "Filesystem"]);
        }
        let Some(before) = old.map(|old| old.spec.clone().unwrap_or_default()) else { return found };
        let (source, source_before) = (source(&spec), self::source(&before));
        if source != source_before {
            let changed = differences(&source_before, &source, "spec");
            let why = format!("spec.persistentvolumesource is immutable after creation\n{changed}");
            found.forbidden("spec.persistentvolumesource", why);
        }
        immutable(&mut found, "volumeMode", &spec.volume_mode, &before.volume_mode);
        if before.node_affinity.is_some() {
            immutable(&mut found, "nodeAffinity", &spec.node_affinity, &before.node_affinity);
        }
        found
    }
}

/// The part of the spec that says where the storage is.
fn source(spec: &PersistentVolumeSpec) -> Value {
    let mut source = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = source.as_object_mut() {
        fields.retain(|name, _| !OTHER_FIELDS.contains(&name.as_str()));
    }
    source
}

fn sources(found: &mut Violations, spec: &PersistentVolumeSpec) {
    let source = source(spec);
    let stated: Vec<&String> = source.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    if stated.is_empty() {
        found.required("spec", "must specify a volume type");
    }
    for other in stated.iter().skip(1) {
        found.forbidden(format!("spec.{other}"), "may not specify more than 1 volume type");
    }
    if let Some(host) = &spec.host_path {
        if host.path.is_empty() {
            found.required("spec.hostPath.path", "");
        }
        if host.path.split('/').any(|part| part == "..") {
            found.invalid("spec.hostPath.path", host.path.as_str(), "must not contain '..'");
        }
        if host.path == "/" && text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
            let why = "may not be 'recycle' for a hostPath mount of '/'";
            found.forbidden("spec.persistentVolumeReclaimPolicy", why);
        }
    }
    if let Some(local) = &spec.local {
        if local.path.is_empty() {
            found.required("spec.local.path", "");
        }
        if spec.node_affinity.is_none() {
            found.required("spec.nodeAffinity", "Local volume requires node affinity");
        }
    }
    if let Some(csi) = &spec.csi {
        for (field, value) in [("driver", &csi.driver), ("volumeHandle", &csi.volume_handle)] {
            if value.is_empty() {
                found.required(format!("spec.csi.{field}"), "");
            }
        }
    }
    if let Some(nfs) = &spec.nfs {
        for (field, value) in [("server", &nfs.server), ("path", &nfs.path)] {
            if value.is_empty() {
                found.required(format!("spec.nfs.{field}"), "");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(change: Value) -> PersistentVolume {
        let mut spec =
            json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}});
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let mut volume = serde_json::from_value(json!({ "spec": spec })).unwrap();
        VolumeStrategy.default(&mut volume);
        volume
    }

    #[test]
    fn specs_and_their_changes() {
        for (case, new, old, wrong) in [
            ("good", json!({}), None, vec![]),
            ("no capacity", json!({"capacity": {}}), None, vec!["spec.capacity"]),
            ("no room", json!({"capacity": {"storage": "0"}}), None, vec!["spec.capacity[storage]"]),
            ("no mode", json!({"accessModes": []}), None, vec!["spec.accessModes"]),
            ("no source", json!({"hostPath": null}), None, vec!["spec"]),
            ("two sources", json!({"nfs": {"server": "s", "path": "/"}}), None, vec!["spec.nfs"]),
            (
                "local without a node",
                json!({"hostPath": null, "local": {"path": "/a"}}),
                None,
                vec!["spec.nodeAffinity"],
            ),
            ("a climbing path", json!({"hostPath": {"path": "/a/../b"}}), None, vec!["spec.hostPath.path"]),
            ("more room", json!({"capacity": {"storage": "2Gi"}}), Some(json!({})), vec![]),
            ("elsewhere", json!({"hostPath": {"path": "/b"}}), Some(json!({})), vec!["spec.persistentvolumesource"]),
        ] {
            let found = VolumeStrategy.validate(&volume(new), old.map(volume).as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn the_table_shortens_modes() {
        assert_eq!(short_modes(&json!(["ReadWriteMany", "ReadWriteOnce"])), "RWO,RWX");
    }
}
