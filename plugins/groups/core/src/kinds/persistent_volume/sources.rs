//! Where a persistent volume is: exactly one source, and the rules of each.

use sdk_api::k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolumeSpec, SecretReference};
use sdk_api::{Violations, names};
use sdk_workload::validate::each_invalid;
use sdk_workload::validate::volume::no_backsteps;
use sdk_workload::validate::volume::sources::{self as shared, Iscsi};
use serde_json::Value;

use super::super::fields::text;

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

/// The sources, in the order in which upstream looks at them, and under which name it speaks of each.
const ORDER: [(&str, &str); 21] = [
    ("hostPath", "hostPath"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephFS"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("scaleIO", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
];

/// The part of the spec that says where the storage is.
pub fn of(spec: &PersistentVolumeSpec) -> Value {
    let mut source = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = source.as_object_mut() {
        fields.retain(|name, _| !OTHER_FIELDS.contains(&name.as_str()));
    }
    source
}

/// What sources get that leave something out. Source: API reference.
pub fn defaults(spec: &mut PersistentVolumeSpec) {
    let fill = |field: &mut Option<String>, value: &str| {
        if text(field).is_empty() {
            *field = Some(value.into());
        }
    };
    if let Some(iscsi) = &mut spec.iscsi {
        fill(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut spec.rbd {
        fill(&mut rbd.pool, "rbd");
        fill(&mut rbd.user, "admin");
        fill(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut spec.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".into());
        disk.kind.get_or_insert_with(|| "Shared".into());
        disk.fs_type.get_or_insert_with(|| "ext4".into());
        disk.read_only.get_or_insert(false);
    }
    if let Some(scale) = &mut spec.scale_io {
        fill(&mut scale.storage_mode, "ThinProvisioned");
        fill(&mut scale.fs_type, "xfs");
    }
}

/// Checks that there is one source, and the source.
pub fn check(found: &mut Violations, spec: &PersistentVolumeSpec, name: &str) {
    let source = of(spec);
    let stated: Vec<_> =
        ORDER.iter().chain(&[("csi", "csi")]).filter(|(field, _)| source.get(field).is_some()).collect();
    let Some((first, more)) = stated.split_first() else {
        return found.required("spec", "must specify a volume type");
    };
    rules(found, spec, first.0, name);
    for (_, other) in more {
        found.forbidden(format!("spec.{other}"), "may not specify more than 1 volume type");
    }
}

fn rules(found: &mut Violations, spec: &PersistentVolumeSpec, first: &str, name: &str) {
    let path = format!("spec.{first}");
    let at = path.as_str();
    match first {
        "hostPath" => shared::host_path(found, spec.host_path.as_ref(), at),
        "gcePersistentDisk" => shared::gce_disk(found, spec.gce_persistent_disk.as_ref(), "spec.persistentDisk"),
        "awsElasticBlockStore" => shared::aws_disk(found, spec.aws_elastic_block_store.as_ref(), at),
        "flocker" => shared::flocker(found, spec.flocker.as_ref(), at),
        "nfs" => shared::nfs(found, spec.nfs.as_ref(), at),
        "quobyte" => shared::quobyte(found, spec.quobyte.as_ref(), at),
        "fc" => shared::fc(found, spec.fc.as_ref(), at),
        "azureDisk" => shared::azure_disk(found, spec.azure_disk.as_ref(), at),
        "iscsi" => iscsi(found, spec, name),
        "glusterfs" => {
            shared::needs(found, spec, at, first, &["endpoints", "path"]);
            let namespace = spec.glusterfs.as_ref().and_then(|source| source.endpoints_namespace.as_deref());
            let field = "spec.glusterfs.endpointsNamespace";
            match namespace {
                Some("") => {
                    let why = "if the endpointnamespace is set, it must be a valid namespace name";
                    found.invalid(field, "", why);
                }
                Some(namespace) => each_invalid(found, field, namespace, names::dns1123_label(namespace)),
                None => {}
            }
        }
        "cinder" => {
            shared::needs(found, spec, at, first, &["volumeID"]);
            if let Some(secret) = spec.cinder.as_ref().and_then(|cinder| cinder.secret_ref.as_ref()) {
                shared::filled(found, secret.name.as_deref(), "spec.cinder.secretRef.name");
                shared::filled(found, secret.namespace.as_deref(), "spec.cinder.secretRef.namespace");
            }
        }
        "flexVolume" => {
            shared::needs(found, spec, at, first, &["driver"]);
            shared::flex_options(found, spec.flex_volume.as_ref().and_then(|flex| flex.options.as_ref()), at);
        }
        "azureFile" => {
            shared::needs(found, spec, at, first, &["secretName", "shareName"]);
            if spec.azure_file.as_ref().and_then(|file| file.secret_namespace.as_deref()) == Some("") {
                found.required("spec.azureFile.secretNamespace", "");
            }
        }
        "local" => {
            let target = spec.local.as_ref().map_or("", |local| local.path.as_str());
            shared::filled(found, Some(target), "spec.local.path");
            no_backsteps(found, target, "spec.local.path");
            if spec.node_affinity.is_none() {
                found.required("spec.nodeAffinity", "Local volume requires node affinity");
            }
        }
        "storageos" => {
            let Some(volume) = &spec.storageos else { return };
            shared::storage_os(found, volume.volume_name.as_deref(), volume.volume_namespace.as_deref(), at);
            if let Some(secret) = &volume.secret_ref {
                shared::filled(found, secret.name.as_deref(), "spec.storageos.secretRef.name");
                shared::filled(found, secret.namespace.as_deref(), "spec.storageos.secretRef.namespace");
            }
        }
        "csi" => {
            if let Some(csi) = &spec.csi {
                self::csi(found, csi);
            }
        }
        simple => {
            let fields: &[&str] = match simple {
                "rbd" => &["monitors", "image"],
                "cephfs" => &["monitors"],
                "vsphereVolume" => &["volumePath"],
                "photonPersistentDisk" => &["pdID"],
                "portworxVolume" => &["volumeID"],
                "scaleIO" => &["gateway", "system", "volumeName"],
                _ => &[],
            };
            shared::needs(found, spec, at, simple, fields);
        }
    }
}

fn iscsi(found: &mut Violations, spec: &PersistentVolumeSpec, name: &str) {
    let Some(source) = &spec.iscsi else { return };
    let parts = Iscsi {
        target_portal: &source.target_portal,
        iqn: &source.iqn,
        lun: source.lun,
        chap: source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true),
        has_secret: source.secret_ref.is_some(),
        initiator: source.initiator_name.as_deref(),
    };
    if source.initiator_name.is_some() && name.len() + 1 + source.target_portal.len() > 64 {
        found.invalid("spec.iscsi.targetportal", source.target_portal.as_str(), shared::ISCSI_TOO_LONG);
    }
    shared::iscsi(found, &parts, "must be valid format", "spec.iscsi");
    if source.secret_ref.as_ref().is_some_and(|secret| text(&secret.name).is_empty()) {
        found.required("spec.iscsi.secretRef.name", "");
    }
}

fn csi(found: &mut Violations, csi: &CSIPersistentVolumeSource) {
    shared::csi_driver(found, &csi.driver, "spec.csi.driver");
    shared::filled(found, Some(&csi.volume_handle), "spec.csi.volumeHandle");
    for (field, secret) in [
        ("controllerPublishSecretRef", &csi.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &csi.controller_expand_secret_ref),
        ("nodePublishSecretRef", &csi.node_publish_secret_ref),
        ("nodeExpandSecretRef", &csi.node_expand_secret_ref),
    ] {
        if let Some(secret) = secret {
            self::secret(found, secret, &format!("spec.csi.{field}"));
        }
    }
}

fn secret(found: &mut Violations, secret: &SecretReference, path: &str) {
    match text(&secret.name) {
        "" => found.required(format!("{path}.name"), ""),
        name => each_invalid(found, &format!("{path}.name"), name, names::dns1123_subdomain(name)),
    }
    match text(&secret.namespace) {
        "" => found.required(format!("{path}.namespace"), ""),
        namespace => each_invalid(found, &format!("{path}.namespace"), namespace, names::dns1123_label(namespace)),
    }
}
