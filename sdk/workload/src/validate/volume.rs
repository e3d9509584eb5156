//! Volumes: their names, exactly one source each, and the rules of each source.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, PodSpec, ProjectedVolumeSource, Volume, VolumeProjection,
};
use sdk_api::{Quantity, Violations, names};
use serde_json::Value;

use super::container::Volumes;
use super::{claim, each_invalid, env, one_of, one_of_if_set};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Fields without which a source is useless, by source. The sources with rules of their own are below.
const REQUIRED: [(&str, &[&str]); 17] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("vsphereVolume", &["volumePath"]),
];

/// The names of the sources that a volume states.
pub(crate) fn sources(volume: &Volume) -> Vec<&'static str> {
    let v = volume;
    let all = [
        ("emptyDir", v.empty_dir.is_some()),
        ("hostPath", v.host_path.is_some()),
        ("gitRepo", v.git_repo.is_some()),
        ("gcePersistentDisk", v.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", v.aws_elastic_block_store.is_some()),
        ("secret", v.secret.is_some()),
        ("nfs", v.nfs.is_some()),
        ("iscsi", v.iscsi.is_some()),
        ("glusterfs", v.glusterfs.is_some()),
        ("persistentVolumeClaim", v.persistent_volume_claim.is_some()),
        ("rbd", v.rbd.is_some()),
        ("cinder", v.cinder.is_some()),
        ("cephfs", v.cephfs.is_some()),
        ("flocker", v.flocker.is_some()),
        ("downwardAPI", v.downward_api.is_some()),
        ("fc", v.fc.is_some()),
        ("flexVolume", v.flex_volume.is_some()),
        ("configMap", v.config_map.is_some()),
        ("azureFile", v.azure_file.is_some()),
        ("vsphereVolume", v.vsphere_volume.is_some()),
        ("quobyte", v.quobyte.is_some()),
        ("azureDisk", v.azure_disk.is_some()),
        ("photonPersistentDisk", v.photon_persistent_disk.is_some()),
        ("portworxVolume", v.portworx_volume.is_some()),
        ("scaleIO", v.scale_io.is_some()),
        ("storageos", v.storageos.is_some()),
        ("projected", v.projected.is_some()),
        ("csi", v.csi.is_some()),
        ("ephemeral", v.ephemeral.is_some()),
        ("image", v.image.is_some()),
    ];
    all.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
}

/// Checks all volumes of a pod; gives those with a usable name.
pub(super) fn volumes<'a>(found: &mut Violations, spec: &'a PodSpec, path: &str) -> Volumes<'a> {
    let mut known = Volumes::new();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        source(found, volume, &path);
        let name = volume.name.as_str();
        let at = format!("{path}.name");
        if name.is_empty() {
            found.required(at, "");
            continue;
        }
        let wrong = names::dns1123_label(name);
        if !wrong.is_empty() {
            each_invalid(found, &at, name, wrong);
        } else if known.insert(name, volume).is_some() {
            found.duplicate(at, name);
        }
    }
    known
}

fn source(found: &mut Violations, volume: &Volume, path: &str) {
    let stated = sources(volume);
    let Some((first, more)) = stated.split_first() else {
        return found.required(path, "must specify a volume type");
    };
    for other in more {
        found.forbidden(format!("{path}.{other}"), "may not specify more than 1 volume type");
    }
    let at = |field: &str| format!("{path}.{first}.{field}");
    if let Some((_, fields)) = REQUIRED.iter().find(|(name, _)| name == first) {
        let document = serde_json::to_value(volume).unwrap_or(Value::Null);
        for field in *fields {
            let missing = match &document[*first][*field] {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            if missing {
                found.required(at(field), "");
            }
        }
    }
    rules(found, volume, &at);
}

/// What holds for the sources that are more than required fields.
fn rules(found: &mut Violations, volume: &Volume, at: &dyn Fn(&str) -> String) {
    if let Some(limit) = volume.empty_dir.as_ref().and_then(|dir| dir.size_limit.as_ref())
        && limit.0.parse::<Quantity>().map_or(true, Quantity::is_negative)
    {
        found.forbidden(at("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    } else if let Some(host) = &volume.host_path {
        if host.path.is_empty() {
            found.required(at("path"), "");
        }
        no_backsteps(found, &host.path, &at("path"));
        one_of_if_set(found, &at("type"), host.type_.as_deref(), &HOST_PATH_TYPES);
    } else if let Some(secret) = &volume.secret {
        if secret.secret_name.as_deref().unwrap_or_default().is_empty() {
            found.required(at("secretName"), "");
        }
        mode(found, secret.default_mode, &at("defaultMode"));
        items(found, secret.items.as_deref(), &at("items"));
    } else if let Some(map) = &volume.config_map {
        if map.name.is_empty() {
            found.required(at("name"), "");
        }
        mode(found, map.default_mode, &at("defaultMode"));
        items(found, map.items.as_deref(), &at("items"));
    } else if let Some(claim) = &volume.persistent_volume_claim {
        if claim.claim_name.is_empty() {
            found.required(at("claimName"), "");
        }
    } else if let Some(downward) = &volume.downward_api {
        mode(found, downward.default_mode, &at("defaultMode"));
        for file in downward.items.iter().flatten() {
            downward_file(found, file, &at("items").replace(".items", ""));
        }
    } else if let Some(projected) = &volume.projected {
        self::projected(found, projected, &at("x").replace(".x", ""));
    } else if let Some(csi) = &volume.csi {
        if csi.driver.is_empty() {
            found.required(at("driver"), "");
        } else {
            each_invalid(found, &at("driver"), &csi.driver, names::dns1123_subdomain(&csi.driver.to_lowercase()));
        }
    } else if let Some(ephemeral) = &volume.ephemeral {
        match &ephemeral.volume_claim_template {
            None => found.required(at("volumeClaimTemplate"), ""),
            Some(template) => claim::claim_spec(found, &template.spec, &at("volumeClaimTemplate.spec")),
        }
    } else if let Some(image) = &volume.image {
        if image.reference.as_deref().unwrap_or_default().is_empty() {
            found.required(at("reference"), "");
        }
        one_of(found, &at("pullPolicy"), image.pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"]);
    } else if let Some(nfs) = &volume.nfs
        && !nfs.path.is_empty()
        && !nfs.path.starts_with('/')
    {
        found.invalid(at("path"), nfs.path.as_str(), "must be an absolute path");
    } else if let Some(iscsi) = &volume.iscsi
        && !(0..=255).contains(&iscsi.lun)
    {
        found.invalid(at("lun"), iscsi.lun, "must be between 0 and 255, inclusive");
    }
}

fn mode(found: &mut Violations, mode: Option<i32>, path: &str) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        found.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

fn items(found: &mut Violations, items: Option<&[KeyToPath]>, path: &str) {
    for (i, item) in items.into_iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if item.key.is_empty() {
            found.required(at("key"), "");
        }
        if item.path.is_empty() {
            found.required(at("path"), "");
        }
        non_reserved(found, &item.path, &at("path"));
        mode(found, item.mode, &at("mode"));
    }
}

fn downward_file(found: &mut Violations, file: &DownwardAPIVolumeFile, path: &str) {
    if file.path.is_empty() {
        found.required(format!("{path}.path"), "");
    }
    non_reserved(found, &file.path, &format!("{path}.path"));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            env::field_ref(found, field, false, &format!("{path}.fieldRef"));
            if resource.is_some() {
                found.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
        }
        (None, Some(resource)) => env::resource_ref(found, resource, true, &format!("{path}.resourceFieldRef")),
        (None, None) => found.required(path, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(found, file.mode, &format!("{path}.mode"));
}

fn projected(found: &mut Violations, projected: &ProjectedVolumeSource, path: &str) {
    mode(found, projected.default_mode, &format!("{path}.defaultMode"));
    let mut paths = BTreeSet::new();
    for (i, source) in projected.sources.iter().flatten().enumerate() {
        let path = format!("{path}.sources[{i}]");
        projection(found, source, &path);
        for taken in projected_paths(source) {
            if !taken.is_empty() && !paths.insert(taken) {
                found.invalid(&path, taken, format!("conflicting duplicate paths: {taken}"));
            }
        }
    }
}

/// Where a source puts files, as far as it says.
fn projected_paths(source: &VolumeProjection) -> Vec<&str> {
    let items = source.secret.iter().flat_map(|s| s.items.iter().flatten());
    let items = items.chain(source.config_map.iter().flat_map(|c| c.items.iter().flatten()));
    let mut paths: Vec<&str> = items.map(|item| item.path.as_str()).collect();
    paths.extend(source.downward_api.iter().flat_map(|d| d.items.iter().flatten()).map(|file| file.path.as_str()));
    paths.extend(source.service_account_token.iter().map(|token| token.path.as_str()));
    paths.extend(source.cluster_trust_bundle.iter().map(|bundle| bundle.path.as_str()));
    paths
}

fn projection(found: &mut Violations, source: &VolumeProjection, path: &str) {
    let stated: Vec<&str> = [
        ("secret", source.secret.is_some()),
        ("configMap", source.config_map.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("serviceAccountToken", source.service_account_token.is_some()),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some()),
        ("podCertificate", source.pod_certificate.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, set)| set.then_some(name))
    .collect();
    if stated.is_empty() {
        found.required(path, "must specify a volume type");
    }
    for other in stated.iter().skip(1) {
        found.forbidden(format!("{path}.{other}"), "may not specify more than 1 volume type per source");
    }
    if let Some(secret) = &source.secret {
        if secret.name.is_empty() {
            found.required(format!("{path}.secret.name"), "");
        }
        items(found, secret.items.as_deref(), &format!("{path}.secret.items"));
    }
    if let Some(map) = &source.config_map {
        if map.name.is_empty() {
            found.required(format!("{path}.configMap.name"), "");
        }
        items(found, map.items.as_deref(), &format!("{path}.configMap.items"));
    }
    for file in source.downward_api.iter().flat_map(|downward| downward.items.iter().flatten()) {
        downward_file(found, file, &format!("{path}.downwardAPI"));
    }
    if let Some(token) = &source.service_account_token {
        let at = |field: &str| format!("{path}.serviceAccountToken.{field}");
        match token.expiration_seconds {
            Some(seconds) if seconds < 600 => {
                found.invalid(at("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
            }
            Some(seconds) if seconds > 1 << 32 => {
                found.invalid(at("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
        if token.path.is_empty() {
            found.required(at("path"), "");
        } else {
            non_reserved(found, &token.path, &at("path"));
        }
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        let at = |field: &str| format!("{path}.clusterTrustBundle.{field}");
        if bundle.name.is_some() == bundle.signer_name.is_some() {
            let why = "exactly one of signerName or name must be specified";
            found.required(format!("{path}.clusterTrustBundle"), why);
        }
        if bundle.path.is_empty() {
            found.required(at("path"), "");
        }
        non_reserved(found, &bundle.path, &at("path"));
    }
}

/// A path that stays below where it starts.
pub(super) fn descending(found: &mut Violations, target: &str, path: &str) {
    if target.starts_with('/') {
        found.invalid(path, target, "must be a relative path");
    }
    no_backsteps(found, target, path);
}

pub(super) fn no_backsteps(found: &mut Violations, target: &str, path: &str) {
    if target.split('/').any(|part| part == "..") {
        found.invalid(path, target, "must not contain '..'");
    }
}

/// A path below a volume whose top is the volume plugin's own (`..data`).
fn non_reserved(found: &mut Violations, target: &str, path: &str) {
    descending(found, target, path);
    if target.starts_with("..") && !target.starts_with("../") {
        found.invalid(path, target, "must not start with '..'");
    }
}
