//! Environment variables that tell of services, as Docker links did.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::Service;

/// The service of the API itself, which every pod is told of.
pub(crate) const MASTER: &str = "kubernetes";
pub(crate) const MASTER_NAMESPACE: &str = "default";

/// Variables of the services of a namespace and of the API's service.
///
/// Source: Kubernetes documentation, "Discovering services: environment variables".
pub(crate) fn variables(services: &[Arc<Service>], namespace: &str) -> BTreeMap<String, String> {
    let name = |service: &Service| service.metadata.name.clone().unwrap_or_default();
    let of = |service: &Service, namespace: &str| service.metadata.namespace.as_deref() == Some(namespace);
    let mut chosen: BTreeMap<String, &Service> = BTreeMap::new();
    for service in services {
        let own = of(service, namespace);
        let master = of(service, MASTER_NAMESPACE) && name(service) == MASTER;
        if own {
            chosen.insert(name(service), service);
        } else if master {
            chosen.entry(name(service)).or_insert(service);
        }
    }
    let mut vars = BTreeMap::new();
    for (name, service) in chosen {
        add(&mut vars, &name, service);
    }
    vars
}

fn add(vars: &mut BTreeMap<String, String>, name: &str, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !matches!(*ip, "" | "None")) else { return };
    let Some(first) = spec.ports.iter().flatten().next() else { return };
    let prefix = name.to_uppercase().replace('-', "_");
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    vars.insert(format!("{prefix}_SERVICE_HOST"), ip.into());
    vars.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = name.to_uppercase().replace('-', "_");
            vars.insert(format!("{prefix}_SERVICE_PORT_{name}"), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            vars.insert(format!("{prefix}_PORT"), url.clone());
        }
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        vars.insert(link.clone(), url);
        vars.insert(format!("{link}_PROTO"), protocol.to_lowercase());
        vars.insert(format!("{link}_PORT"), port.port.to_string());
        vars.insert(format!("{link}_ADDR"), ip.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        let ports = json!([{"name": "http-web", "port": 80}, {"port": 53, "protocol": "UDP"}]);
        let spec = json!({"clusterIP": ip, "ports": ports});
        let meta = json!({"name": name, "namespace": namespace});
        Arc::new(serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap())
    }

    #[test]
    fn services_are_told_as_links() {
        let services = [
            service("ns", "my-web", "10.0.0.1"),
            service("ns", "headless", "None"),
            service("default", "kubernetes", "10.96.0.1"),
            service("default", "other", "10.96.0.2"),
        ];
        let vars = variables(&services, "ns");
        for (name, want) in [
            ("MY_WEB_SERVICE_HOST", Some("10.0.0.1")),
            ("MY_WEB_SERVICE_PORT", Some("80")),
            ("MY_WEB_SERVICE_PORT_HTTP_WEB", Some("80")),
            ("MY_WEB_PORT", Some("tcp://10.0.0.1:80")),
            ("MY_WEB_PORT_53_UDP", Some("udp://10.0.0.1:53")),
            ("MY_WEB_PORT_53_UDP_PROTO", Some("udp")),
            ("MY_WEB_PORT_80_TCP_ADDR", Some("10.0.0.1")),
            ("KUBERNETES_SERVICE_HOST", Some("10.96.0.1")),
            ("HEADLESS_SERVICE_HOST", None),
            ("OTHER_SERVICE_HOST", None),
        ] {
            assert_eq!(vars.get(name).map(String::as_str), want, "{name}");
        }
    }
}
