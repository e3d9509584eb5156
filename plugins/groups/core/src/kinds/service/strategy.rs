//! What is special about services: defaults, and what an update that leaves fields out means.

use sdk_api::k8s_openapi::api::core::v1::{ClientIPConfig, Service, ServiceSpec, SessionAffinityConfig};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Timestamp, Violations};
use sdk_plugin::Strategy;

use super::super::fields::text;
use super::validate;

/// Three hours. Source: API reference, "ClientIPConfig".
const AFFINITY_SECONDS: i32 = 10_800;

/// The strategy of services.
pub struct ServiceStrategy;
impl Strategy for ServiceStrategy {
    type Object = Service;

    fn default(&self, service: &mut Service) {
        let spec = service.spec.get_or_insert_default();
        if text(&spec.type_).is_empty() {
            spec.type_ = Some("ClusterIP".into());
        }
        if text(&spec.session_affinity).is_empty() {
            spec.session_affinity = Some("None".into());
        }
        match text(&spec.session_affinity) {
            "None" => spec.session_affinity_config = None,
            "ClientIP" => {
                let config: &mut SessionAffinityConfig = spec.session_affinity_config.get_or_insert_default();
                let client: &mut ClientIPConfig = config.client_ip.get_or_insert_default();
                client.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
            }
            _ => {}
        }
        for port in spec.ports.iter_mut().flatten() {
            if text(&port.protocol).is_empty() {
                port.protocol = Some("TCP".into());
            }
            match &port.target_port {
                None | Some(IntOrString::Int(0)) => port.target_port = Some(IntOrString::Int(port.port)),
                Some(IntOrString::String(name)) if name.is_empty() => {
                    port.target_port = Some(IntOrString::Int(port.port));
                }
                Some(_) => {}
            }
        }
        if is_reachable_from_outside(spec) && text(&spec.external_traffic_policy).is_empty() {
            spec.external_traffic_policy = Some("Cluster".into());
        }
        if has_cluster_ip(spec) || is_headless(spec) {
            spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".into());
        }
        if text(&spec.type_) == "LoadBalancer" {
            spec.allocate_load_balancer_node_ports.get_or_insert(true);
        }
        let points = service.status.iter_mut().flat_map(|status| &mut status.load_balancer);
        for point in points.flat_map(|balancer| balancer.ingress.iter_mut().flatten()) {
            if !text(&point.ip).is_empty() && point.ip_mode.is_none() {
                point.ip_mode = Some("VIP".into());
            }
        }
    }

    fn prepare_create(&self, new: &mut Service, _now: Timestamp) {
        let spec = new.spec.get_or_insert_default();
        normalize(spec, None);
        new.status.get_or_insert_default().load_balancer.get_or_insert_default();
    }

    fn prepare_update(&self, new: &mut Service, old: &Service, _now: Timestamp) {
        let before = old.spec.clone().unwrap_or_default();
        let spec = new.spec.get_or_insert_default();
        normalize(spec, Some(&before));
        drop_what_the_type_has_not(spec, &before);
        keep_allocated(spec, &before);
        if text(&spec.type_) != "LoadBalancer" {
            new.status.get_or_insert_default().load_balancer = Some(Default::default());
        }
    }

    fn validate(&self, new: &Service, old: Option<&Service>) -> Violations {
        let mut found = Violations::default();
        if let Some(old) = old {
            let spec = |service: &Service| service.spec.clone().unwrap_or_default();
            found.extend(validate::changes(&spec(new), &spec(old)));
        }
        found.extend(validate::service(new));
        found
    }

    fn validate_status(&self, new: &Service, _old: &Service) -> Violations {
        validate::status(new)
    }

    fn warnings(&self, new: &Service) -> Vec<String> {
        let spec = new.spec.clone().unwrap_or_default();
        let mut all = Vec::new();
        if !text(&spec.external_name).is_empty() && text(&spec.type_) != "ExternalName" {
            all.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
        }
        if is_headless(&spec) {
            if !text(&spec.load_balancer_ip).is_empty() {
                all.push("spec.loadBalancerIP is ignored for headless services".into());
            }
            if spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()) {
                all.push("spec.externalIPs is ignored for headless services".into());
            }
            if text(&spec.session_affinity) == "ClientIP" {
                all.push("spec.SessionAffinity is ignored for headless services".into());
            }
        }
        all
    }
}

/// Whether the type has a cluster IP and none was declined.
pub fn has_cluster_ip(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "ClusterIP" | "NodePort" | "LoadBalancer") && !is_headless(spec)
}

/// Whether a cluster IP was declined.
pub fn is_headless(spec: &ServiceSpec) -> bool {
    text(&spec.type_) != "ExternalName" && text(&spec.cluster_ip) == "None"
}

/// Whether the type allows ports on the nodes. Those that a balancer has stay when it no longer wants new ones.
fn may_have_node_ports(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "NodePort" | "LoadBalancer")
}

/// Whether each port gets a port on every node.
pub fn has_node_ports(spec: &ServiceSpec) -> bool {
    match text(&spec.type_) {
        "NodePort" => true,
        "LoadBalancer" => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    }
}

/// Whether load balancers ask a port of the node for its health.
pub fn has_health_check_port(spec: &ServiceSpec) -> bool {
    text(&spec.type_) == "LoadBalancer" && text(&spec.external_traffic_policy) == "Local"
}

/// Whether anything outside the cluster reaches it through the nodes.
pub fn is_reachable_from_outside(spec: &ServiceSpec) -> bool {
    match text(&spec.type_) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

/// `clusterIP` is the older name of the first of `clusterIPs`. Where a client knows only the one, the other follows.
fn normalize(spec: &mut ServiceSpec, before: Option<&ServiceSpec>) {
    let ip = text(&spec.cluster_ip).to_owned();
    let Some(before) = before else {
        if !ip.is_empty() && spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
            spec.cluster_ips = Some(vec![ip]);
        }
        return;
    };
    let ip_before = text(&before.cluster_ip);
    let same_list = spec.cluster_ips == before.cluster_ips;
    if ip.is_empty() && !ip_before.is_empty() && same_list {
        spec.cluster_ips = None;
    } else if ip != ip_before && (same_list || spec.cluster_ips.as_ref().is_none_or(Vec::is_empty)) {
        spec.cluster_ips = (!ip.is_empty()).then(|| vec![ip]);
    }
}

/// What was allocated stays where an update leaves it out.
fn keep_allocated(spec: &mut ServiceSpec, before: &ServiceSpec) {
    if has_cluster_ip(spec) && has_cluster_ip(before) {
        if text(&spec.cluster_ip).is_empty() {
            spec.cluster_ip.clone_from(&before.cluster_ip);
        }
        if spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) && spec.cluster_ip == before.cluster_ip {
            spec.cluster_ips.clone_from(&before.cluster_ips);
        }
    }
    if may_have_node_ports(spec) && may_have_node_ports(before) {
        let mut taken: Vec<(String, i32)> = Vec::new();
        for port in spec.ports.iter().flatten() {
            taken.extend(port.node_port.filter(|n| *n != 0).map(|n| (text(&port.protocol).to_owned(), n)));
        }
        for port in spec.ports.iter_mut().flatten().filter(|port| port.node_port.unwrap_or(0) == 0) {
            let old = before.ports.iter().flatten().find(|old| old.port == port.port && old.protocol == port.protocol);
            let Some(number) = old.and_then(|old| old.node_port).filter(|number| *number != 0) else { continue };
            let wanted = (text(&port.protocol).to_owned(), number);
            if !taken.contains(&wanted) {
                port.node_port = Some(number);
                taken.push(wanted);
            }
        }
    }
    if has_health_check_port(spec) && has_health_check_port(before) && spec.health_check_node_port.unwrap_or(0) == 0 {
        spec.health_check_node_port = before.health_check_node_port;
    }
}

/// A change of type takes away what only the old type had, unless the request sets it anew.
fn drop_what_the_type_has_not(spec: &mut ServiceSpec, before: &ServiceSpec) {
    if has_cluster_ip(before) && !has_cluster_ip(spec) && text(&spec.type_) == "ExternalName" {
        if spec.cluster_ip == before.cluster_ip && spec.cluster_ips == before.cluster_ips {
            spec.cluster_ip = None;
            spec.cluster_ips = None;
        }
        if spec.ip_families == before.ip_families {
            spec.ip_families = None;
        }
        if spec.ip_family_policy == before.ip_family_policy {
            spec.ip_family_policy = None;
        }
        if spec.internal_traffic_policy == before.internal_traffic_policy {
            spec.internal_traffic_policy = None;
        }
    }
    if may_have_node_ports(before) && !may_have_node_ports(spec) {
        let numbers = |spec: &ServiceSpec| -> Vec<i32> {
            spec.ports.iter().flatten().map(|port| port.node_port.unwrap_or(0)).collect()
        };
        if numbers(spec) == numbers(before) {
            spec.ports.iter_mut().flatten().for_each(|port| port.node_port = None);
        }
    }
    if has_health_check_port(before)
        && !has_health_check_port(spec)
        && spec.health_check_node_port == before.health_check_node_port
    {
        spec.health_check_node_port = None;
    }
    if text(&before.type_) == "LoadBalancer" && text(&spec.type_) != "LoadBalancer" {
        if spec.allocate_load_balancer_node_ports == before.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if spec.load_balancer_class == before.load_balancer_class {
            spec.load_balancer_class = None;
        }
        if spec.load_balancer_source_ranges == before.load_balancer_source_ranges {
            spec.load_balancer_source_ranges = None;
        }
    }
    if is_reachable_from_outside(before)
        && !is_reachable_from_outside(spec)
        && spec.external_traffic_policy == before.external_traffic_policy
    {
        spec.external_traffic_policy = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        let mut service = serde_json::from_value(json!({ "spec": spec })).unwrap();
        ServiceStrategy.default(&mut service);
        service
    }

    #[test]
    fn a_service_is_filled_as_upstream_does() {
        let port = json!({"port": 80, "protocol": "TCP", "targetPort": 80});
        for (case, spec, expected) in [
            (
                "cluster",
                json!({"ports": [{"port": 80}]}),
                json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ports": [port]}),
            ),
            (
                "node port",
                json!({"type": "NodePort", "ports": [{"port": 80}]}),
                json!({"type": "NodePort", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                    "externalTrafficPolicy": "Cluster", "ports": [port]}),
            ),
            (
                "load balancer",
                json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}),
                json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
                    "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
            ),
            (
                "a name",
                json!({"type": "ExternalName", "externalName": "example.com"}),
                json!({"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"}),
            ),
        ] {
            let filled = service(spec);
            assert_eq!(serde_json::to_value(&filled.spec).unwrap(), expected, "{case}");
            let mut again = filled.clone();
            ServiceStrategy.default(&mut again);
            assert_eq!(again, filled, "{case}");
        }
    }

    #[test]
    fn updates_keep_and_drop_what_was_allocated() {
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [{"port": 80, "nodePort": 30080}]});
        for (case, new, field, expected) in [
            ("left out", json!({"type": "NodePort", "ports": [{"port": 80}]}), "clusterIPs", json!(["10.0.0.9"])),
            (
                "port left out",
                json!({"type": "NodePort", "ports": [{"port": 80}]}),
                "ports",
                json!([{"port": 80, "nodePort": 30080, "protocol": "TCP", "targetPort": 80}]),
            ),
            (
                "another port",
                json!({"type": "NodePort", "ports": [{"port": 81}]}),
                "ports",
                json!([{"port": 81, "protocol": "TCP", "targetPort": 81}]),
            ),
            (
                "no node ports any more",
                json!({"type": "ClusterIP", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
                    "ports": [{"port": 80, "nodePort": 30080}]}),
                "ports",
                json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]),
            ),
            (
                "no address any more",
                json!({"type": "ExternalName", "externalName": "e", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]}),
                "clusterIPs",
                Value::Null,
            ),
        ] {
            let (mut new, old) = (service(new), service(old.clone()));
            ServiceStrategy.prepare_update(&mut new, &old, Timestamp::UNIX_EPOCH);
            assert_eq!(serde_json::to_value(&new.spec).unwrap()[field], expected, "{case}");
        }
    }
}
