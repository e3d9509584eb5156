//! DNS, host names and the host's namespaces.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};
use sdk_api::{Violations, names};

use super::{each_invalid, one_of, shown};

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const IP_WRONG: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

pub(super) fn network(found: &mut Violations, spec: &PodSpec, path: &str) {
    let at = |field: &str| format!("{path}.{field}");
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(found, &at("dnsPolicy"), spec.dns_policy.as_deref(), &policies);
    dns_config(found, spec, &at("dnsConfig"));
    for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            each_invalid(found, &at(field), name, names::dns1123_label(name));
        }
    }
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = format!("{path}.hostAliases[{i}]");
        if alias.ip.parse::<IpAddr>().is_err() {
            found.invalid(format!("{path}.ip"), alias.ip.as_str(), IP_WRONG);
        }
        for (n, name) in alias.hostnames.iter().flatten().enumerate() {
            each_invalid(found, &format!("{path}.hostnames[{n}]"), name, names::dns1123_subdomain(name));
        }
    }
    if let Some(name) = &spec.hostname_override {
        each_invalid(found, &at("hostnameOverride"), name, names::dns1123_subdomain(name));
        if name.len() > 64 {
            found.too_long(at("hostnameOverride"), 64);
        }
        if spec.host_network == Some(true) {
            found.forbidden(at("hostnameOverride"), "may not be set when `hostNetwork` is true");
        }
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        found.invalid(at("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    if spec.host_users == Some(false) {
        for (field, set) in [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        {
            if set == Some(true) {
                found.forbidden(at(field), "when `hostUsers` is false");
            }
        }
    }
}

fn dns_config(found: &mut Violations, spec: &PodSpec, path: &str) {
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
        found.required(at("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
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
        let name = search.strip_suffix('.').unwrap_or(search).replace('_', "-x");
        let wrong = names::dns1123_subdomain(name.trim_start_matches("-x"));
        each_invalid(found, &format!("{}[{i}]", at("searches")), search, wrong);
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            found.required(format!("{}[{i}]", at("options")), "must not be empty");
        }
    }
}
