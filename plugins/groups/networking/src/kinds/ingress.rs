//! `Ingress`: HTTP routes from outside to Services.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};
use sdk_api::{Timestamp, Violations, names};
use sdk_plugin::cells::{NONE, strings};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

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

    fn validate(&self, new: &Ingress, _old: Option<&Ingress>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty() && spec.default_backend.is_none() {
            let value = serde_json::to_value(rules).unwrap_or(Value::Null);
            found.invalid("spec", value, "either `defaultBackend` or `rules` must be specified");
        }
        if let Some(backend) = &spec.default_backend {
            validate_backend(&mut found, "spec.defaultBackend", backend);
        }
        for (at, rule) in rules.iter().enumerate() {
            let field = format!("spec.rules[{at}]");
            validate_host(&mut found, &format!("{field}.host"), rule.host.as_deref().unwrap_or_default());
            let Some(http) = &rule.http else { continue };
            if http.paths.is_empty() {
                found.required(format!("{field}.http.paths"), "");
            }
            for (at, path) in http.paths.iter().enumerate() {
                validate_path(&mut found, &format!("{field}.http.paths[{at}]"), path);
            }
        }
        for (at, tls) in spec.tls.iter().flatten().enumerate() {
            for (h, host) in tls.hosts.iter().flatten().enumerate() {
                validate_host(&mut found, &format!("spec.tls[{at}].hosts[{h}]"), host);
            }
        }
        if let Some(class) = &spec.ingress_class_name {
            for problem in names::dns1123_subdomain(class) {
                found.invalid("spec.ingressClassName", class.as_str(), problem);
            }
        }
        found
    }

    fn warnings(&self, new: &Ingress) -> Vec<String> {
        let annotations = new.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key("kubernetes.io/ingress.class")) {
            return vec![
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                    .into(),
            ];
        }
        Vec::new()
    }
}

fn validate_host(found: &mut Violations, field: &str, host: &str) {
    if host.is_empty() {
        return;
    }
    if host.parse::<IpAddr>().is_ok() {
        found.invalid(field, host, "must be a DNS name, not an IP address");
    }
    let problems = match host.strip_prefix("*.") {
        Some(rest) => names::dns1123_subdomain(rest),
        None if host.contains('*') => vec![
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
             subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an \
             alphanumeric character (e.g. '*.example.com', regex used for validation is \
             '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        ],
        None => names::dns1123_subdomain(host),
    };
    for problem in problems {
        found.invalid(field, host, problem);
    }
}

fn validate_path(found: &mut Violations, field: &str, path: &HTTPIngressPath) {
    let text = path.path.as_deref().unwrap_or_default();
    match path.path_type.as_str() {
        "" => found.required(format!("{field}.pathType"), "pathType must be specified"),
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

fn validate_backend(found: &mut Violations, field: &str, backend: &IngressBackend) {
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => found.invalid(field, "", "cannot set both resource and service backends"),
        (None, None) => found.required(field, "resource or service backend is required"),
        (None, Some(resource)) => {
            for (name, value) in [("kind", &resource.kind), ("name", &resource.name)] {
                if value.is_empty() {
                    found.required(format!("{field}.resource.{name}"), format!("{name} is required"));
                }
            }
        }
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
            (
                "no path type, no backend",
                rule("a.example", json!({"path": "/"})),
                vec!["spec.rules[0].http.paths[0].pathType", "spec.rules[0].http.paths[0].backend"],
            ),
            (
                "a relative path",
                rule("a.example", json!({"path": "x", "pathType": "Exact", "backend": service})),
                vec!["spec.rules[0].http.paths[0].path"],
            ),
            ("no port", json!({"defaultBackend": {"service": {"name": "web"}}}), vec!["spec.defaultBackend"]),
        ] {
            let ingress = serde_json::from_value(json!({"metadata": {"name": "i"}, "spec": spec})).unwrap();
            assert_eq!(IngressStrategy.validate(&ingress, None).fields(), wrong, "{case}");
        }
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
