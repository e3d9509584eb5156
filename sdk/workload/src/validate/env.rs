//! Environment variables and where their values come from.

use sdk_api::k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};
use sdk_api::{Quantity, Violations, names};

use super::container::Volumes;
use super::each_invalid;

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Whether a text may name a variable: printable ASCII without `=`. Source: KEP-4369.
fn name_wrong(name: &str) -> Option<&'static str> {
    let fits = !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    (!fits)
        .then_some("a valid environment variable name must consist only of printable ASCII characters other than '='")
}

pub(super) fn variables(found: &mut Violations, variables: &[EnvVar], volumes: &Volumes<'_>, path: &str) {
    for (i, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{i}]");
        if variable.name.is_empty() {
            found.required(format!("{path}.name"), "");
        } else if let Some(why) = name_wrong(&variable.name) {
            found.invalid(format!("{path}.name"), variable.name.as_str(), why);
        }
        if let Some(source) = &variable.value_from {
            let has_value = variable.value.as_deref().is_some_and(|value| !value.is_empty());
            value_from(found, source, has_value, volumes, &format!("{path}.valueFrom"));
        }
    }
}

fn value_from(found: &mut Violations, source: &EnvVarSource, has_value: bool, volumes: &Volumes<'_>, path: &str) {
    let mut count = 0;
    if let Some(field) = &source.field_ref {
        count += 1;
        field_ref(found, field, true, &format!("{path}.fieldRef"));
    }
    if let Some(resource) = &source.resource_field_ref {
        count += 1;
        resource_ref(found, resource, false, &format!("{path}.resourceFieldRef"));
    }
    let mut key = |kind: &str, name: &str, key: &str| {
        count += 1;
        each_invalid(found, &format!("{path}.{kind}.name"), name, names::dns1123_subdomain(name));
        if key.is_empty() {
            found.required(format!("{path}.{kind}.key"), "");
        } else {
            each_invalid(found, &format!("{path}.{kind}.key"), key, names::config_key(key));
        }
    };
    if let Some(selector) = &source.config_map_key_ref {
        key("configMapKeyRef", &selector.name, &selector.key);
    }
    if let Some(selector) = &source.secret_key_ref {
        key("secretKeyRef", &selector.name, &selector.key);
    }
    if let Some(file) = &source.file_key_ref {
        count += 1;
        let path = format!("{path}.fileKeyRef");
        if file.key.is_empty() {
            found.required(format!("{path}.key"), "");
        } else if let Some(why) = name_wrong(&file.key) {
            found.invalid(format!("{path}.key"), file.key.as_str(), why);
        }
        if file.path.is_empty() {
            found.required(format!("{path}.path"), "");
        } else {
            super::volume::descending(found, &file.path, &format!("{path}.path"));
        }
        match volumes.get(file.volume_name.as_str()) {
            _ if file.volume_name.is_empty() => found.required(format!("{path}.volumeName"), ""),
            None => found.not_found(format!("{path}.volumeName"), file.volume_name.as_str()),
            Some(volume) if volume.empty_dir.is_none() => {
                let why = "referenced volume must be of type emptyDir";
                found.invalid(format!("{path}.volumeName"), file.volume_name.as_str(), why);
            }
            Some(_) => {}
        }
    }
    match count {
        0 => {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            found.invalid(path, "", why);
        }
        _ if has_value => found.invalid(path, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => found.invalid(path, "", "may not have more than one field specified at a time"),
    }
}

/// A field of the pod, for a variable or a file of a volume.
pub(super) fn field_ref(found: &mut Violations, field: &ObjectFieldSelector, is_env: bool, path: &str) {
    if field.api_version.as_deref().unwrap_or_default().is_empty() {
        return found.required(format!("{path}.apiVersion"), "");
    }
    let field_path = format!("{path}.fieldPath");
    let text = field.field_path.as_str();
    if text.is_empty() {
        return found.required(field_path, "");
    }
    let unsupported = |found: &mut Violations, why: String| {
        found.invalid(&field_path, text, format!("error converting fieldPath: {why}"));
    };
    if let Some(version) = field.api_version.as_deref().filter(|version| *version != "v1") {
        return unsupported(found, format!("unsupported pod version: {version}"));
    }
    if let Some((map, key)) = text.strip_suffix("']").and_then(|text| text.split_once("['")) {
        return match map {
            "metadata.annotations" => each_invalid(found, path, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => each_invalid(found, path, key, names::qualified_name(key)),
            _ => unsupported(found, format!("field label does not support subscript: {text}")),
        };
    }
    let other = ["spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host"];
    let known = ENV_FIELDS.contains(&text) || VOLUME_FIELDS.contains(&text) || other.contains(&text);
    let allowed: &[&str] = if is_env { &ENV_FIELDS } else { &VOLUME_FIELDS };
    if !known {
        unsupported(found, format!("field label not supported: {text}"));
    } else if !allowed.contains(&text) {
        found.not_supported(field_path, text, allowed);
    }
}

/// A container's request or limit, for a variable or a file of a volume.
pub(super) fn resource_ref(found: &mut Violations, field: &ResourceFieldSelector, in_volume: bool, path: &str) {
    let resource = field.resource.as_str();
    let huge = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume && field.container_name.as_deref().unwrap_or_default().is_empty() {
        found.required(format!("{path}.containerName"), "");
    } else if resource.is_empty() {
        found.required(format!("{path}.resource"), "");
    } else if !RESOURCES.contains(&resource) && !huge {
        found.not_supported(format!("{path}.resource"), resource, &RESOURCES);
    }
    let Some(divisor) = field.divisor.as_ref().map(Quantity::of).filter(|divisor| !divisor.is_zero()) else { return };
    let (allowed, of): (&[&str], _) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTE_DIVISORS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&BYTE_DIVISORS, "local ephemeral storage"),
        _ if huge => (&BYTE_DIVISORS, "hugepages"),
        _ => return,
    };
    if !allowed.contains(&divisor.to_string().as_str()) {
        let listed = if of == "cpu" { "1m and 1".to_owned() } else { allowed.join(", ") };
        let why = format!("only divisor's values {listed} are supported with the {of} resource");
        found.invalid(format!("{path}.divisor"), resource, why);
    }
}

pub(super) fn sources(found: &mut Violations, sources: &[EnvFromSource], path: &str) {
    for (i, source) in sources.iter().enumerate() {
        let at = format!("{path}[{i}]");
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty())
            && let Some(why) = name_wrong(prefix)
        {
            found.invalid(format!("{at}.prefix"), prefix, why);
        }
        let mut count = 0;
        let mut name = |kind: &str, name: &str| {
            count += 1;
            match name {
                "" => found.required(format!("{at}.{kind}.name"), ""),
                name => each_invalid(found, &format!("{at}.{kind}.name"), name, names::dns1123_subdomain(name)),
            }
        };
        if let Some(map) = &source.config_map_ref {
            name("configMapRef", &map.name);
        }
        if let Some(secret) = &source.secret_ref {
            name("secretRef", &secret.name);
        }
        match count {
            0 => found.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => found.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
}
