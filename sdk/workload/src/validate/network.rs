//! DNS, host names and the host's namespaces.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};
use sdk_api::{Violations, names};

use super::{Options, each_invalid, one_of_in_order, shown};

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const IP_WRONG: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// On the host's network a port is the host's; in a template it may be left to the pod.
pub(super) fn host_ports(found: &mut Violations, spec: &PodSpec, path: &str, options: Options<'_>) {
    if spec.host_network != Some(true) {
        return;
    }
    for (c, container) in spec.containers.iter().enumerate() {
        for (i, port) in container.ports.iter().flatten().enumerate() {
            let host = port.host_port.unwrap_or(0);
            if (options.pod.is_some() || host != 0) && host != port.container_port {
                let why = "must match `containerPort` when `hostNetwork` is true";
                found.invalid(format!("{path}.containers[{c}].ports[{i}].hostPort"), host, why);
            }
        }
    }
}

pub(super) fn dns_policy(found: &mut Violations, spec: &PodSpec, path: &str) {
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of_in_order(found, path, spec.dns_policy.as_deref(), &policies);
}

/// The name of the pod as its processes see it.
pub(super) fn host_names(found: &mut Violations, spec: &PodSpec, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            each_invalid(found, &at(field), name, names::dns1123_label(name));
        }
    }
    // Source: KEP-4762.
    if let Some(name) = &spec.hostname_override {
        each_invalid(found, &at("hostnameOverride"), name, names::dns1123_subdomain(name));
        if name.len() > 64 {
            found.too_long(at("hostnameOverride"), 64);
        }
        if spec.host_network == Some(true) {
            found.forbidden(at("hostnameOverride"), "may not be set when `hostNetwork` is true");
        }
    }
}

pub(super) fn aliases(found: &mut Violations, spec: &PodSpec, path: &str) {
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        if alias.ip.parse::<IpAddr>().is_err() {
            found.invalid(format!("{path}.ip"), alias.ip.as_str(), IP_WRONG);
        }
        for (n, name) in alias.hostnames.iter().flatten().enumerate() {
            each_invalid(found, &format!("{path}.hostnames[{n}]"), name, names::dns1123_subdomain(name));
        }
    }
}

/// Users of its own do not go with namespaces of the host. Source: KEP-127.
pub(super) fn host_users(found: &mut Violations, spec: &PodSpec, path: &str) {
    if spec.host_users != Some(false) {
        return;
    }
    for (field, set) in [("hostNetwork", spec.host_network), ("HostPID", spec.host_pid), ("HostIPC", spec.host_ipc)] {
        if set == Some(true) {
            found.forbidden(format!("{path}.{field}"), "when `pod.Spec.HostUsers` is false");
        }
    }
}

pub(super) fn dns_config(found: &mut Violations, spec: &PodSpec, path: &str) {
    let none = PodDNSConfig::default();
    let by_itself = spec.dns_policy.as_deref() == Some("None");
    if by_itself && spec.dns_config.is_none() {
        found.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    let config = spec.dns_config.as_ref().unwrap_or(&none);
    let servers = config.nameservers.as_deref().unwrap_or_default();
    let at = |field: &str| format!("{path}.{field}");
    if by_itself && servers.is_empty() {
        return found.required(at("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    if servers.len() > NAMESERVERS_MAX {
        let why = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        found.invalid(at("nameservers"), shown(&servers), why);
    }
    for (i, server) in servers.iter().enumerate() {
        if server.parse::<IpAddr>().is_err() {
            found.invalid(format!("{}[{i}]", at("nameservers")), server.as_str(), IP_WRONG);
        }
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        found.invalid(at("searches"), shown(&searches), why);
    }
    if searches.join(" ").len() > SEARCH_CHARS_MAX {
        let why =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        found.invalid(at("searches"), shown(&searches), why);
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        // Underscores are common in SRV names and allowed here alone. Source: KEP-4427.
        let name = search.strip_suffix('.').unwrap_or(search);
        each_invalid(found, &format!("{}[{i}]", at("searches")), name, subdomain_with_underscore(name));
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            found.required(format!("{}[{i}]", at("options")), "must not be empty");
        }
    }
}

/// A subdomain whose labels may hold underscores. Source: KEP-4427.
fn subdomain_with_underscore(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 253 {
        wrong.push("must be no more than 253 characters".into());
    }
    let label = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || b"-_".contains(b))
    };
    if !name.split('.').all(label) {
        wrong.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
                .into(),
        );
    }
    wrong
}
