//! `PersistentVolume`: storage that outlives pods.

mod sources;
mod validate;

use sdk_api::k8s_openapi::api::core::v1::PersistentVolume;
use sdk_api::{Timestamp, Violations};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

use super::fields::text;

/// How classes were named before there was a field.
pub const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

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
    Column::compute("StorageClass", |volume, _| class(volume).into()).describe("StorageClass of the pv"),
    Column::compute("VolumeAttributesClass", |volume, _| {
        volume["spec"]["volumeAttributesClassName"].as_str().unwrap_or("<unset>").into()
    }),
    Column::path("Reason", ".status.reason"),
    Column::AGE,
    Column::compute("VolumeMode", |volume, _| volume["spec"]["volumeMode"].as_str().unwrap_or("<unset>").into()).wide(),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeStrategy).short_names(&["pv"]).columns(COLUMNS).status().delete_answers_object()
}

/// The class of a volume or claim; an annotation of old goes first. Source: `GetPersistentVolumeClass`.
pub fn class(object: &Value) -> &str {
    let old = object["metadata"]["annotations"][BETA_CLASS].as_str();
    old.or_else(|| object["spec"]["storageClassName"].as_str()).unwrap_or_default()
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
        sources::defaults(spec);
    }

    fn prepare_create(&self, new: &mut PersistentVolume, now: Timestamp) {
        let status = new.status.insert(Default::default());
        status.phase = Some("Pending".into());
        let now = sdk_api::time::whole_seconds(now);
        status.last_phase_transition_time = Some(sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    }

    fn validate(&self, new: &PersistentVolume, old: Option<&PersistentVolume>) -> Violations {
        let mut found = validate::volume(new, old);
        if let Some(old) = old {
            validate::changes(&mut found, new, old);
        }
        found
    }

    fn warnings(&self, new: &PersistentVolume) -> Vec<String> {
        let spec = new.spec.clone().unwrap_or_default();
        let mut all = Vec::new();
        if new.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BETA_CLASS)) {
            all.push(format!(
                "metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        if text(&spec.persistent_volume_reclaim_policy) == "Recycle" {
            all.push(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
                 approach is to use dynamic provisioning."
                    .into(),
            );
        }
        for (set, words) in [
            (
                spec.photon_persistent_disk.is_some(),
                "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
            ),
            (spec.scale_io.is_some(), "scaleIO: deprecated in v1.16, non-functional in v1.22+"),
            (spec.storageos.is_some(), "storageOS: deprecated in v1.22, non-functional in v1.25+"),
            (spec.glusterfs.is_some(), "glusterfs: deprecated in v1.25, non-functional in v1.26+"),
            (spec.cephfs.is_some(), "cephfs: deprecated in v1.28, non-functional in v1.31+"),
            (spec.rbd.is_some(), "rbd: deprecated in v1.28, non-functional in v1.31+"),
        ] {
            if set {
                all.push(format!("spec.{words}"));
            }
        }
        all
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
        let nodes = |key: &str| json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "Exists"}]}]}});
        for (case, new, old, wrong) in [
            ("good", json!({}), None, vec![]),
            ("no capacity", json!({"capacity": {}}), None, vec!["spec.capacity", "spec.capacity"]),
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
            ("another volume mode", json!({"volumeMode": "Block"}), Some(json!({})), vec!["volumeMode"]),
            ("nodes found later", json!({"nodeAffinity": nodes("a")}), Some(json!({})), vec![]),
            (
                "other nodes",
                json!({"nodeAffinity": nodes("b")}),
                Some(json!({"nodeAffinity": nodes("a")})),
                vec!["nodeAffinity"],
            ),
            (
                "the same nodes by their new label",
                json!({"nodeAffinity": nodes("topology.kubernetes.io/zone")}),
                Some(json!({"nodeAffinity": nodes("failure-domain.beta.kubernetes.io/zone")})),
                vec![],
            ),
            (
                "an empty class of attributes",
                json!({"volumeAttributesClassName": ""}),
                None,
                vec!["spec.volumeAttributesClassName", "spec.csi"],
            ),
            (
                "a driver without handle and a secret nowhere",
                json!({"hostPath": null, "csi": {"driver": "d", "volumeHandle": "", "nodeStageSecretRef": {},
                    "nodePublishSecretRef": {"name": "s"}}}),
                None,
                vec!["spec.csi.volumeHandle", "spec.csi.nodePublishSecretRef.namespace"],
            ),
            (
                "a flex volume with an option of ours",
                json!({"hostPath": null, "flexVolume": {"driver": "d", "options": {"x.k8s.io/a": "b"}}}),
                None,
                vec!["spec.flexVolume.options[x.k8s.io/a]"],
            ),
            (
                "recycling the root",
                json!({"hostPath": {"path": "/."}, "persistentVolumeReclaimPolicy": "Recycle"}),
                None,
                vec!["spec.persistentVolumeReclaimPolicy"],
            ),
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
