//! The environment of a container: `env`, `envFrom` and the variables of services.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};
use sdk_api::{GroupResource, Key, Object, Typed};
use sdk_client::{Client, ListOptions};

use crate::container::expand::expand;
use crate::container::{resources, service_env};
use crate::objects::Objects;
use crate::settings::Settings;

/// What the pod and its node are, for fields and resources.
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ips: &'a [String],
    pub(crate) host_ips: &'a [String],
    pub(crate) settings: &'a Settings,
}

/// What was read of the API for one container.
#[derive(Default)]
pub(crate) struct Sources {
    /// `None` where it does not exist.
    pub(crate) config_maps: HashMap<String, Option<Arc<ConfigMap>>>,
    pub(crate) secrets: HashMap<String, Option<Arc<Secret>>>,
    /// Of the pod's namespace and, for the API's own, of `default`.
    pub(crate) services: Vec<Arc<Service>>,
}

/// Reads what a container's environment refers to.
pub(crate) async fn fetch(
    objects: &Objects,
    client: &Client,
    pod: &Pod,
    container: &Container,
) -> Result<Sources, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut sources = Sources::default();
    let from = container.env_from.iter().flatten();
    let values = || container.env.iter().flatten().filter_map(|var| var.value_from.as_ref());
    let maps = from.clone().filter_map(|from| from.config_map_ref.as_ref().map(|r| &r.name));
    for name in maps.chain(values().filter_map(|v| v.config_map_key_ref.as_ref().map(|r| &r.name))) {
        if !sources.config_maps.contains_key(name) {
            let found = objects.read(&Key::of::<ConfigMap>(namespace, name)).await.map_err(|s| s.message)?;
            sources.config_maps.insert(name.clone(), typed(found));
        }
    }
    let secrets = from.filter_map(|from| from.secret_ref.as_ref().map(|r| &r.name));
    for name in secrets.chain(values().filter_map(|v| v.secret_key_ref.as_ref().map(|r| &r.name))) {
        if !sources.secrets.contains_key(name) {
            let found = objects.read(&Key::of::<Secret>(namespace, name)).await.map_err(|s| s.message)?;
            sources.secrets.insert(name.clone(), typed(found));
        }
    }
    let links = pod.spec.as_ref().is_none_or(|spec| spec.enable_service_links != Some(false));
    let resource = GroupResource::of::<Service>();
    if links {
        let list = client.list(&resource, namespace, ListOptions::default()).await.map_err(|s| s.message)?;
        sources.services.extend(list.objects.iter().filter_map(|object| object.typed().ok()));
    }
    if !links || namespace != service_env::MASTER_NAMESPACE {
        let key = Key::of::<Service>(service_env::MASTER_NAMESPACE, service_env::MASTER);
        let master = client.find(&key).await.map_err(|s| s.message)?;
        sources.services.extend(typed(master));
    }
    Ok(sources)
}

fn typed<T: Typed>(object: Option<Arc<Object>>) -> Option<Arc<T>> {
    object.and_then(|object| object.typed().ok())
}

/// The variables of a container, each name once. The error is what `CreateContainerConfigError` says.
///
/// Source: `pkg/kubelet/kubelet_pods.go`, `makeEnvironmentVariables`.
pub(crate) fn build(
    facts: &Facts<'_>,
    container: &Container,
    sources: &Sources,
) -> Result<Vec<(String, String)>, String> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    let services = service_env::variables(&sources.services, namespace);
    let mut vars: BTreeMap<String, String> = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match sources.config_maps.get(&reference.name).and_then(Option::as_ref) {
                Some(map) => {
                    let data = map.data.iter().flatten();
                    vars.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
                }
                None if reference.optional == Some(true) => {}
                None => return Err(not_found("configmap", &reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match sources.secrets.get(&reference.name).and_then(Option::as_ref) {
                Some(secret) => {
                    let data = secret.data.iter().flatten();
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    vars.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value.0))));
                }
                None if reference.optional == Some(true) => {}
                None => return Err(not_found("secret", &reference.name)),
            }
        }
    }
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(value), _) if !value.is_empty() => {
                let lookup = |name: &str| vars.get(name).or_else(|| services.get(name)).cloned();
                Some(expand(value, lookup))
            }
            (_, Some(from)) => value_from(facts, container, sources, from)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            vars.insert(var.name.clone(), value);
        }
    }
    for (name, value) in services {
        vars.entry(name).or_insert(value);
    }
    Ok(vars.into_iter().collect())
}

pub(crate) fn not_found(kind: &str, name: &str) -> String {
    format!("{kind} {name:?} not found")
}

/// `None` where what it refers to is optional and missing.
fn value_from(
    facts: &Facts<'_>,
    container: &Container,
    sources: &Sources,
    from: &EnvVarSource,
) -> Result<Option<String>, String> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(field) = &from.field_ref {
        return field_value(facts, &field.field_path).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        let value = resources::field(facts.pod, container, resource, facts.settings)?;
        return Ok(Some(value));
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = sources.config_maps.get(&reference.name).and_then(Option::as_ref) else {
            return if optional { Ok(None) } else { Err(not_found("configmap", &reference.name)) };
        };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in ConfigMap {namespace}/{}", reference.key, reference.name)),
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = sources.secrets.get(&reference.name).and_then(Option::as_ref) else {
            return if optional { Ok(None) } else { Err(not_found("secret", &reference.name)) };
        };
        let value = secret.data.as_ref().and_then(|data| data.get(&reference.key));
        return match value {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in Secret {namespace}/{}", reference.key, reference.name)),
        };
    }
    Ok(None)
}

/// A field of the pod, as `fieldRef` names it. Source: `pkg/fieldpath` and `podFieldSelectorRuntimeValue`.
pub(crate) fn field_value(facts: &Facts<'_>, path: &str) -> Result<String, String> {
    let meta = &facts.pod.metadata;
    let spec = facts.pod.spec.as_ref();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(map.and_then(|map| map.get(key).cloned()).unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => quoted_lines(meta.labels.as_ref()),
        "metadata.annotations" => quoted_lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.map(|spec| text(&spec.node_name)).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|spec| text(&spec.service_account_name)).unwrap_or_default(),
        "status.hostIP" => facts.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// A map as files of the downward API hold it: `key="value"`, a line each.
fn quoted_lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::test_support::pod;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    fn environment(container: Value, sources: &Sources) -> Result<BTreeMap<String, String>, String> {
        let mut pod = pod(json!({"containers": [], "nodeName": "node-1", "serviceAccountName": "default"}));
        pod.metadata.labels = Some(BTreeMap::from([("app".into(), "web".into())]));
        let settings = Settings::new("node-1", Ground::Simulated, Arc::new(NoRuntime));
        let ips = ["10.0.0.5".to_owned()];
        let hosts = ["192.168.0.1".to_owned(), "fd00::1".to_owned()];
        let facts = Facts { pod: &pod, pod_ips: &ips, host_ips: &hosts, settings: &settings };
        let mut container = container;
        container["name"] = "c".into();
        build(&facts, &serde_json::from_value(container).unwrap(), sources).map(|vars| vars.into_iter().collect())
    }

    fn sources() -> Sources {
        let map: ConfigMap = serde_json::from_value(json!({"data": {"color": "red", "A": "map"}})).unwrap();
        let secret: Secret = serde_json::from_value(json!({"data": {"password": "aHVudGVy"}})).unwrap();
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "my-db", "namespace": "ns"},
            "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}}))
        .unwrap();
        Sources {
            config_maps: HashMap::from([("map".into(), Some(Arc::new(map))), ("none".into(), None)]),
            secrets: HashMap::from([("secret".into(), Some(Arc::new(secret))), ("none".into(), None)]),
            services: vec![Arc::new(service)],
        }
    }

    #[test]
    fn values_come_from_everywhere() {
        let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        let container = json!({
        "envFrom": [{"configMapRef": {"name": "map"}}, {"prefix": "S_", "secretRef": {"name": "secret"}},
            {"configMapRef": {"name": "none", "optional": true}}],
        "env": [
            {"name": "A", "value": "own"},
            {"name": "B", "value": "$(A)-$(color)-$(MY_DB_SERVICE_HOST)-$(LATER)-$$(A)"},
            {"name": "LATER", "value": "x"},
            {"name": "POD", "valueFrom": field("metadata.name")},
            {"name": "APP", "valueFrom": field("metadata.labels['app']")},
            {"name": "LABELS", "valueFrom": field("metadata.labels")},
            {"name": "IP", "valueFrom": field("status.podIP")},
            {"name": "HOSTS", "valueFrom": field("status.hostIPs")},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "color"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}}},
            {"name": "NOT", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": true}}},
            {"name": "MY_DB_PORT", "value": "mine"},
        ]});
        let vars = environment(container, &sources()).unwrap();
        for (name, want) in [
            ("A", Some("own")),
            ("color", Some("red")),
            ("S_password", Some("hunter")),
            ("B", Some("own-red-10.96.0.7-$(LATER)-$(A)")),
            ("POD", Some("p")),
            ("APP", Some("web")),
            ("LABELS", Some("app=\"web\"")),
            ("IP", Some("10.0.0.5")),
            ("HOSTS", Some("192.168.0.1,fd00::1")),
            ("COLOR", Some("red")),
            ("PW", Some("hunter")),
            ("NOT", None),
            ("MY_DB_PORT", Some("mine")),
            ("MY_DB_SERVICE_PORT_SQL", Some("5432")),
        ] {
            assert_eq!(vars.get(name).map(String::as_str), want, "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_named_as_upstream_does() {
        let from = |kind: &str, name: &str, key: &str| {
            let mut source = json!({});
            source[kind] = json!({"name": name, "key": key});
            json!({"env": [{"name": "X", "valueFrom": source}]})
        };
        for (container, message) in [
            (from("configMapKeyRef", "none", "k"), "configmap \"none\" not found"),
            (from("configMapKeyRef", "map", "k"), "couldn't find key k in ConfigMap ns/map"),
            (from("secretKeyRef", "none", "k"), "secret \"none\" not found"),
            (from("secretKeyRef", "secret", "k"), "couldn't find key k in Secret ns/secret"),
            (json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found"),
            (
                json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
                "unsupported fieldPath: spec.x",
            ),
        ] {
            assert_eq!(environment(container, &sources()).unwrap_err(), message);
        }
    }
}
