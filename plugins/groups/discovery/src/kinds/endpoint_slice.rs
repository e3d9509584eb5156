//! `EndpointSlice`: some of the endpoints behind a Service.

use std::net::IpAddr;

use sdk_api::k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointPort, EndpointSlice};
use sdk_api::{Violations, checks, domains, names};
use sdk_plugin::cells::{int_or_string, some_of, strings};
use sdk_plugin::{Column, Kind, Strategy};

/// How many endpoints a slice may hold.
const ENDPOINTS_MAX: usize = 1000;
/// How many ports a slice may hold.
const PORTS_MAX: usize = 20_000;
/// How many addresses an endpoint may have.
const ADDRESSES_MAX: usize = 100;
const TOPOLOGY_LABELS_MAX: usize = 16;
/// How many zones, or nodes, an endpoint may be meant for.
const HINTS_MAX: usize = 8;
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("AddressType", ".addressType"),
    Column::compute("Ports", |slice, _| {
        let ports = slice["ports"].as_array().into_iter().flatten();
        let ports: Vec<_> = ports
            .map(|port| {
                int_or_string(&port["port"]).or_else(|| int_or_string(&port["name"])).unwrap_or_else(|| "*".into())
            })
            .collect();
        some_of(&ports, 3).into()
    }),
    Column::compute("Endpoints", |slice, _| {
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        let all: Vec<_> = endpoints.flat_map(|e| strings(&e["addresses"], "")).map(str::to_owned).collect();
        some_of(&all, 3).into()
    }),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(EndpointSliceStrategy).columns(COLUMNS).generation()
}

struct EndpointSliceStrategy;
impl Strategy for EndpointSliceStrategy {
    type Object = EndpointSlice;

    fn default(&self, slice: &mut EndpointSlice) {
        for port in slice.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".into());
        }
    }

    fn validate(&self, new: &EndpointSlice, old: Option<&EndpointSlice>) -> Violations {
        let mut found = Violations::default();
        let kind = new.address_type.as_str();
        if kind.is_empty() {
            found.required("addressType", "");
        } else if !ADDRESS_TYPES.contains(&kind) {
            found.not_supported("addressType", kind, &ADDRESS_TYPES);
        }
        let endpoints = new.endpoints.as_deref().unwrap_or_default();
        if endpoints.len() > ENDPOINTS_MAX {
            found.too_many("endpoints", endpoints.len(), ENDPOINTS_MAX);
        } else {
            for (at, endpoint) in endpoints.iter().enumerate() {
                validate_endpoint(&mut found, &format!("endpoints[{at}]"), kind, endpoint);
            }
        }
        validate_ports(&mut found, new.ports.as_deref().unwrap_or_default());
        if let Some(old) = old {
            checks::unchanged(&mut found, "addressType", &new.address_type, &old.address_type);
        }
        found
    }
}

fn validate_endpoint(found: &mut Violations, field: &str, kind: &str, endpoint: &Endpoint) {
    let addresses = &endpoint.addresses;
    if addresses.is_empty() {
        found.required(format!("{field}.addresses"), "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES_MAX {
        found.too_many(format!("{field}.addresses"), addresses.len(), ADDRESSES_MAX);
    }
    for (at, address) in addresses.iter().enumerate() {
        let field = format!("{field}.addresses[{at}]");
        match kind {
            "IPv4" | "IPv6" => match address.parse::<IpAddr>() {
                Ok(ip) if ip.is_ipv4() == (kind == "IPv4") => {
                    if let Some(why) = special(ip) {
                        found.invalid(field, address.as_str(), why);
                    }
                }
                _ => found.invalid(field, address.as_str(), format!("must be a valid {kind} address")),
            },
            "FQDN" => domain(found, &field, address),
            _ => {}
        }
    }
    for (name, value) in [("nodeName", &endpoint.node_name), ("hostname", &endpoint.hostname)] {
        let rule = if name == "hostname" { names::dns1123_label } else { names::dns1123_subdomain };
        for problem in value.iter().flat_map(|value| rule(value)) {
            found.invalid(format!("{field}.{name}"), value.as_deref().unwrap_or_default(), problem);
        }
    }
    if let Some(hints) = &endpoint.hints {
        validate_hints(found, &format!("{field}.hints"), hints);
    }
    if let Some(topology) = &endpoint.deprecated_topology {
        if topology.len() > TOPOLOGY_LABELS_MAX {
            found.too_many(format!("{field}.deprecatedTopology"), topology.len(), TOPOLOGY_LABELS_MAX);
        }
        checks::labels(found, format!("{field}.deprecatedTopology"), topology);
    }
}

/// A domain of at least two labels; a dot may follow it.
fn domain(found: &mut Violations, field: &str, name: &str) {
    if name.is_empty() {
        return found.required(field, "");
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let problems = names::dns1123_subdomain(name);
    if !problems.is_empty() {
        found.invalid(field, name, problems.join(","));
    } else if !name.contains('.') {
        found.invalid(field, name, "should be a domain with at least two segments separated by dots");
    } else if let Some(label) = name.split('.').find(|label| !names::dns1123_label(label).is_empty()) {
        found.invalid(field, label, names::dns1123_label(label).join(","));
    }
}

/// Whom the endpoint is meant for. Source: KEP-2433.
fn validate_hints(found: &mut Violations, field: &str, hints: &EndpointHints) {
    let zones: Vec<_> = hints.for_zones.iter().flatten().map(|zone| zone.name.as_str()).collect();
    let nodes: Vec<_> = hints.for_nodes.iter().flatten().map(|node| node.name.as_str()).collect();
    type Rule = fn(&str) -> Vec<String>;
    let rules: [(&str, _, Rule); 2] =
        [("forZones", zones, names::qualified_name), ("forNodes", nodes, names::dns1123_subdomain)];
    for (name, list, rule) in rules {
        let field = format!("{field}.{name}");
        if list.len() > HINTS_MAX {
            found.too_many(field, list.len(), HINTS_MAX);
            continue;
        }
        for (at, name) in list.iter().enumerate() {
            let field = format!("{field}[{at}].name");
            if list[..at].contains(name) {
                found.duplicate(&field, *name);
            }
            domains::each_invalid(found, field, name, rule(name));
        }
    }
}

/// Why an address cannot be an endpoint's. Source: `ValidateEndpointIP`.
fn special(ip: IpAddr) -> Option<&'static str> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] == 0xff02,
    };
    if ip.is_unspecified() {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if ip.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if local_multicast {
        Some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    } else {
        None
    }
}

fn validate_ports(found: &mut Violations, ports: &[EndpointPort]) {
    if ports.len() > PORTS_MAX {
        found.too_many("ports", ports.len(), PORTS_MAX);
        return;
    }
    let mut seen = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let field = format!("ports[{at}]");
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            for problem in names::dns1123_label(name) {
                found.invalid(format!("{field}.name"), name, problem);
            }
        }
        if seen.contains(&name) {
            found.duplicate(format!("{field}.name"), name);
        }
        seen.push(name);
        match port.protocol.as_deref() {
            None => found.required(format!("{field}.protocol"), ""),
            Some("TCP" | "UDP" | "SCTP") => {}
            Some(other) => found.not_supported(format!("{field}.protocol"), other, &["SCTP", "TCP", "UDP"]),
        }
        for problem in port.port.map(i64::from).map(names::port_number).unwrap_or_default() {
            found.invalid(format!("{field}.port"), port.port.unwrap_or(0), problem);
        }
        for problem in port.app_protocol.as_deref().map(names::qualified_name).unwrap_or_default() {
            found.invalid(format!("{field}.appProtocol"), port.app_protocol.as_deref().unwrap_or_default(), problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(mut body: Value) -> EndpointSlice {
        body["metadata"] = json!({"name": "s"});
        let mut slice = serde_json::from_value(body).unwrap();
        EndpointSliceStrategy.default(&mut slice);
        slice
    }

    #[test]
    fn slices_are_checked() {
        for (case, body, wrong) in [
            (
                "plain",
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
                vec![],
            ),
            ("no type", json!({}), vec!["addressType"]),
            ("an unknown type", json!({"addressType": "IPX"}), vec!["addressType"]),
            ("no address", json!({"addressType": "IPv4", "endpoints": [{}]}), vec!["endpoints[0].addresses"]),
            (
                "the other family, and loopback",
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["::1", "127.0.0.1"]}]}),
                vec!["endpoints[0].addresses[0]", "endpoints[0].addresses[1]"],
            ),
            ("a name", json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}), vec![]),
            (
                "two ports without a name, one with a bad protocol",
                json!({"addressType": "IPv4", "ports": [{"port": 80}, {"port": 81, "protocol": "X"}]}),
                vec!["ports[1].name", "ports[1].protocol"],
            ),
            (
                "names that are none",
                json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example.", "a", "", "A.b"]}]}),
                vec!["endpoints[0].addresses[1]", "endpoints[0].addresses[2]", "endpoints[0].addresses[3]"],
            ),
            (
                "hints",
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "hints": {
                    "forZones": [{"name": "z"}, {"name": "z"}, {"name": ""}],
                    "forNodes": vec![json!({"name": "n"}); 9],
                }}]}),
                vec![
                    "endpoints[0].hints.forZones[1].name",
                    "endpoints[0].hints.forZones[2].name",
                    "endpoints[0].hints.forZones[2].name",
                    "endpoints[0].hints.forNodes",
                ],
            ),
            ("port 0", json!({"addressType": "IPv4", "ports": [{"port": 0}]}), vec!["ports[0].port"]),
        ] {
            assert_eq!(EndpointSliceStrategy.validate(&slice(body), None).fields(), wrong, "{case}");
        }
        let found = EndpointSliceStrategy
            .validate(&slice(json!({"addressType": "IPv6"})), Some(&slice(json!({"addressType": "IPv4"}))));
        assert_eq!(found.summary(), r#"addressType: Invalid value: "IPv6": field is immutable"#);
    }

    #[test]
    fn columns_cut_long_lists() {
        let slice = json!({
            "metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {"name": ""}],
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2", "10.0.0.3"]}, {"addresses": ["10.0.0.4"]}],
        });
        let now = sdk_api::Timestamp::UNIX_EPOCH;
        let cells: Vec<_> = COLUMNS[..4].iter().map(|column| column.value(&slice, now)).collect();
        assert_eq!(cells, ["s", "IPv4", "80,x,", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more..."].map(Value::from));
    }
}
