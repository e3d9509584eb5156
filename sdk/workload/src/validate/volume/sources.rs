//! The rules of each volume source. Those that pods and persistent volumes share are public.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{
    AWSElasticBlockStoreVolumeSource, AzureDiskVolumeSource, CSIVolumeSource, EmptyDirVolumeSource, FCVolumeSource,
    FlockerVolumeSource, GCEPersistentDiskVolumeSource, GitRepoVolumeSource, HostPathVolumeSource,
    LocalObjectReference, NFSVolumeSource, QuobyteVolumeSource, StorageOSVolumeSource, Volume,
};
use sdk_api::{Quantity, Violations, names};
use serde::Serialize;
use serde_json::Value;

use super::super::{each_invalid, one_of_if_set, shown};
use super::{descending, no_backsteps};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const LUN: &str = "must be between 0 and 255, inclusive";
const PARTITION: &str = "must be between 1 and 255, inclusive";

/// A text that must be there.
pub fn filled(found: &mut Violations, text: Option<&str>, path: &str) {
    if text.unwrap_or_default().is_empty() {
        found.required(path, "");
    }
}

/// Fields without which a source is useless: `of` is the document that holds the source under `name`.
pub fn needs<T: Serialize>(found: &mut Violations, of: &T, path: &str, name: &str, fields: &[&str]) {
    let document = shown(of);
    for field in fields {
        let missing = match &document[name][*field] {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if missing {
            found.required(format!("{path}.{field}"), "");
        }
    }
}

pub(super) fn empty_dir(found: &mut Violations, dir: Option<&EmptyDirVolumeSource>, path: &str) {
    if let Some(limit) = dir.and_then(|dir| dir.size_limit.as_ref())
        && limit.0.parse::<Quantity>().map_or(true, Quantity::is_negative)
    {
        found.forbidden(format!("{path}.sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
}

/// A directory or file of the node.
pub fn host_path(found: &mut Violations, host: Option<&HostPathVolumeSource>, path: &str) {
    let Some(host) = host else { return };
    if host.path.is_empty() {
        return found.required(format!("{path}.path"), "");
    }
    no_backsteps(found, &host.path, &format!("{path}.path"));
    one_of_if_set(found, &format!("{path}.type"), host.type_.as_deref(), &HOST_PATH_TYPES);
}

pub(super) fn git_repo(found: &mut Violations, repo: Option<&GitRepoVolumeSource>, path: &str) {
    let Some(repo) = repo else { return };
    filled(found, Some(&repo.repository), &format!("{path}.repository"));
    descending(found, repo.directory.as_deref().unwrap_or_default(), &format!("{path}.directory"));
}

/// A disk of Google Compute Engine.
pub fn gce_disk(found: &mut Violations, disk: Option<&GCEPersistentDiskVolumeSource>, path: &str) {
    let Some(disk) = disk else { return };
    filled(found, Some(&disk.pd_name), &format!("{path}.pdName"));
    partition(found, disk.partition, path);
}

/// A disk of AWS.
pub fn aws_disk(found: &mut Violations, disk: Option<&AWSElasticBlockStoreVolumeSource>, path: &str) {
    let Some(disk) = disk else { return };
    filled(found, Some(&disk.volume_id), &format!("{path}.volumeID"));
    partition(found, disk.partition, path);
}

fn partition(found: &mut Violations, partition: Option<i32>, path: &str) {
    if let Some(number) = partition.filter(|number| !(0..=255).contains(number)) {
        found.invalid(format!("{path}.partition"), number, PARTITION);
    }
}

/// A directory of an NFS server.
pub fn nfs(found: &mut Violations, nfs: Option<&NFSVolumeSource>, path: &str) {
    let Some(nfs) = nfs else { return };
    filled(found, Some(&nfs.server), &format!("{path}.server"));
    filled(found, Some(&nfs.path), &format!("{path}.path"));
    if !nfs.path.starts_with('/') {
        found.invalid(format!("{path}.path"), nfs.path.as_str(), "must be an absolute path");
    }
}

/// A Flocker dataset, by name or by uid.
pub fn flocker(found: &mut Violations, flocker: Option<&FlockerVolumeSource>, path: &str) {
    let Some(flocker) = flocker else { return };
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (name, uuid) = (text(&flocker.dataset_name), text(&flocker.dataset_uuid));
    if name.is_empty() && uuid.is_empty() {
        found.required(path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        found.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        found.invalid(format!("{path}.datasetName"), name, "must not contain '/'");
    }
}

/// A Quobyte volume.
pub fn quobyte(found: &mut Violations, quobyte: Option<&QuobyteVolumeSource>, path: &str) {
    let Some(quobyte) = quobyte else { return };
    let pairs = "must be a host:port pair or multiple pairs separated by commas";
    let registry = format!("{path}.registry");
    if quobyte.registry.is_empty() {
        found.required(registry, pairs);
    } else if quobyte.tenant.as_ref().is_some_and(|tenant| tenant.len() >= 65) {
        found.required(format!("{path}.tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in quobyte.registry.split(',').filter(|pair| !is_host_and_port(pair)) {
            found.invalid(&registry, quobyte.registry.as_str(), pairs);
        }
    }
    filled(found, Some(&quobyte.volume), &format!("{path}.volume"));
}

fn is_host_and_port(pair: &str) -> bool {
    match pair.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").is_some_and(|(_, port)| !port.contains(':')),
        None => pair.matches(':').count() == 1,
    }
}

/// A Fibre Channel volume.
pub fn fc(found: &mut Violations, fc: Option<&FCVolumeSource>, path: &str) {
    let Some(fc) = fc else { return };
    let names = fc.target_wwns.as_deref().unwrap_or_default();
    let ids = fc.wwids.as_deref().unwrap_or_default();
    let at = format!("{path}.targetWWNs");
    if names.is_empty() && ids.is_empty() {
        found.required(&at, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        found.invalid(&at, names.to_vec(), "targetWWNs and wwids can not be specified simultaneously");
    }
    match fc.lun {
        _ if names.is_empty() => {}
        None => found.required(format!("{path}.lun"), "lun is required if targetWWNs is specified"),
        Some(lun) if !(0..=255).contains(&lun) => found.invalid(format!("{path}.lun"), lun, LUN),
        Some(_) => {}
    }
}

/// A disk of Azure.
pub fn azure_disk(found: &mut Violations, disk: Option<&AzureDiskVolumeSource>, path: &str) {
    let Some(disk) = disk else { return };
    filled(found, Some(&disk.disk_name), &format!("{path}.diskName"));
    filled(found, Some(&disk.disk_uri), &format!("{path}.diskURI"));
    let caching = ["None", "ReadOnly", "ReadWrite"];
    one_of_if_set(found, &format!("{path}.cachingMode"), disk.caching_mode.as_deref(), &caching);
    one_of_if_set(found, &format!("{path}.kind"), disk.kind.as_deref(), &["Dedicated", "Managed", "Shared"]);
    let (start, form) = match disk.kind.as_deref() {
        None => return,
        Some("Managed") => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        Some(_) => ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
    };
    if !disk.disk_uri.starts_with(start) {
        found.not_supported(format!("{path}.diskURI"), disk.disk_uri.as_str(), &[form]);
    }
}

/// What iSCSI volumes of pods and persistent volumes share.
pub struct Iscsi<'a> {
    pub target_portal: &'a str,
    pub iqn: &'a str,
    pub lun: i32,
    pub chap: bool,
    pub has_secret: bool,
    pub initiator: Option<&'a str>,
}

/// An iSCSI volume; `own_form` is what upstream says of a name of no known form.
pub fn iscsi(found: &mut Violations, iscsi: &Iscsi<'_>, own_form: &str, path: &str) {
    filled(found, Some(iscsi.target_portal), &format!("{path}.targetPortal"));
    if iscsi.iqn.is_empty() {
        found.required(format!("{path}.iqn"), "");
    } else {
        initiator_form(found, iscsi.iqn, own_form, &format!("{path}.iqn"));
    }
    if !(0..=255).contains(&iscsi.lun) {
        found.invalid(format!("{path}.lun"), iscsi.lun, LUN);
    }
    if iscsi.chap && !iscsi.has_secret {
        found.required(format!("{path}.secretRef"), "");
    }
    if let Some(initiator) = iscsi.initiator {
        let form = "must be valid format starting with iqn, eui, or naa";
        initiator_form(found, initiator, form, &format!("{path}.initiatorname"));
    }
}

/// `iqn.2001-04.com.example:storage`, `eui.` and 16 digits, or `naa.` and 32. Source: RFC 7143 section 4.2.7.
fn initiator_form(found: &mut Violations, name: &str, unknown: &str, path: &str) {
    let digits = |rest: &str, count: usize| rest.len() == count && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let after = |start: usize| name.get(start..).unwrap_or_default();
    let fits = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => digits(after(4), 16),
        Some("naa") => digits(after(4), 32),
        _ => return found.invalid(path, name, unknown),
    };
    if !fits {
        found.invalid(path, name, "must be valid format");
    }
}

fn is_iqn(name: &str) -> bool {
    let Some((date, rest)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_once('.')) else { return false };
    let Some((authority, own)) = rest.split_once(':') else { return false };
    let number = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    date.split_once('-').is_some_and(|(year, month)| number(year, 4) && number(month, 2))
        && !authority.is_empty()
        && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        && !own.is_empty()
        && !own.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n'])
}

pub(super) fn iscsi_of_pod(found: &mut Violations, volume: &Volume, path: &str) {
    let Some(source) = &volume.iscsi else { return };
    let parts = Iscsi {
        target_portal: &source.target_portal,
        iqn: &source.iqn,
        lun: source.lun,
        chap: source.chap_auth_discovery == Some(true) || source.chap_auth_session == Some(true),
        has_secret: source.secret_ref.is_some(),
        initiator: source.initiator_name.as_deref(),
    };
    let form = "must be valid format starting with iqn, eui, or naa";
    iscsi(found, &parts, form, &format!("{path}.iscsi"));
    if source.initiator_name.is_some() && volume.name.len() + 1 + source.target_portal.len() > 64 {
        found.invalid(format!("{path}.name"), volume.name.as_str(), ISCSI_TOO_LONG);
    }
}

/// What is wrong with an iSCSI volume whose names are too long together.
pub const ISCSI_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
    iscsi.initiatorName is specified.";

/// Options of a flex volume: the names of Kubernetes are its own.
pub fn flex_options(found: &mut Violations, options: Option<&BTreeMap<String, String>>, path: &str) {
    for key in options.into_iter().flatten().map(|(key, _)| key) {
        let domain = key.split_once('/').map_or(key.as_str(), |(domain, _)| domain);
        let domain = format!(".{}", domain.to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            found.invalid(format!("{path}.options[{key}]"), key.as_str(), why);
        }
    }
}

pub(super) fn secret_name(found: &mut Violations, secret: Option<&LocalObjectReference>, path: &str) {
    if secret.is_some_and(|secret| secret.name.is_empty()) {
        found.required(format!("{path}.secretRef.name"), "");
    }
}

pub(super) fn storage_os_of_pod(found: &mut Violations, volume: Option<&StorageOSVolumeSource>, path: &str) {
    let Some(volume) = volume else { return };
    storage_os(found, volume.volume_name.as_deref(), volume.volume_namespace.as_deref(), path);
    secret_name(found, volume.secret_ref.as_ref(), path);
}

/// A StorageOS volume.
pub fn storage_os(found: &mut Violations, name: Option<&str>, namespace: Option<&str>, path: &str) {
    match name.unwrap_or_default() {
        "" => found.required(format!("{path}.volumeName"), ""),
        name => each_invalid(found, &format!("{path}.volumeName"), name, names::dns1123_label(name)),
    }
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        each_invalid(found, &format!("{path}.volumeNamespace"), namespace, names::dns1123_label(namespace));
    }
}

pub(super) fn csi_of_pod(found: &mut Violations, csi: Option<&CSIVolumeSource>, path: &str) {
    let Some(csi) = csi else { return };
    csi_driver(found, &csi.driver, &format!("{path}.driver"));
    match csi.node_publish_secret_ref.as_ref().map(|secret| secret.name.as_str()) {
        None => {}
        Some("") => found.required(format!("{path}.nodePublishSecretRef.name"), ""),
        Some(name) => each_invalid(found, &format!("{path}.name"), name, names::dns1123_subdomain(name)),
    }
}

/// The name of a CSI driver: a subdomain in any case, at most 63 bytes.
pub fn csi_driver(found: &mut Violations, driver: &str, path: &str) {
    filled(found, Some(driver), path);
    if driver.len() > 63 {
        found.too_long(path, 63);
    }
    each_invalid(found, path, driver, names::dns1123_subdomain(&driver.to_lowercase()));
}
