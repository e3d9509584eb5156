//! From pods to endpoints, grouped by the ports they answer on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use sdk_api::k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone,
};
use sdk_plugin::View;

const ZONE: &str = "topology.kubernetes.io/zone";

/// Endpoints that have the same ports.
pub(super) struct Group {
    pub ports: Vec<EndpointPort>,
    /// In the order of their pods.
    pub endpoints: Vec<Endpoint>,
}

/// All endpoints of a Service, by [`ports_key`].
pub(super) fn groups(
    view: &View<'_>,
    service: &Service,
    pods: &[Arc<Pod>],
    address_type: &str,
) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !sdk_workload::is_finished(pod)) {
        let Some(endpoint) = endpoint(view, service, pod, address_type) else { continue };
        let ports = ports(service, pod);
        let group = groups.entry(ports_key(&ports)).or_insert_with(|| Group { ports, endpoints: Vec::new() });
        group.endpoints.push(endpoint);
    }
    groups
}

/// Ports in a form that can be compared, whatever their order.
pub(super) fn ports_key(ports: &[EndpointPort]) -> String {
    let mut texts: Vec<_> = ports.iter().map(|port| serde_json::to_string(port).unwrap_or_default()).collect();
    texts.sort();
    texts.join(",")
}

fn endpoint(view: &View<'_>, service: &Service, pod: &Pod, address_type: &str) -> Option<Endpoint> {
    let spec = service.spec.as_ref()?;
    let addresses = addresses(pod, address_type);
    if addresses.is_empty() {
        return None;
    }
    let serving = sdk_workload::is_ready(pod);
    let terminating = sdk_workload::is_terminating(pod);
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let pod_spec = pod.spec.as_ref();
    let node_name = pod_spec.and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
    let zone = node_name.as_ref().and_then(|name| {
        let node = view.get::<Node>("", name)?;
        node.metadata.labels.as_ref()?.get(ZONE).cloned()
    });
    let is_named = pod_spec.and_then(|spec| spec.subdomain.as_deref()) == service.metadata.name.as_deref();
    let hostname = pod_spec.and_then(|spec| spec.hostname.clone()).filter(|name| is_named && !name.is_empty());
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: hints(spec.traffic_distribution.as_deref(), ready, zone.as_ref(), node_name.as_ref()),
        hostname,
        node_name,
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone,
        ..Endpoint::default()
    })
}

fn addresses(pod: &Pod, address_type: &str) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    let listed: Vec<_> = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    let all = if listed.is_empty() { status.pod_ip.clone().into_iter().collect() } else { listed };
    let is_of_type = |ip: &String| match ip.parse::<IpAddr>() {
        Ok(ip) => ip.is_ipv6() == (address_type == "IPv6"),
        Err(_) => false,
    };
    all.into_iter().filter(is_of_type).collect()
}

/// Who should use the endpoint, where the Service asks for nearness. Source: KEP-4444, KEP-3015.
fn hints(
    distribution: Option<&str>,
    is_ready: bool,
    zone: Option<&String>,
    node: Option<&String>,
) -> Option<EndpointHints> {
    let (zone, node) = match distribution.filter(|_| is_ready)? {
        "PreferClose" | "PreferSameZone" => (zone, None),
        "PreferSameNode" => (zone, node),
        _ => return None,
    };
    let hints = EndpointHints {
        for_zones: zone.map(|name| vec![ForZone { name: name.clone() }]),
        for_nodes: node.map(|name| vec![ForNode { name: name.clone() }]),
    };
    (hints != EndpointHints::default()).then_some(hints)
}

/// The ports of a Service that a pod has.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = wanted.iter().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(sdk_workload::target_port(port, pod)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}
