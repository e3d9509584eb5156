//! What the files of a volume hold, from the objects they come from.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, DownwardAPIVolumeFile, KeyToPath, Secret, SecretVolumeSource,
};

use crate::container::env::{Facts, field_value, not_found};
use crate::container::resources;
use crate::pod::members;

const MODE: u32 = 0o644;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    /// Who owns it; `None` leaves it to the kubelet's user.
    pub(crate) owner: Option<u32>,
}

/// Files by their path in the volume.
pub(crate) type Payload = BTreeMap<String, File>;

/// The mode of files that say none.
pub(crate) fn mode(default: Option<i32>) -> u32 {
    default.and_then(|mode| u32::try_from(mode).ok()).map_or(MODE, |mode| mode & 0o777)
}

/// A relative path that stays inside; the API has checked it, this is the second lock.
pub(crate) fn checked_path(path: &str) -> Result<String, String> {
    let wrong = path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..");
    if wrong || path.starts_with("..") {
        return Err(format!("invalid path {path:?}: must be relative and must not contain '..'"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() { Err(format!("invalid path {path:?}")) } else { Ok(parts.join("/")) }
}

/// Chooses among `data`: all of it, or the items. `missing` words the error of a key that is not there.
fn choose(
    data: BTreeMap<&str, &[u8]>,
    items: Option<&Vec<KeyToPath>>,
    mode: u32,
    optional: bool,
    missing: impl Fn(&str) -> String,
) -> Result<Payload, String> {
    let file = |data: &[u8], mode: u32| File { data: data.to_vec(), mode, owner: None };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return data.into_iter().map(|(key, bytes)| Ok((checked_path(key)?, file(bytes, mode)))).collect();
    };
    let mut payload = Payload::new();
    for item in items {
        let Some(bytes) = data.get(item.key.as_str()) else {
            if optional {
                continue;
            }
            return Err(missing(&item.key));
        };
        let mode = item.mode.map_or(mode, |own| self::mode(Some(own)));
        payload.insert(checked_path(&item.path)?, file(bytes, mode));
    }
    Ok(payload)
}

pub(crate) fn of_config_map(
    found: Option<&ConfigMap>,
    source: &ConfigMapVolumeSource,
    mode: u32,
) -> Result<Payload, String> {
    let optional = source.optional == Some(true);
    let Some(map) = found else {
        return if optional { Ok(Payload::new()) } else { Err(not_found("configmap", &source.name)) };
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let missing = |key: &str| format!("references non-existent config key: {key}");
    choose(text.chain(binary).collect(), source.items.as_ref(), mode, optional, missing)
}

pub(crate) fn of_secret(found: Option<&Secret>, source: &SecretVolumeSource, mode: u32) -> Result<Payload, String> {
    let optional = source.optional == Some(true);
    let Some(secret) = found else {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return if optional { Ok(Payload::new()) } else { Err(not_found("secret", name)) };
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let missing = |key: &str| format!("references non-existent secret key: {key}");
    choose(data.collect(), source.items.as_ref(), mode, optional, missing)
}

pub(crate) fn of_downward(facts: &Facts<'_>, items: &[DownwardAPIVolumeFile], mode: u32) -> Result<Payload, String> {
    let mut payload = Payload::new();
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            field_value(facts, &field.field_path)?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let member = members::find(facts.pod, name).ok_or_else(|| format!("container {name} not found"))?;
            resources::field(facts.pod, &member.spec, resource, facts.settings)?
        } else {
            return Err(format!("file {:?} has no source", item.path));
        };
        let mode = item.mode.map_or(mode, |own| self::mode(Some(own)));
        payload.insert(checked_path(&item.path)?, File { data: value.into_bytes(), mode, owner: None });
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::pod::test_support::pod;
    use crate::settings::{Ground, Settings};
    use crate::test_support::NoRuntime;

    fn short(payload: Result<Payload, String>) -> String {
        match payload {
            Err(error) => error,
            Ok(payload) => {
                let file = |(path, file): (&String, &File)| {
                    format!("{path}={}:{:o}", String::from_utf8_lossy(&file.data), file.mode)
                };
                payload.iter().map(file).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn config_maps_and_secrets_become_files() {
        let map: ConfigMap =
            serde_json::from_value(json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="}})).unwrap();
        let secret: Secret = serde_json::from_value(json!({"data": {"k": "dg=="}})).unwrap();
        for (case, found, source, want) in [
            ("all", Some(&map), json!({"name": "m"}), "a=1:644 b=2:644 c=3:644"),
            (
                "items",
                Some(&map),
                json!({"name": "m", "items": [{"key": "a", "path": "x/y", "mode": 256}]}),
                "x/y=1:400",
            ),
            (
                "missing key",
                Some(&map),
                json!({"name": "m", "items": [{"key": "z", "path": "z"}]}),
                "references non-existent config key: z",
            ),
            (
                "optional key",
                Some(&map),
                json!({"name": "m", "optional": true, "items": [{"key": "z", "path": "z"}]}),
                "",
            ),
            ("missing", None, json!({"name": "m"}), "configmap \"m\" not found"),
            ("optional", None, json!({"name": "m", "optional": true}), ""),
            (
                "escape",
                Some(&map),
                json!({"name": "m", "items": [{"key": "a", "path": "x/../../y"}]}),
                "invalid path \"x/../../y\": must be relative and must not contain '..'",
            ),
        ] {
            let source: ConfigMapVolumeSource = serde_json::from_value(source).unwrap();
            assert_eq!(short(of_config_map(found, &source, MODE)), want, "{case}");
        }
        let source = |value: Value| serde_json::from_value::<SecretVolumeSource>(value).unwrap();
        assert_eq!(short(of_secret(Some(&secret), &source(json!({"secretName": "s"})), 0o600)), "k=v:600");
        assert_eq!(short(of_secret(None, &source(json!({"secretName": "s"})), MODE)), "secret \"s\" not found");
    }

    #[test]
    fn the_downward_api_tells_of_the_pod() {
        let mut pod = pod(json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}));
        pod.metadata.annotations = Some(BTreeMap::from([("k".into(), "a \"b\"\nc".into())]));
        let settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        let facts = Facts { pod: &pod, pod_ips: &[], host_ips: &[], settings: &settings };
        let items: Vec<DownwardAPIVolumeFile> = serde_json::from_value(json!([
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "notes", "fieldRef": {"fieldPath": "metadata.annotations"}, "mode": 384},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}}]))
        .unwrap();
        let want = "cpu=2000:644 name=p:644 notes=k=\"a \\\"b\\\"\\nc\":600";
        assert_eq!(short(of_downward(&facts, &items, MODE)), want);
    }
}
