//! `Endpoints`: the older list of the addresses behind a Service.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::each_invalid;
use serde_json::Value;

use super::fields::text;

/// How many addresses the table shows.
const SHOWN_MAX: usize = 3;

const COLUMNS: &[Column] =
    &[Column::NAME, Column::compute("Endpoints", |endpoints, _| addresses(endpoints).into()), Column::AGE];

/// The row.
pub fn kind() -> Kind {
    Kind::of(EndpointsStrategy)
        .short_names(&["ep"])
        .columns(COLUMNS)
        .create_on_update()
        .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
}

fn addresses(endpoints: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut shown = Vec::new();
    let mut count = 0;
    for subset in list(&endpoints["subsets"]) {
        let ips: Vec<String> =
            list(&subset["addresses"]).iter().map(|a| a["ip"].as_str().unwrap_or_default().to_owned()).collect();
        let ports = list(&subset["ports"]);
        let all: Vec<String> = if ports.is_empty() {
            ips
        } else {
            let with =
                |port: &Value| ips.iter().map(|ip| join(ip, port["port"].as_i64().unwrap_or(0))).collect::<Vec<_>>();
            ports.iter().flat_map(with).collect()
        };
        count += all.len();
        shown.extend(all);
        shown.truncate(SHOWN_MAX);
    }
    match count {
        0 if list(&endpoints["subsets"]).is_empty() => "<none>".into(),
        _ if count > SHOWN_MAX => format!("{} + {} more...", shown.join(","), count - SHOWN_MAX),
        _ => shown.join(","),
    }
}

/// An address with a port; IPv6 in brackets.
fn join(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

struct EndpointsStrategy;
impl Strategy for EndpointsStrategy {
    type Object = Endpoints;

    fn default(&self, endpoints: &mut Endpoints) {
        for port in endpoints.subsets.iter_mut().flatten().flat_map(|subset| subset.ports.iter_mut().flatten()) {
            if text(&port.protocol).is_empty() {
                port.protocol = Some("TCP".into());
            }
        }
    }

    fn validate(&self, new: &Endpoints, _old: Option<&Endpoints>) -> Violations {
        let mut found = Violations::default();
        for (i, subset) in new.subsets.iter().flatten().enumerate() {
            self::subset(&mut found, subset, &format!("subsets[{i}]"));
        }
        found
    }

    fn warnings(&self, _new: &Endpoints) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()]
    }
}

fn subset(found: &mut Violations, subset: &EndpointSubset, path: &str) {
    let ready = subset.addresses.as_deref().unwrap_or_default();
    let not_ready = subset.not_ready_addresses.as_deref().unwrap_or_default();
    if ready.is_empty() && not_ready.is_empty() {
        found.required(path, "must specify `addresses` or `notReadyAddresses`");
    }
    for (field, list) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
        for (i, address) in list.iter().enumerate() {
            self::address(found, address, &format!("{path}.{field}[{i}]"));
        }
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    for (i, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("{path}.ports[{i}].{field}");
        match text(&port.name) {
            "" if ports.len() > 1 => found.required(at("name"), ""),
            "" => {}
            name => each_invalid(found, &at("name"), name, names::dns1123_label(name)),
        }
        for why in names::port_number(i64::from(port.port)) {
            found.invalid(at("port"), port.port, why);
        }
        match text(&port.protocol) {
            "" => found.required(at("protocol"), ""),
            "TCP" | "UDP" | "SCTP" => {}
            other => found.not_supported(at("protocol"), other, &["SCTP", "TCP", "UDP"]),
        }
        if let Some(protocol) = &port.app_protocol {
            each_invalid(found, &at("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

fn address(found: &mut Violations, address: &EndpointAddress, path: &str) {
    ordinary_ip(found, &address.ip, &format!("{path}.ip"));
    if let Some(name) = address.hostname.as_deref().filter(|name| !name.is_empty()) {
        each_invalid(found, &format!("{path}.hostname"), name, names::dns1123_label(name));
    }
    if let Some(name) = &address.node_name {
        each_invalid(found, &format!("{path}.nodeName"), name, names::dns1123_subdomain(name));
    }
}

/// An address that may lead to a pod or host: not of the loopback, link-local or link-local multicast ranges.
pub fn ordinary_ip(found: &mut Violations, ip: &str, path: &str) {
    let Ok(parsed) = ip.parse::<IpAddr>() else {
        return found.invalid(path, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    };
    if parsed.is_unspecified() {
        found.invalid(path, ip, format!("may not be unspecified ({ip})"));
    }
    if parsed.is_loopback() {
        found.invalid(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, multicast) = match parsed {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        found.invalid(path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        found.invalid(path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_shown_with_ports() {
        let ip = |ip: &str| json!({ "ip": ip });
        for (case, subsets, text) in [
            ("none", json!([]), "<none>"),
            ("one", json!([{"addresses": [ip("10.0.0.1")], "ports": [{"port": 80}]}]), "10.0.0.1:80"),
            ("no port", json!([{"addresses": [ip("10.0.0.1")]}]), "10.0.0.1"),
            ("not ready", json!([{"notReadyAddresses": [ip("10.0.0.1")], "ports": [{"port": 80}]}]), ""),
            (
                "many",
                json!([{"addresses": [ip("10.0.0.1"), ip("10.0.0.2")], "ports": [{"port": 80}, {"port": 443}]}]),
                "10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more...",
            ),
        ] {
            assert_eq!(addresses(&json!({ "subsets": subsets })), text, "{case}");
        }
    }

    #[test]
    fn subsets_are_checked() {
        for (case, subset, wrong) in [
            ("good", json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}), vec![]),
            ("no address", json!({"ports": [{"port": 80}]}), vec!["subsets[0]"]),
            ("loopback", json!({"addresses": [{"ip": "127.0.0.1"}]}), vec!["subsets[0].addresses[0].ip"]),
            ("no address at all", json!({"addresses": [{"ip": "x"}]}), vec!["subsets[0].addresses[0].ip"]),
            (
                "two ports without names",
                json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}, {"port": 0, "name": "b"}]}),
                vec!["subsets[0].ports[0].name", "subsets[0].ports[1].port"],
            ),
        ] {
            let mut endpoints: Endpoints = serde_json::from_value(json!({"subsets": [subset]})).unwrap();
            EndpointsStrategy.default(&mut endpoints);
            assert_eq!(EndpointsStrategy.validate(&endpoints, None).fields(), wrong, "{case}");
        }
    }
}
