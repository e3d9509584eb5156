//! What is wrong with a service, and what of it may not change.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Violations, names};
use sdk_workload::validate::{each_invalid, metadata};

use super::super::endpoints::ordinary_ip;
use super::super::fields::text;
use super::addresses;
use super::strategy::{has_health_check_port, is_headless, is_reachable_from_outside};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const AFFINITY_SECONDS_MAX: i32 = 86_400;
const FOR_BALANCERS: &str = "may only be used when `type` is 'LoadBalancer'";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const CIDR_WRONG: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// What is wrong with a service by itself.
pub fn service(service: &Service) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    let spec = service.spec.clone().unwrap_or_default();
    let annotation = |name: &str| service.metadata.annotations.as_ref().and_then(|all| all.get(name));
    if let (Some(mode), Some(hints)) = (annotation(TOPOLOGY_MODE), annotation(TOPOLOGY_HINTS))
        && mode != hints
    {
        let why = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        out.invalid(format!("metadata.annotations[{TOPOLOGY_MODE}]"), mode.as_str(), why);
    }
    let type_ = text(&spec.type_);
    let headless = is_headless(&spec);
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !headless && type_ != "ExternalName" {
        out.required("spec.ports", "");
    }
    match type_ {
        "LoadBalancer" | "NodePort" if headless => {
            out.invalid("spec.clusterIPs[0]", "None", format!("may not be set to 'None' for {type_} services"));
        }
        "ExternalName" => external_name(out, &spec),
        _ => {}
    }
    self::ports(out, ports);
    metadata::labels(out, spec.selector.as_ref(), "spec.selector");
    affinity(out, &spec);
    out.extend(addresses::cluster_addresses(&spec));
    for (i, ip) in spec.external_ips.iter().flatten().enumerate() {
        ordinary_ip(out, ip, &format!("spec.externalIPs[{i}]"));
    }
    match type_ {
        "" => out.required("spec.type", ""),
        known if TYPES.contains(&known) => {}
        other => out.not_supported("spec.type", other, &TYPES),
    }
    numbers(out, &spec, ports);
    balancer(out, &spec, annotation(SOURCE_RANGES).map(String::as_str));
    policies(out, &spec);
    found
}

fn external_name(found: &mut Violations, spec: &ServiceSpec) {
    for (field, set) in [
        ("clusterIPs", spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty())),
        ("ipFamilies", spec.ip_families.as_ref().is_some_and(|families| !families.is_empty())),
        ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ] {
        if set {
            found.forbidden(format!("spec.{field}"), "may not be set for ExternalName services");
        }
    }
    // A trailing dot says that the name is complete.
    let name = text(&spec.external_name);
    match name.strip_suffix('.').unwrap_or(name) {
        "" => found.required("spec.externalName", ""),
        name => each_invalid(found, "spec.externalName", name, names::dns1123_subdomain(name)),
    }
}

fn ports(found: &mut Violations, ports: &[ServicePort]) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("spec.ports[{i}].{field}");
        match text(&port.name) {
            "" if ports.len() > 1 => found.required(at("name"), ""),
            "" => {}
            name => {
                each_invalid(found, &at("name"), name, names::dns1123_label(name));
                if !seen.insert(name) {
                    found.duplicate(at("name"), name);
                }
            }
        }
        for why in names::port_number(i64::from(port.port)) {
            found.invalid(at("port"), port.port, why);
        }
        match text(&port.protocol) {
            "" => found.required(at("protocol"), ""),
            known if PROTOCOLS.contains(&known) => {}
            other => found.not_supported(at("protocol"), other, &PROTOCOLS),
        }
        match &port.target_port {
            Some(IntOrString::Int(number)) => {
                for why in names::port_number(i64::from(*number)) {
                    found.invalid(at("targetPort"), *number, why);
                }
            }
            Some(IntOrString::String(name)) => each_invalid(found, &at("targetPort"), name, names::port_name(name)),
            None => {}
        }
        if let Some(protocol) = &port.app_protocol {
            each_invalid(found, &at("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

/// Ports and node ports, each once for a protocol.
fn numbers(found: &mut Violations, spec: &ServiceSpec, ports: &[ServicePort]) {
    let node_ports =
        || ports.iter().enumerate().filter_map(|(i, port)| Some((i, port, port.node_port.filter(|n| *n != 0)?)));
    if text(&spec.type_) == "ClusterIP" {
        for (i, ..) in node_ports() {
            found.forbidden(format!("spec.ports[{i}].nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port, number) in node_ports() {
        if !seen.insert((text(&port.protocol), number)) {
            found.duplicate(format!("spec.ports[{i}].nodePort"), number);
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        if !seen.insert((text(&port.protocol), port.port)) {
            let shown = serde_json::json!({"protocol": port.protocol, "port": port.port});
            found.duplicate(format!("spec.ports[{i}]"), shown);
        }
    }
}

fn affinity(found: &mut Violations, spec: &ServiceSpec) {
    let config = spec.session_affinity_config.as_ref();
    let path = "spec.sessionAffinityConfig";
    match text(&spec.session_affinity) {
        "" => found.required("spec.sessionAffinity", ""),
        "None" if config.is_some() => {
            found.forbidden(path, "must not be set when session affinity is None");
        }
        "None" => {}
        "ClientIP" => {
            let why = "when session affinity type is ClientIP";
            let Some(config) = config else { return found.required(path, why) };
            let Some(client) = &config.client_ip else { return found.required(format!("{path}.clientIP"), why) };
            let path = format!("{path}.clientIP.timeoutSeconds");
            match client.timeout_seconds {
                None => found.required(path, why),
                Some(seconds) if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds) => {
                    let why = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    found.invalid(path, seconds, why);
                }
                Some(_) => {}
            }
        }
        other => found.not_supported("spec.sessionAffinity", other, &["ClientIP", "None"]),
    }
}

fn balancer(found: &mut Violations, spec: &ServiceSpec, annotated: Option<&str>) {
    let is_balancer = text(&spec.type_) == "LoadBalancer";
    let is_cidr = |range: &str| range.trim().parse::<ipnet::IpNet>().is_ok();
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    let path = "spec.LoadBalancerSourceRanges";
    if !ranges.is_empty() {
        if !is_balancer {
            found.forbidden(path, FOR_BALANCERS);
        }
        for (i, range) in ranges.iter().enumerate().filter(|(_, range)| !is_cidr(range)) {
            found.invalid(format!("{path}[{i}]"), range.trim(), CIDR_WRONG);
        }
    } else if let Some(list) = annotated {
        let path = format!("metadata.annotations[{SOURCE_RANGES}]");
        if !is_balancer {
            found.forbidden(&path, FOR_BALANCERS);
        }
        for range in list.split(',').filter(|range| !list.trim().is_empty() && !is_cidr(range)) {
            found.invalid(&path, range.trim(), CIDR_WRONG);
        }
    }
    match (spec.allocate_load_balancer_node_ports, is_balancer) {
        (Some(_), false) => found.forbidden("spec.allocateLoadBalancerNodePorts", FOR_BALANCERS),
        (None, true) => found.required("allocateLoadBalancerNodePorts", ""),
        _ => {}
    }
    match &spec.load_balancer_class {
        Some(class) if is_balancer => {
            each_invalid(found, "spec.loadBalancerClass", class, names::qualified_name(class));
        }
        Some(_) => found.forbidden("spec.loadBalancerClass", FOR_BALANCERS),
        None => {}
    }
}

fn policies(found: &mut Violations, spec: &ServiceSpec) {
    let known = ["Cluster", "Local"];
    let external = text(&spec.external_traffic_policy);
    let path = "spec.externalTrafficPolicy";
    if is_reachable_from_outside(spec) {
        match external {
            "" => found.required(path, ""),
            policy if known.contains(&policy) => {}
            other => found.not_supported(path, other, &known),
        }
    } else if !external.is_empty() {
        found.invalid(path, external, "may only be set for externally-accessible services");
    }
    let health = spec.health_check_node_port.unwrap_or(0);
    let path = "spec.healthCheckNodePort";
    match (has_health_check_port(spec), health) {
        (false, 0) => {}
        (false, health) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            found.invalid(path, health, why);
        }
        (true, 0) => found.required(path, ""),
        (true, health) => {
            for why in names::port_number(i64::from(health)) {
                found.invalid(path, health, why);
            }
        }
    }
    match spec.internal_traffic_policy.as_deref() {
        None if matches!(text(&spec.type_), "ClusterIP" | "LoadBalancer" | "NodePort") => {
            found.required("spec.internalTrafficPolicy", "");
        }
        Some(policy) if !known.contains(&policy) => {
            found.not_supported("spec.internalTrafficPolicy", policy, &known);
        }
        _ => {}
    }
    // Source: KEP-3015.
    let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(spread) = spec.traffic_distribution.as_deref().filter(|spread| !known.contains(spread)) {
        found.not_supported_in_order("spec.trafficDistribution", spread, &known);
    }
}

/// What an update changes that it may not.
pub fn changes(spec: &ServiceSpec, before: &ServiceSpec) -> Violations {
    let mut found = Violations::default();
    addresses::changes(&mut found, spec, before);
    let balancers = text(&spec.type_) == "LoadBalancer" && text(&before.type_) == "LoadBalancer";
    if balancers && spec.load_balancer_class != before.load_balancer_class {
        found.invalid("spec.loadBalancerClass", spec.load_balancer_class.clone(), "may not change once set");
    }
    let health = |spec: &ServiceSpec| spec.health_check_node_port.unwrap_or(0);
    if has_health_check_port(spec) && has_health_check_port(before) && health(spec) != health(before) {
        found.forbidden("spec.healthCheckNodePort", "field is immutable");
    }
    found
}

/// What is wrong with the addresses that a load balancer reports.
pub fn status(service: &Service) -> Violations {
    let mut found = Violations::default();
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let path = "status.loadBalancer.ingress";
    if !points.is_empty() && service.spec.as_ref().is_none_or(|spec| text(&spec.type_) != "LoadBalancer") {
        found.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
        return found;
    }
    for (i, point) in points.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        let ip = text(&point.ip);
        if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            found.invalid(at("ip"), ip, why);
        }
        match point.ip_mode.as_deref() {
            None if !ip.is_empty() => found.required(at("ipMode"), "must be specified when `ip` is set"),
            None => {}
            Some(_) if ip.is_empty() => found.forbidden(at("ipMode"), "may not be specified when `ip` is not set"),
            Some("VIP" | "Proxy") => {}
            Some(other) => found.not_supported(at("ipMode"), other, &["Proxy", "VIP"]),
        }
        let name = text(&point.hostname);
        if !name.is_empty() {
            each_invalid(&mut found, &at("hostname"), name, names::dns1123_subdomain(name));
            if name.parse::<std::net::IpAddr>().is_ok() {
                found.invalid(at("hostname"), name, "must be a DNS name, not an IP address");
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use sdk_api::Timestamp;
    use sdk_api::k8s_openapi::api::core::v1::Service;
    use sdk_plugin::Strategy;
    use serde_json::{Value, json};

    use super::super::strategy::ServiceStrategy;

    fn service(spec: Value) -> Service {
        let mut service = serde_json::from_value(json!({ "spec": spec })).unwrap();
        ServiceStrategy.default(&mut service);
        service
    }

    #[test]
    fn specs_are_checked() {
        let port = json!([{"port": 80}]);
        for (case, spec, wrong) in [
            ("good", json!({"ports": port}), vec![]),
            ("no port", json!({}), vec!["spec.ports"]),
            ("headless needs none", json!({"clusterIP": "None", "clusterIPs": ["None"]}), vec![]),
            (
                "headless with node ports",
                json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"], "ports": port}),
                vec!["spec.clusterIPs[0]"],
            ),
            ("an unknown type", json!({"type": "X", "ports": port}), vec!["spec.type"]),
            (
                "two ports without names",
                json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}),
                vec!["spec.ports[0].name"],
            ),
            (
                "one name twice",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}),
                vec!["spec.ports[1].name"],
            ),
            (
                "one port twice",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
                vec!["spec.ports[1]"],
            ),
            (
                "one port of two protocols",
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}]}),
                vec![],
            ),
            ("no port number", json!({"ports": [{"port": 0}]}), vec!["spec.ports[0].port", "spec.ports[0].targetPort"]),
            (
                "a node port without nodes",
                json!({"ports": [{"port": 80, "nodePort": 30080}]}),
                vec!["spec.ports[0].nodePort"],
            ),
            ("a bad selector", json!({"ports": port, "selector": {"a b": "c"}}), vec!["spec.selector"]),
            (
                "affinity for too long",
                json!({"ports": port, "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}}),
                vec!["spec.sessionAffinityConfig.clientIP.timeoutSeconds"],
            ),
            ("a name", json!({"type": "ExternalName", "externalName": "example.com"}), vec![]),
            ("no name", json!({"type": "ExternalName"}), vec!["spec.externalName"]),
            (
                "an address for a name",
                json!({"type": "ExternalName", "externalName": "e", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}),
                vec!["spec.clusterIPs"],
            ),
            (
                "loopback from outside",
                json!({"ports": port, "externalIPs": ["127.0.0.1"]}),
                vec!["spec.externalIPs[0]"],
            ),
            (
                "a policy for nothing",
                json!({"ports": port, "externalTrafficPolicy": "Local"}),
                vec!["spec.externalTrafficPolicy"],
            ),
            (
                "a class for nothing",
                json!({"ports": port, "loadBalancerClass": "example.com/x"}),
                vec!["spec.loadBalancerClass"],
            ),
            (
                "ranges that are none",
                json!({"type": "LoadBalancer", "ports": port, "loadBalancerSourceRanges": ["10.0.0.0"]}),
                vec!["spec.LoadBalancerSourceRanges[0]"],
            ),
            (
                "a health check nobody needs",
                json!({"ports": port, "healthCheckNodePort": 30000}),
                vec!["spec.healthCheckNodePort"],
            ),
            (
                "traffic nobody knows",
                json!({"ports": port, "trafficDistribution": "Anywhere"}),
                vec!["spec.trafficDistribution"],
            ),
            (
                "one node port twice",
                json!({"type": "NodePort", "ports": [{"port": 80, "name": "a", "nodePort": 30000},
                    {"port": 81, "name": "b", "nodePort": 30000}]}),
                vec!["spec.ports[1].nodePort"],
            ),
            (
                "a bad address",
                json!({"ports": port, "clusterIP": "x", "clusterIPs": ["x"]}),
                vec!["spec.clusterIPs[0]"],
            ),
        ] {
            assert_eq!(ServiceStrategy.validate(&service(spec), None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn what_a_balancer_reports() {
        let with = |type_: &str, point: Value| {
            let mut service: Service = serde_json::from_value(json!({"spec": {"type": type_},
                "status": {"loadBalancer": {"ingress": [point]}}}))
            .unwrap();
            ServiceStrategy.default(&mut service);
            service
        };
        let at = |field: &str| format!("status.loadBalancer.ingress[0].{field}");
        for (case, service, wrong) in [
            ("an address", with("LoadBalancer", json!({"ip": "1.2.3.4"})), vec![]),
            ("a name", with("LoadBalancer", json!({"hostname": "a.example.com"})), vec![]),
            (
                "no balancer",
                with("ClusterIP", json!({"ip": "1.2.3.4"})),
                vec!["status.loadBalancer.ingress".to_owned()],
            ),
            ("no address", with("LoadBalancer", json!({"ip": "x"})), vec![at("ip")]),
            ("a mode of nothing", with("LoadBalancer", json!({"ipMode": "VIP"})), vec![at("ipMode")]),
            ("an address for a name", with("LoadBalancer", json!({"hostname": "1.2.3.4"})), vec![at("hostname")]),
        ] {
            assert_eq!(ServiceStrategy.validate_status(&service, &service).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn an_address_stays() {
        let with = |ip: &str| json!({"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]});
        let name = json!({"type": "ExternalName", "externalName": "e"});
        for (case, old, new, wrong) in [
            ("the same", with("10.0.0.1"), with("10.0.0.1"), vec![]),
            ("another", with("10.0.0.1"), with("10.0.0.2"), vec!["spec.clusterIPs[0]"]),
            ("given up", with("10.0.0.1"), with("None"), vec!["spec.clusterIPs[0]"]),
            ("left out", with("10.0.0.1"), json!({"ports": [{"port": 80}]}), vec![]),
            ("to a name", with("10.0.0.1"), name.clone(), vec![]),
            ("from a name", name, with("10.0.0.2"), vec![]),
        ] {
            let (mut new, old) = (service(new), service(old));
            ServiceStrategy.prepare_update(&mut new, &old, Timestamp::UNIX_EPOCH);
            assert_eq!(ServiceStrategy.validate(&new, Some(&old)).fields(), wrong, "{case}");
        }
    }
}
