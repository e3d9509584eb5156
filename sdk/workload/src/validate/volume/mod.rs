//! Volumes of a pod: their names, and exactly one source each.

mod projected;
pub mod sources;

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{KeyToPath, PodSpec, Volume};
use sdk_api::{Violations, names};

use super::container::Volumes;
use super::{Options, claim, each_invalid};

/// The names of the sources that a volume states, in the order in which upstream looks at them.
pub(crate) fn sources_of(volume: &Volume) -> Vec<&'static str> {
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
        ("flocker", v.flocker.is_some()),
        ("persistentVolumeClaim", v.persistent_volume_claim.is_some()),
        ("rbd", v.rbd.is_some()),
        ("cinder", v.cinder.is_some()),
        ("cephFS", v.cephfs.is_some()),
        ("quobyte", v.quobyte.is_some()),
        ("downwarAPI", v.downward_api.is_some()),
        ("fc", v.fc.is_some()),
        ("flexVolume", v.flex_volume.is_some()),
        ("configMap", v.config_map.is_some()),
        ("azureFile", v.azure_file.is_some()),
        ("vsphereVolume", v.vsphere_volume.is_some()),
        ("photonPersistentDisk", v.photon_persistent_disk.is_some()),
        ("portworxVolume", v.portworx_volume.is_some()),
        ("azureDisk", v.azure_disk.is_some()),
        ("storageos", v.storageos.is_some()),
        ("projected", v.projected.is_some()),
        ("scaleIO", v.scale_io.is_some()),
        ("csi", v.csi.is_some()),
        ("ephemeral", v.ephemeral.is_some()),
        ("image", v.image.is_some()),
    ];
    all.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
}

/// Checks all volumes of a pod; gives those that are in order, which are the ones that can be mounted.
pub(super) fn volumes<'a>(found: &mut Violations, spec: &'a PodSpec, path: &str, options: Options<'_>) -> Volumes<'a> {
    let mut known = Volumes::new();
    let pod = options.pod.unwrap_or_default();
    let created: BTreeSet<String> = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.ephemeral.is_some() && !pod.is_empty())
        .map(|volume| format!("{pod}-{}", volume.name))
        .collect();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        let mut wrong = Violations::default();
        source(&mut wrong, volume, &path, options);
        let name = volume.name.as_str();
        let at = format!("{path}.name");
        if name.is_empty() {
            wrong.required(&at, "");
        } else {
            each_invalid(&mut wrong, &at, name, names::dns1123_label(name));
        }
        if known.contains_key(name) {
            wrong.duplicate(at, name);
        }
        if wrong.is_empty() {
            known.insert(name, volume);
        }
        found.extend(wrong);
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str());
        if let Some(claim) = claim.filter(|claim| created.contains(*claim)) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            found.invalid(format!("{path}.persistentVolumeClaim.claimName"), claim, why);
        }
    }
    known
}

fn source(found: &mut Violations, volume: &Volume, path: &str, options: Options<'_>) {
    let stated = sources_of(volume);
    let Some((first, more)) = stated.split_first() else {
        return found.required(path, "must specify a volume type");
    };
    rules(found, volume, first, path, options);
    for other in more {
        found.forbidden(format!("{path}.{other}"), "may not specify more than 1 volume type");
    }
}

/// What holds for the one source that counts.
fn rules(found: &mut Violations, v: &Volume, first: &str, path: &str, options: Options<'_>) {
    let at = format!("{path}.{first}");
    match first {
        "emptyDir" => sources::empty_dir(found, v.empty_dir.as_ref(), &at),
        "hostPath" => sources::host_path(found, v.host_path.as_ref(), &at),
        "gitRepo" => sources::git_repo(found, v.git_repo.as_ref(), &at),
        "gcePersistentDisk" => {
            sources::gce_disk(found, v.gce_persistent_disk.as_ref(), &format!("{path}.persistentDisk"));
        }
        "awsElasticBlockStore" => sources::aws_disk(found, v.aws_elastic_block_store.as_ref(), &at),
        "nfs" => sources::nfs(found, v.nfs.as_ref(), &at),
        "flocker" => sources::flocker(found, v.flocker.as_ref(), &at),
        "quobyte" => sources::quobyte(found, v.quobyte.as_ref(), &at),
        "fc" => sources::fc(found, v.fc.as_ref(), &at),
        "azureDisk" => sources::azure_disk(found, v.azure_disk.as_ref(), &at),
        "iscsi" => sources::iscsi_of_pod(found, v, path),
        "cephFS" => sources::needs(found, v, &format!("{path}.cephfs"), "cephfs", &["monitors"]),
        "flexVolume" => {
            sources::needs(found, v, &at, first, &["driver"]);
            sources::flex_options(found, v.flex_volume.as_ref().and_then(|flex| flex.options.as_ref()), &at);
        }
        "cinder" => {
            sources::needs(found, v, &at, first, &["volumeID"]);
            sources::secret_name(found, v.cinder.as_ref().and_then(|c| c.secret_ref.as_ref()), &at);
        }
        "storageos" => sources::storage_os_of_pod(found, v.storageos.as_ref(), &at),
        "secret" => {
            let secret = v.secret.clone().unwrap_or_default();
            sources::filled(found, secret.secret_name.as_deref(), &format!("{at}.secretName"));
            mode(found, secret.default_mode, &format!("{at}.defaultMode"));
            items(found, secret.items.as_deref(), &format!("{at}.items"));
        }
        "configMap" => {
            let map = v.config_map.clone().unwrap_or_default();
            sources::filled(found, Some(&map.name), &format!("{at}.name"));
            mode(found, map.default_mode, &format!("{at}.defaultMode"));
            items(found, map.items.as_deref(), &format!("{at}.items"));
        }
        "downwarAPI" => {
            let (downward, at) = (v.downward_api.clone().unwrap_or_default(), format!("{path}.downwardAPI"));
            mode(found, downward.default_mode, &format!("{at}.defaultMode"));
            for file in downward.items.iter().flatten() {
                projected::downward_file(found, file, &at);
            }
        }
        "projected" => {
            if let Some(sources) = &v.projected {
                projected::projected(found, sources, &at);
            }
        }
        "csi" => sources::csi_of_pod(found, v.csi.as_ref(), &at),
        "ephemeral" => ephemeral(found, v, path, options),
        "image" => {
            let image = v.image.clone().unwrap_or_default();
            if options.pod.is_some() {
                sources::filled(found, image.reference.as_deref(), &format!("{at}.reference"));
            }
            let policies = ["Always", "IfNotPresent", "Never"];
            super::one_of(found, &format!("{at}.pullPolicy"), image.pull_policy.as_deref(), &policies);
        }
        simple => {
            let fields: &[&str] = match simple {
                "glusterfs" => &["endpoints", "path"],
                "persistentVolumeClaim" => &["claimName"],
                "rbd" => &["monitors", "image"],
                "azureFile" => &["secretName", "shareName"],
                "vsphereVolume" => &["volumePath"],
                "photonPersistentDisk" => &["pdID"],
                "portworxVolume" => &["volumeID"],
                "scaleIO" => &["gateway", "system", "volumeName"],
                _ => &[],
            };
            sources::needs(found, v, &at, simple, fields);
        }
    }
}

/// A claim that comes and goes with the pod. Source: KEP-1698.
fn ephemeral(found: &mut Violations, volume: &Volume, path: &str, options: Options<'_>) {
    let at = format!("{path}.ephemeral.volumeClaimTemplate");
    match volume.ephemeral.as_ref().and_then(|ephemeral| ephemeral.volume_claim_template.as_ref()) {
        None => found.required(at, ""),
        Some(template) => {
            if let Some(meta) = &template.metadata {
                super::metadata::template_metadata(found, meta, &format!("{at}.metadata"));
            }
            claim::claim_spec(found, &template.spec, &format!("{at}.spec"));
        }
    }
    if let Some(pod) = options.pod.filter(|pod| !pod.is_empty() && !volume.name.is_empty()) {
        let claim = format!("{pod}-{}", volume.name);
        for why in names::dns1123_subdomain(&claim) {
            found.invalid(format!("{path}.name"), volume.name.as_str(), format!("PVC name {claim:?}: {why}"));
        }
    }
}

pub(super) fn mode(found: &mut Violations, mode: Option<i32>, path: &str) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        found.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

pub(super) fn items(found: &mut Violations, items: Option<&[KeyToPath]>, path: &str) {
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

/// A path that stays below where it starts.
pub(crate) fn descending(found: &mut Violations, target: &str, path: &str) {
    if target.starts_with('/') {
        found.invalid(path, target, "must be a relative path");
    }
    no_backsteps(found, target, path);
}

/// A path that never climbs.
pub fn no_backsteps(found: &mut Violations, target: &str, path: &str) {
    if target.split('/').any(|part| part == "..") {
        found.invalid(path, target, "must not contain '..'");
    }
}

/// A path below a volume whose top is the volume plugin's own (`..data`).
pub(super) fn non_reserved(found: &mut Violations, target: &str, path: &str) {
    descending(found, target, path);
    if target.starts_with("..") && !target.starts_with("../") && target != ".." {
        found.invalid(path, target, "must not start with '..'");
    }
}
