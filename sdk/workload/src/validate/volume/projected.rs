//! Projected volumes: several sources in one directory, and the files of the downward API.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, DownwardAPIVolumeFile, KeyToPath, PodCertificateProjection, ProjectedVolumeSource,
};
use sdk_api::{Violations, checks, names};

use super::super::{each_invalid, env, shown};
use super::{items, mode, non_reserved};

const DUPLICATE: &str = "conflicting duplicate paths";

pub(super) fn downward_file(found: &mut Violations, file: &DownwardAPIVolumeFile, path: &str) {
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

/// Checks the sources, and that no two write one file.
pub(super) fn projected(found: &mut Violations, projected: &ProjectedVolumeSource, path: &str) {
    mode(found, projected.default_mode, &format!("{path}.defaultMode"));
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (i, source) in projected.sources.iter().flatten().enumerate() {
        let at = format!("{path}.sources[{i}]");
        let mut count = 0;
        let keyed = source.secret.iter().map(|secret| ("secret", &secret.name, &secret.items));
        for (kind, name, list) in keyed.chain(source.config_map.iter().map(|map| ("configMap", &map.name, &map.items)))
        {
            count += 1;
            if name.is_empty() {
                found.required(format!("{at}.{kind}.name"), "");
            }
            items(found, list.as_deref(), &format!("{at}.{kind}.items"));
            key_paths(found, list.as_deref(), name, &mut taken, path);
        }
        if let Some(downward) = &source.downward_api {
            count += 1;
            for file in downward.items.iter().flatten() {
                downward_file(found, file, &format!("{at}.downwardAPI"));
                take(found, &file.path, &file.path, &mut taken, path);
            }
        }
        if let Some(token) = &source.service_account_token {
            count += 1;
            let seconds = token.expiration_seconds.unwrap_or(3600);
            let field = format!("{at}.serviceAccountToken.expirationSeconds");
            if seconds < 600 {
                found.invalid(&field, seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds > 1 << 32 {
                found.invalid(&field, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            if token.path.is_empty() {
                found.required(format!("{path}.path"), "");
            } else {
                non_reserved(found, &token.path, &format!("{path}.path"));
            }
        }
        if let Some(bundle) = &source.cluster_trust_bundle {
            count += 1;
            trust_bundle(found, bundle, &format!("{at}.clusterTrustBundle"));
            take(found, &bundle.path, &bundle.path, &mut taken, path);
        }
        if let Some(certificate) = &source.pod_certificate {
            count += 1;
            pod_certificate(found, certificate, &mut taken, path, &format!("{at}.podCertificate"));
        }
        if count > 1 {
            found.forbidden(at, "may not specify more than 1 volume type per source");
        }
    }
}

fn key_paths(
    found: &mut Violations,
    items: Option<&[KeyToPath]>,
    source: &str,
    taken: &mut BTreeSet<String>,
    path: &str,
) {
    for item in items.into_iter().flatten() {
        take(found, &item.path, source, taken, path);
    }
}

/// Notes that a file is written; `shown` is what a second writer's message names.
fn take(found: &mut Violations, file: &str, shown: &str, taken: &mut BTreeSet<String>, path: &str) {
    if !file.is_empty() && !taken.insert(file.to_owned()) {
        found.invalid(path, shown, DUPLICATE);
    }
}

/// Source: KEP-3257.
fn trust_bundle(found: &mut Violations, bundle: &ClusterTrustBundleProjection, path: &str) {
    match (&bundle.name, &bundle.signer_name) {
        (Some(_), Some(_)) => found.invalid(path, shown(bundle), "only one of name and signerName may be used"),
        (Some(name), None) => {
            let field = format!("{path}.name");
            if name.is_empty() {
                found.required(&field, "must be a valid object name");
            }
            for why in bundle_name(name) {
                found.invalid(&field, name.as_str(), format!("not a valid clustertrustbundlename: {why}"));
            }
            if bundle.label_selector.is_some() {
                let why = "labelSelector must be unset if name is specified";
                found.invalid(format!("{path}.labelSelector"), shown(&bundle.label_selector), why);
            }
        }
        (None, Some(signer)) => {
            let field = format!("{path}.signerName");
            if signer.is_empty() {
                found.required(&field, "must be a valid signer name");
            }
            signer_name(found, signer, &field);
            if let Some(selector) = &bundle.label_selector {
                checks::label_selector(found, format!("{path}.labelSelector"), selector);
            }
        }
        (None, None) => found.required(path, "either name or signerName must be specified"),
    }
    if bundle.path.is_empty() {
        found.required(format!("{path}.path"), "");
    }
    non_reserved(found, &bundle.path, &format!("{path}.path"));
}

/// `signer:domain:name` for the bundles of a signer, else a subdomain.
fn bundle_name(name: &str) -> Vec<String> {
    names::dns1123_subdomain(name.rsplit_once(':').map_or(name, |(_, own)| own))
}

/// `example.com/signer`. Source: API reference, "CertificateSigningRequestSpec".
fn signer_name(found: &mut Violations, signer: &str, path: &str) {
    match signer.split('/').collect::<Vec<_>>().as_slice() {
        [domain, name] if !domain.is_empty() && !name.is_empty() => {
            each_invalid(found, path, signer, names::dns1123_subdomain(domain));
            if domain.split('.').count() < 2 {
                found.invalid(path, signer, "should be a domain with at least two segments separated by dots");
            }
            if name.split('.').any(|part| !names::dns1123_subdomain(part).is_empty()) {
                found.invalid(path, signer, "the part after '/' must be made of DNS labels joined by dots");
            }
        }
        _ => found.invalid(
            path,
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
    }
}

/// Source: KEP-4317.
fn pod_certificate(
    found: &mut Violations,
    certificate: &PodCertificateProjection,
    taken: &mut BTreeSet<String>,
    volume: &str,
    path: &str,
) {
    signer_name(found, &certificate.signer_name, &format!("{path}.signerName"));
    const KEYS: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    if !KEYS.contains(&certificate.key_type.as_str()) {
        found.not_supported_in_order(format!("{path}.keyType"), certificate.key_type.as_str(), &KEYS);
    }
    if let Some(seconds) = certificate.max_expiration_seconds {
        let field = format!("{path}.maxExpirationSeconds");
        if seconds < 3600 {
            found.invalid(field, seconds, "if provided, maxExpirationSeconds must be >= 3600");
        } else if seconds > 7_862_400 {
            found.invalid(field, seconds, "if provided, maxExpirationSeconds must be <= 7862400");
        }
    }
    let mut any = false;
    for (field, file) in [
        ("credentialBundlePath", &certificate.credential_bundle_path),
        ("keyPath", &certificate.key_path),
        ("certificateChainPath", &certificate.certificate_chain_path),
    ] {
        let Some(file) = file.as_deref().filter(|file| !file.is_empty()) else { continue };
        any = true;
        non_reserved(found, file, &format!("{path}.{field}"));
        take(found, file, file, taken, volume);
    }
    if !any {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        found.required(path, why);
    }
}
