//! `Ingress`: HTTP routes from outside to Services.

use std::net::IpAddr;

use sdk_api::domains::{self, each_invalid};
use sdk_api::k8s_openapi::api::core::v1::TypedLocalObjectReference;
use sdk_api::k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};
use sdk_api::{Timestamp, Violations, names};
use sdk_plugin::cells::{NONE, strings};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const NOT_A_NAME: &str = "must be a DNS name, not an IP address";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Class", |ingress, _| {
        let annotation = ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str();
        ingress["spec"]["ingressClassName"].as_str().or(annotation).unwrap_or(NONE).into()
    })
    .describe("The name of the IngressClass resource that should be used for additional configuration"),
    Column::compute("Hosts", |ingress, _| hosts(ingress).into())
        .describe("Hosts that incoming requests are matched against before the ingress rule"),
    Column::compute("Address", |ingress, _| {
        let points = ingress["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
        let mut points: Vec<_> =
            points.filter_map(|point| point["ip"].as_str().or_else(|| point["hostname"].as_str())).collect();
        points.sort_unstable();
        points.dedup();
        points.join(",").into()
    })
    .describe("Address is a list containing ingress points for the load-balancer"),
    Column::compute("Ports", |ingress, _| {
        let has_tls = ingress["spec"]["tls"].as_array().is_some_and(|tls| !tls.is_empty());
        if has_tls { "80, 443".into() } else { "80".into() }
    })
    .describe("Ports of TLS configurations that open"),
    Column::AGE,
];

fn hosts(ingress: &Value) -> String {
    let all: Vec<_> = strings(&ingress["spec"]["rules"], "host").filter(|host| !host.is_empty()).collect();
    match all.len() {
        0 => "*".into(),
        1..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(IngressStrategy).short_names(&["ing"]).columns(COLUMNS).status().generation()
}

struct IngressStrategy;
impl Strategy for IngressStrategy {
    type Object = Ingress;

    fn prepare_create(&self, new: &mut Ingress, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &Ingress, old: Option<&Ingress>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty() && spec.default_backend.is_none() {
            let value = spec.rules.as_ref().map_or(Value::Null, |_| Value::Array(vec![]));
            found.invalid("spec", value, "either `defaultBackend` or `rules` must be specified");
        }
        if let Some(backend) = &spec.default_backend {
            validate_backend(&mut found, "spec.defaultBackend", backend);
        }
        for (at, rule) in rules.iter().enumerate() {
            let field = format!("spec.rules[{at}]");
            let host = rule.host.as_deref().unwrap_or_default();
            if is_address(host) {
                found.invalid(format!("{field}.host"), host, NOT_A_NAME);
            }
            if !host.is_empty() {
                each_invalid(&mut found, format!("{field}.host"), host, host_rule(host));
            }
            let Some(http) = &rule.http else { continue };
            if http.paths.is_empty() {
                found.required(format!("{field}.http.paths"), "");
            }
            for (at, path) in http.paths.iter().enumerate() {
                validate_path(&mut found, &format!("{field}.http.paths[{at}]"), path);
            }
        }
        validate_tls(&mut found, new, old);
        let class = spec.ingress_class_name.as_deref();
        if let Some(class) = class {
            each_invalid(&mut found, "spec.ingressClassName", class, names::dns1123_subdomain(class));
        }
        let annotation = new.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION));
        if let (Some(annotation), Some(class), None) = (annotation, class, old)
            && annotation != class
        {
            let why = "must match `ingressClassName` when both are specified";
            found.invalid(format!("annotations.{CLASS_ANNOTATION}"), annotation.as_str(), why);
        }
        found
    }

    fn validate_status(&self, new: &Ingress, _old: &Ingress) -> Violations {
        let mut found = Violations::default();
        let balancer = new.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let points = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
        for (at, point) in points.iter().enumerate() {
            let field = format!("status.loadBalancer.ingress[{at}]");
            if let Some(ip) = point.ip.as_deref().filter(|ip| !ip.is_empty()) {
                each_invalid(&mut found, format!("{field}.ip"), ip, domains::ip_address(ip));
            }
            let Some(host) = point.hostname.as_deref().filter(|host| !host.is_empty()) else { continue };
            each_invalid(&mut found, format!("{field}.hostname"), host, names::dns1123_subdomain(host));
            if is_address(host) {
                found.invalid(format!("{field}.hostname"), host, NOT_A_NAME);
            }
        }
        found
    }

    fn warnings(&self, new: &Ingress) -> Vec<String> {
        let annotations = new.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION)) {
            return vec![
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                    .into(),
            ];
        }
        Vec::new()
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// A name, or all names of a domain.
fn host_rule(host: &str) -> Vec<String> {
    if host.contains('*') { domains::wildcard_subdomain(host) } else { names::dns1123_subdomain(host) }
}

/// Names of Secrets that were wrong before may stay so.
fn validate_tls(found: &mut Violations, new: &Ingress, old: Option<&Ingress>) {
    let tls_of = |ingress: &Ingress| ingress.spec.as_ref().and_then(|spec| spec.tls.clone()).unwrap_or_default();
    let is_wrong = |secret: &str| !secret.is_empty() && !names::dns1123_subdomain(secret).is_empty();
    let secret_of = |secret: &Option<String>| secret.clone().unwrap_or_default();
    let had_wrong = old.is_some_and(|old| tls_of(old).iter().any(|tls| is_wrong(&secret_of(&tls.secret_name))));
    for (at, tls) in tls_of(new).iter().enumerate() {
        let field = format!("spec.tls[{at}]");
        for (at, host) in tls.hosts.iter().flatten().enumerate() {
            each_invalid(found, format!("{field}.hosts[{at}]"), host, host_rule(host));
        }
        let secret = secret_of(&tls.secret_name);
        if is_wrong(&secret) && !had_wrong {
            each_invalid(found, format!("{field}.secretName"), &secret, names::dns1123_subdomain(&secret));
        }
    }
}

fn validate_path(found: &mut Violations, field: &str, path: &HTTPIngressPath) {
    let text = path.path.as_deref().unwrap_or_default();
    match path.path_type.as_str() {
        "" => return found.required(format!("{field}.pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                found.invalid(format!("{field}.path"), text, "must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(bad) {
                    found.invalid(format!("{field}.path"), text, format!("must not contain '{bad}'"));
                }
            }
            for bad in ["/..", "/."] {
                if text.ends_with(bad) {
                    found.invalid(format!("{field}.path"), text, format!("cannot end with '{bad}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                found.invalid(format!("{field}.path"), text, "must be an absolute path");
            }
        }
        other => {
            let supported = ["Exact", "ImplementationSpecific", "Prefix"];
            found.not_supported(format!("{field}.pathType"), other, &supported);
        }
    }
    validate_backend(found, &format!("{field}.backend"), &path.backend);
}

/// A reference to an object in the same place.
pub(super) fn reference(found: &mut Violations, field: &str, reference: &TypedLocalObjectReference) {
    if let Some(group) = reference.api_group.as_deref() {
        each_invalid(found, format!("{field}.apiGroup"), group, names::dns1123_subdomain(group));
    }
    for (name, value) in [("kind", &reference.kind), ("name", &reference.name)] {
        if value.is_empty() {
            found.required(format!("{field}.{name}"), format!("{name} is required"));
        }
        each_invalid(found, format!("{field}.{name}"), value, names::path_segment(value));
    }
}

fn validate_backend(found: &mut Violations, field: &str, backend: &IngressBackend) {
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => found.invalid(field, "", "cannot set both resource and service backends"),
        (None, None) => found.invalid(field, "", "resource or service backend is required"),
        (None, Some(resource)) => reference(found, &format!("{field}.resource"), resource),
        (Some(service), None) => {
            if service.name.is_empty() {
                found.required(format!("{field}.service.name"), "");
            } else {
                for problem in names::dns1035_label(&service.name) {
                    found.invalid(format!("{field}.service.name"), service.name.as_str(), problem);
                }
            }
            let port = service.port.clone().unwrap_or_default();
            let (name, number) = (port.name.unwrap_or_default(), port.number.unwrap_or(0));
            match (name.is_empty(), number) {
                (true, 0) => found.required(field, "port name or number is required"),
                (false, 0) => {
                    for problem in names::port_name(&name) {
                        found.invalid(format!("{field}.service.port.name"), name.as_str(), problem);
                    }
                }
                (true, number) => {
                    for problem in names::port_number(number.into()) {
                        found.invalid(format!("{field}.service.port.number"), number, problem);
                    }
                }
                (false, _) => found.invalid(field, "", "cannot set both port name & port number"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_checked() {
        let service = json!({"service": {"name": "web", "port": {"number": 80}}});
        let rule = |host: &str, path: Value| json!({"rules": [{"host": host, "http": {"paths": [path]}}]});
        for (case, spec, wrong) in [
            ("a default", json!({"defaultBackend": service}), vec![]),
            ("nothing", json!({}), vec!["spec"]),
            ("a rule", rule("*.example.com", json!({"path": "/", "pathType": "Prefix", "backend": service})), vec![]),
            (
                "an address as host",
                rule("10.0.0.1", json!({"path": "/", "pathType": "Prefix", "backend": service})),
                vec!["spec.rules[0].host"],
            ),
            ("no path type", rule("a.example", json!({"path": "/"})), vec!["spec.rules[0].http.paths[0].pathType"]),
            (
                "a relative path",
                rule("a.example", json!({"path": "x", "pathType": "Exact", "backend": service})),
                vec!["spec.rules[0].http.paths[0].path"],
            ),
            ("no backend", json!({"defaultBackend": {}}), vec!["spec.defaultBackend"]),
            (
                "a resource of no name",
                json!({"defaultBackend": {"resource": {"apiGroup": "A", "kind": "a/b", "name": ""}}}),
                vec![
                    "spec.defaultBackend.resource.apiGroup",
                    "spec.defaultBackend.resource.kind",
                    "spec.defaultBackend.resource.name",
                ],
            ),
            (
                "TLS",
                json!({"defaultBackend": service, "tls": [{"hosts": ["*.a.b", "a*"], "secretName": "A"}]}),
                vec!["spec.tls[0].hosts[1]", "spec.tls[0].secretName"],
            ),
            ("no port", json!({"defaultBackend": {"service": {"name": "web"}}}), vec!["spec.defaultBackend"]),
        ] {
            let ingress = serde_json::from_value(json!({"metadata": {"name": "i"}, "spec": spec})).unwrap();
            assert_eq!(IngressStrategy.validate(&ingress, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn classes_are_named_once_and_old_secrets_stay() {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let ingress = |class: &str, secret: &str| -> Ingress {
            serde_json::from_value(json!({
                "metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
                "spec": {"ingressClassName": class, "defaultBackend": backend, "tls": [{"secretName": secret}]},
            }))
            .unwrap()
        };
        let (other, wrong) = (ingress("other", "s"), ingress("nginx", "S"));
        for (case, new, old, fields) in [
            ("twice the same", ingress("nginx", "s"), None, vec![]),
            ("two classes", ingress("other", "s"), None, vec!["annotations.kubernetes.io/ingress.class"]),
            ("two classes before", ingress("other", "s"), Some(&other), vec![]),
            ("a bad secret", ingress("nginx", "S"), None, vec!["spec.tls[0].secretName"]),
            ("a bad secret before", ingress("nginx", "S"), Some(&wrong), vec![]),
        ] {
            assert_eq!(IngressStrategy.validate(&new, old).fields(), fields, "{case}");
        }
    }

    #[test]
    fn addresses_of_the_balancer_are_checked() {
        let points = json!([{"ip": "10.0.0.1"}, {"ip": "x"}, {"hostname": "10.0.0.1"}, {"hostname": "A"}]);
        let status = json!({"loadBalancer": {"ingress": points}});
        let ingress: Ingress = serde_json::from_value(json!({"metadata": {"name": "i"}, "status": status})).unwrap();
        let found = IngressStrategy.validate_status(&ingress, &ingress);
        let point = |at: usize, field: &str| format!("status.loadBalancer.ingress[{at}].{field}");
        assert_eq!(found.fields(), [point(1, "ip"), point(2, "hostname"), point(3, "hostname")]);
    }

    #[test]
    fn columns_are_upstreams() {
        let ingress = json!({
            "metadata": {"name": "i"}, "spec": {"rules": [{"host": "a"}, {}, {"host": "b"}], "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "lb"}]}},
        });
        let cells: Vec<_> = COLUMNS[..5].iter().map(|column| column.value(&ingress, Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(cells, ["i", "<none>", "a,b", "10.0.0.2,lb", "80, 443"].map(Value::from));
    }
}
