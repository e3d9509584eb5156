//! The subsets of Endpoints: addresses that have the same ports, together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, ObjectReference, Pod, Service,
};

/// The most addresses of one Endpoints. Source: `maxCapacity` of upstream's endpoints controller.
const ADDRESSES_MAX: usize = 1000;

/// A port in an order: number, protocol, name, application protocol.
type Port = (i32, String, String, Option<String>);

/// The subsets for a Service's pods, and whether addresses had to be left out.
pub(super) fn of(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let spec = service.spec.as_ref();
    let publishes_all = spec.and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let mut groups: BTreeMap<BTreeSet<Port>, [Vec<EndpointAddress>; 2]> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| belongs(pod, publishes_all)) {
        let Some(address) = address(service, pod) else { continue };
        let Some(ports) = ports(service, pod) else { continue };
        let is_ready = publishes_all || sdk_workload::is_ready(pod);
        groups.entry(ports).or_default()[usize::from(!is_ready)].push(address);
    }
    let is_truncated = truncate(&mut groups);
    let subsets = groups.into_iter().filter_map(|(ports, addresses)| {
        let [ready, not_ready] = addresses.map(|mut list| {
            list.sort_by(|a, b| uid(a).cmp(uid(b)).then_with(|| a.ip.cmp(&b.ip)));
            list.sort_by_key(|address| address.ip.parse::<IpAddr>().ok());
            Some(list).filter(|list| !list.is_empty())
        });
        let ports: Vec<_> = ports.into_iter().map(port).collect();
        (ready.is_some() || not_ready.is_some()).then(|| EndpointSubset {
            addresses: ready,
            not_ready_addresses: not_ready,
            ports: Some(ports).filter(|ports| !ports.is_empty()),
        })
    });
    (subsets.collect(), is_truncated)
}

fn uid(address: &EndpointAddress) -> &str {
    address.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default()
}

fn belongs(pod: &Pod, publishes_all: bool) -> bool {
    !sdk_workload::is_finished(pod) && (publishes_all || !sdk_workload::is_terminating(pod))
}

/// The pod's address of the Service's first family.
fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let spec = service.spec.as_ref()?;
    let status = pod.status.as_ref()?;
    let wants_v6 = spec.ip_families.as_ref().and_then(|families| families.first()).map(String::as_str) == Some("IPv6");
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
    let ip = all.into_iter().find(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == wants_v6))?;
    let pod_spec = pod.spec.as_ref();
    let is_named = pod_spec.and_then(|spec| spec.subdomain.as_deref()) == service.metadata.name.as_deref();
    let hostname = pod_spec.and_then(|spec| spec.hostname.clone()).filter(|name| is_named && !name.is_empty());
    Some(EndpointAddress {
        ip: ip.to_owned(),
        hostname,
        node_name: pod_spec.and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    })
}

/// The ports that the pod answers on. `None` where it has none of those that the Service names; a Service without ports
/// takes any pod.
fn ports(service: &Service, pod: &Pod) -> Option<BTreeSet<Port>> {
    let wanted = service.spec.as_ref()?.ports.as_deref().unwrap_or_default();
    let found: BTreeSet<Port> = wanted
        .iter()
        .filter_map(|port| {
            let number = sdk_workload::target_port(port, pod)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((number, protocol, port.name.clone().unwrap_or_default(), port.app_protocol.clone()))
        })
        .collect();
    (wanted.is_empty() || !found.is_empty()).then_some(found)
}

fn port((number, protocol, name, app_protocol): Port) -> EndpointPort {
    EndpointPort {
        port: number,
        protocol: Some(protocol),
        name: Some(name).filter(|name| !name.is_empty()),
        app_protocol,
    }
}

/// Cuts down to the capacity: not ready addresses go first, and each subset keeps its share.
fn truncate(groups: &mut BTreeMap<BTreeSet<Port>, [Vec<EndpointAddress>; 2]>) -> bool {
    let count = |groups: &BTreeMap<_, [Vec<EndpointAddress>; 2]>, at: usize| -> usize {
        groups.values().map(|lists| lists[at].len()).sum()
    };
    let (ready, not_ready) = (count(groups, 0), count(groups, 1));
    if ready + not_ready <= ADDRESSES_MAX {
        return false;
    }
    let ready_max = ready.min(ADDRESSES_MAX);
    for (at, total, max) in [(0, ready, ready_max), (1, not_ready, ADDRESSES_MAX - ready_max)] {
        for lists in groups.values_mut() {
            let share = (lists[at].len() * max).checked_div(total).unwrap_or(0);
            lists[at].sort_by_key(|address| address.ip.parse::<IpAddr>().ok());
            lists[at].truncate(share);
        }
    }
    true
}
