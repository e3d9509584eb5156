//! Where a webhook is: at a URL, or behind a Service.

use sdk_api::k8s_openapi::api::admissionregistration::v1::{ServiceReference, WebhookClientConfig};
use sdk_api::{Violations, names};

const FORM: &str = "; desired format: https://host[/path]";

/// Checks the place at `field`.
pub fn client(found: &mut Violations, field: &str, client: &WebhookClientConfig) {
    match (&client.url, &client.service) {
        (Some(text), None) => url(found, &format!("{field}.url"), text),
        (None, Some(reference)) => service(found, &format!("{field}.service"), reference),
        (Some(_), Some(_)) | (None, None) => found.required(field, "exactly one of url or service is required"),
    }
}

/// A URL of a host and a path, over TLS.
fn url(found: &mut Violations, field: &str, text: &str) {
    if text.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return found
            .required(field, format!("url must be a valid URL: parse {text:?}: invalid character in URL{FORM}"));
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    if scheme != "https" {
        found.invalid(field, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        found.invalid(field, host, format!("host must be specified{FORM}"));
    }
    for (part, why) in [
        (user, "user information is not permitted in the URL"),
        (Some(fragment).filter(|text| !text.is_empty()), "fragments are not permitted in the URL"),
        (Some(query).filter(|text| !text.is_empty()), "query parameters are not permitted in the URL"),
    ] {
        if let Some(part) = part {
            found.invalid(field, part, why);
        }
    }
}

fn service(found: &mut Violations, field: &str, service: &ServiceReference) {
    for (name, value) in [("name", &service.name), ("namespace", &service.namespace)] {
        if value.is_empty() {
            found.required(format!("{field}.{name}"), format!("service {name} is required"));
        }
    }
    let port = service.port.unwrap_or(443);
    let problems = names::port_number(port.into());
    if !problems.is_empty() {
        found.invalid(format!("{field}.port"), port, format!("port is not valid: {}", problems.join(",")));
    }
    let path = service.path.as_deref().unwrap_or_default();
    let field = format!("{field}.path");
    match path {
        "" | "/" => return,
        "//" => return found.invalid(field, path, "segment[0] may not be empty"),
        _ => {}
    }
    if !path.starts_with('/') {
        found.invalid(&field, path, "must start with a '/'");
    }
    let steps = path.chars().skip(1).collect::<String>();
    for (at, step) in steps.strip_suffix('/').unwrap_or(&steps).split('/').enumerate() {
        if step.is_empty() {
            found.invalid(&field, path, format!("segment[{at}] may not be empty"));
            continue;
        }
        for problem in names::dns1123_subdomain(step) {
            found.invalid(&field, path, format!("segment[{at}]: {problem}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_checked() {
        let service = |more: serde_json::Value| {
            let mut service = json!({"name": "s", "namespace": "n"});
            for (name, value) in more.as_object().unwrap() {
                service[name] = value.clone();
            }
            json!({"service": service})
        };
        for (case, config, wrong) in [
            ("a URL", json!({"url": "https://a.example:8443/path"}), vec![]),
            ("a service", service(json!({"path": "/a/b/", "port": 8443})), vec![]),
            ("nowhere", json!({}), vec!["c: Required value: exactly one of url or service is required"]),
            (
                "in the clear",
                json!({"url": "http://a"}),
                vec![
                    "c.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: \
                     https://host[/path]",
                ],
            ),
            (
                "more than a place",
                json!({"url": "https://me@a/?b=c#d"}),
                vec![
                    "c.url: Invalid value: \"me\": user information is not permitted in the URL",
                    "c.url: Invalid value: \"d\": fragments are not permitted in the URL",
                    "c.url: Invalid value: \"b=c\": query parameters are not permitted in the URL",
                ],
            ),
            (
                "no host",
                json!({"url": "https:///x"}),
                vec!["c.url: Invalid value: \"\": host must be specified; desired format: https://host[/path]"],
            ),
            (
                "no service",
                json!({"service": {"name": "", "namespace": ""}}),
                vec![
                    "c.service.name: Required value: service name is required",
                    "c.service.namespace: Required value: service namespace is required",
                ],
            ),
            (
                "port 0",
                service(json!({"port": 0})),
                vec!["c.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"],
            ),
            (
                "a path with a hole",
                service(json!({"path": "/a//b"})),
                vec!["c.service.path: Invalid value: \"/a//b\": segment[1] may not be empty"],
            ),
        ] {
            let mut found = Violations::default();
            client(&mut found, "c", &serde_json::from_value(config).unwrap());
            let all: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(all, wrong, "{case}");
        }
    }
}
