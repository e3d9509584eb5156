//! Services and EndpointSlices, joined: each port of a Service with where its traffic may go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::Service;
use sdk_api::k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointSlice};

/// Seconds that a client stays with its endpoint, unless the Service says otherwise.
const AFFINITY_SECONDS: i32 = 10_800;

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Protocol {
    /// As nft and conntrack write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One port of one Service: `namespace/name:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName {
    pub namespace: String,
    pub service: String,
    /// Empty for the only port of a Service.
    pub port: String,
    pub protocol: Protocol,
}

/// Where traffic can go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub port: u16,
    /// On this node.
    pub local: bool,
    pub ready: bool,
    /// Answers, though it may be terminating.
    pub serving: bool,
    pub terminating: bool,
}

/// A port of a Service, with its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    pub port: u16,
    pub cluster_ips: Vec<IpAddr>,
    pub node_port: Option<u16>,
    pub external_ips: Vec<IpAddr>,
    pub load_balancer_ips: Vec<IpAddr>,
    /// CIDRs that may use the load balancer's addresses; empty is everybody.
    pub load_balancer_sources: Vec<String>,
    /// `sessionAffinity: ClientIP`, with its timeout.
    pub affinity_seconds: Option<u32>,
    pub internal_local: bool,
    pub external_local: bool,
    pub endpoints: Vec<Endpoint>,
}

impl ServicePort {
    /// Endpoints of one family that traffic goes to: the ready ones, or if there are none the terminating ones that still
    /// serve. Source: KEP-1669, proxy terminating endpoints.
    pub fn usable(&self, v6: bool, only_local: bool) -> Vec<&Endpoint> {
        let choose = |wanted: fn(&Endpoint) -> bool| -> Vec<&Endpoint> {
            let of_family = self.endpoints.iter().filter(|e| e.ip.is_ipv6() == v6 && (e.local || !only_local));
            of_family.filter(|endpoint| wanted(endpoint)).collect()
        };
        let ready = choose(|endpoint| endpoint.ready);
        if ready.is_empty() { choose(|endpoint| endpoint.serving && endpoint.terminating) } else { ready }
    }
}

/// All that the rules depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub ports: BTreeMap<PortName, ServicePort>,
}

impl State {
    /// Joins Services with their slices, as a proxy on `node_name` sees them.
    pub fn of<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
        node_name: &str,
    ) -> Self {
        let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in slices {
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            let labels = slice.metadata.labels.as_ref();
            if let Some(service) = labels.and_then(|labels| labels.get("kubernetes.io/service-name")) {
                by_service.entry((namespace, service)).or_default().push(slice);
            }
        }
        let mut state = Self::default();
        for service in services {
            let meta = &service.metadata;
            let (namespace, name) =
                (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
            let slices = by_service.get(&(namespace, name)).map_or(&[][..], |slices| slices);
            state.add(service, namespace, name, slices, node_name);
        }
        state
    }

    fn add(&mut self, service: &Service, namespace: &str, name: &str, slices: &[&EndpointSlice], node_name: &str) {
        let has_label = |label: &str| service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(label));
        let Some(spec) = &service.spec else { return };
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        // Another proxy serves what is labelled for it.
        if kind == "ExternalName" || has_label("service.kubernetes.io/service-proxy-name") {
            return;
        }
        let mut cluster_ips = addresses(spec.cluster_ips.iter().flatten());
        if cluster_ips.is_empty() {
            cluster_ips = addresses(spec.cluster_ip.iter());
        }
        if cluster_ips.is_empty() {
            // Headless: its clients know the pods.
            return;
        }
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
        // In the mode `Proxy` traffic shall pass through the balancer.
        let through = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
        let load_balancer_ips = addresses(through.filter_map(|ingress| ingress.ip.as_ref()));
        let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
            let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
            config.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY_SECONDS).max(1).unsigned_abs()
        });
        for port in spec.ports.iter().flatten() {
            let (Some(protocol), Ok(number)) = (Protocol::parse(port.protocol.as_deref()), u16::try_from(port.port))
            else {
                continue;
            };
            let port_name = port.name.clone().unwrap_or_default();
            let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            let joined = ServicePort {
                port: number,
                cluster_ips: cluster_ips.clone(),
                node_port: node_port.filter(|_| kind == "NodePort" || kind == "LoadBalancer"),
                external_ips: addresses(spec.external_ips.iter().flatten()),
                load_balancer_ips: load_balancer_ips.clone(),
                load_balancer_sources: sources(spec.load_balancer_source_ranges.iter().flatten()),
                affinity_seconds: affinity,
                internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
                external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
                endpoints: endpoints(slices, &port_name, protocol, node_name),
            };
            let key = PortName { namespace: namespace.into(), service: name.into(), port: port_name, protocol };
            self.ports.insert(key, joined);
        }
    }
}

/// Addresses that parse, in order; `None` and the empty string do not.
fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// CIDRs that are safe to write into a rule.
fn sources<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let read = |text: &String| {
        let (ip, bits) = text.trim().split_once('/')?;
        let (ip, bits) = (ip.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
        (bits <= if ip.is_ipv6() { 128 } else { 32 }).then(|| format!("{ip}/{bits}"))
    };
    texts.filter_map(read).collect()
}

fn endpoints(slices: &[&EndpointSlice], port: &str, protocol: Protocol, node_name: &str) -> Vec<Endpoint> {
    let mut found = BTreeMap::new();
    for slice in slices {
        let matches = |candidate: &&sdk_api::k8s_openapi::api::discovery::v1::EndpointPort| {
            candidate.name.as_deref().unwrap_or_default() == port
                && Protocol::parse(candidate.protocol.as_deref()) == Some(protocol)
        };
        let Some(number) = slice.ports.iter().flatten().find(matches).and_then(|port| port.port) else { continue };
        let Ok(number) = u16::try_from(number) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            if let Some(endpoint) = read(endpoint, number, node_name) {
                // An address may stand in two slices while it moves between them: what serves counts.
                let known = found.entry((endpoint.ip, endpoint.port)).or_insert_with(|| endpoint.clone());
                if endpoint.ready && !known.ready {
                    *known = endpoint;
                }
            }
        }
    }
    found.into_values().collect()
}

fn read(endpoint: &ApiEndpoint, port: u16, node_name: &str) -> Option<Endpoint> {
    let conditions = endpoint.conditions.as_ref();
    // Absent conditions are to be read as ready. Source: discovery.k8s.io/v1 EndpointConditions.
    let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    let terminating = conditions.and_then(|conditions| conditions.terminating).unwrap_or(false);
    Some(Endpoint {
        ip: endpoint.addresses.first()?.parse().ok()?,
        port,
        local: endpoint.node_name.as_deref() == Some(node_name),
        ready,
        serving: conditions.and_then(|conditions| conditions.serving).unwrap_or(ready),
        terminating,
    })
}

/// What the conntrack table still knows and should not: datagrams have no end, so a flow goes on to where it went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub protocol: Protocol,
    /// The address that the client asked for; `None` is any, as for node ports.
    pub to: Option<IpAddr>,
    /// The port that the client asked for.
    pub port: u16,
    /// Only flows that were sent to this endpoint; `None` takes those that were sent nowhere.
    pub endpoint: Option<IpAddr>,
    pub v6: bool,
}

/// UDP flows to end when the state changes: those to endpoints that are gone, and those that met a Service when it had no
/// endpoints and were let through.
pub fn stale_flows(old: &State, new: &State) -> BTreeSet<Flow> {
    let mut flows = BTreeSet::new();
    for (name, before) in old.ports.iter().filter(|(name, _)| name.protocol == Protocol::Udp) {
        let after = new.ports.get(name);
        let used = |port: &ServicePort| -> BTreeSet<IpAddr> {
            [false, true].iter().flat_map(|v6| port.usable(*v6, false)).map(|endpoint| endpoint.ip).collect()
        };
        let still = after.map(used).unwrap_or_default();
        for endpoint in used(before).difference(&still) {
            add_flows(&mut flows, before, Some(*endpoint));
        }
    }
    for (name, after) in new.ports.iter().filter(|(name, _)| name.protocol == Protocol::Udp) {
        for v6 in [false, true] {
            let was_served = old.ports.get(name).is_some_and(|before| !before.usable(v6, false).is_empty());
            if !was_served && !after.usable(v6, false).is_empty() {
                add_flows(&mut flows, after, None);
            }
        }
    }
    flows
}

fn add_flows(flows: &mut BTreeSet<Flow>, port: &ServicePort, endpoint: Option<IpAddr>) {
    let all = port.cluster_ips.iter().chain(&port.external_ips).chain(&port.load_balancer_ips);
    for ip in all.filter(|ip| endpoint.is_none_or(|endpoint| endpoint.is_ipv6() == ip.is_ipv6())) {
        flows.insert(Flow { protocol: Protocol::Udp, to: Some(*ip), port: port.port, endpoint, v6: ip.is_ipv6() });
    }
    if let Some(node_port) = port.node_port {
        let families = endpoint.map_or(vec![false, true], |endpoint| vec![endpoint.is_ipv6()]);
        for v6 in families {
            flows.insert(Flow { protocol: Protocol::Udp, to: None, port: node_port, endpoint, v6 });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"namespace": "n", "name": "web"}, "spec": spec})).unwrap()
    }

    fn slice(port: &str, endpoints: Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"name": port, "port": 8080, "protocol": "TCP"}], "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn endpoint(ip: &str, ready: bool, serving: bool, terminating: bool) -> Value {
        json!({"addresses": [ip], "nodeName": "node-1",
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
    }

    #[test]
    fn services_meet_their_endpoints() {
        let web = service(json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "NodePort",
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}));
        let slices = [
            slice("http", json!([endpoint("10.0.0.1", true, true, false), endpoint("10.0.0.2", false, false, false)])),
            slice("other", json!([endpoint("10.0.0.3", true, true, false)])),
        ];
        let state = State::of([&web], &slices, "node-1");
        let (name, port) = state.ports.first_key_value().unwrap();
        assert_eq!(
            (name.port.as_str(), name.protocol, port.port, port.node_port),
            ("http", Protocol::Tcp, 80, Some(30080))
        );
        assert_eq!(port.endpoints.len(), 2);
        let usable: Vec<_> = port.usable(false, true).iter().map(|e| e.ip.to_string()).collect();
        assert_eq!(usable, ["10.0.0.1"]);
        assert!(State::of([&web], &slices, "node-2").ports.values().next().unwrap().usable(false, true).is_empty());
    }

    #[test]
    fn services_without_an_address_have_no_rules() {
        for (case, spec) in [
            ("headless", json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]})),
            ("not yet allocated", json!({"clusterIP": "", "ports": [{"port": 80}]})),
            ("a name", json!({"type": "ExternalName", "externalName": "x.y", "ports": [{"port": 80}]})),
        ] {
            assert!(State::of([&service(spec)], &[], "n").ports.is_empty(), "{case}");
        }
        let mut other = service(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
        other.metadata.labels = Some([("service.kubernetes.io/service-proxy-name".to_owned(), "x".to_owned())].into());
        assert!(State::of([&other], &[], "n").ports.is_empty());
    }

    #[test]
    fn terminating_endpoints_serve_while_no_other_is_ready() {
        let usable = |endpoints: Value| {
            let web = service(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
            let state = State::of([&web], &[slice("", endpoints)], "node-1");
            let port = state.ports.into_values().next().unwrap();
            port.usable(false, false).iter().map(|e| e.ip.to_string()).collect::<Vec<_>>()
        };
        let leaving = endpoint("10.0.0.1", false, true, true);
        assert_eq!(usable(json!([leaving, endpoint("10.0.0.2", true, true, false)])), ["10.0.0.2"]);
        assert_eq!(usable(json!([leaving, endpoint("10.0.0.2", false, false, false)])), ["10.0.0.1"]);
        assert!(usable(json!([endpoint("10.0.0.2", false, false, true)])).is_empty());
        assert_eq!(usable(json!([{"addresses": ["10.0.0.9"]}])), ["10.0.0.9"], "without conditions it is ready");
    }

    #[test]
    fn flows_to_what_is_gone_are_stale() {
        let state = |ips: &[&str]| {
            let endpoint = |ip: &&str| Endpoint {
                ip: ip.parse().unwrap(),
                port: 53,
                local: true,
                ready: true,
                serving: true,
                terminating: false,
            };
            let port = ServicePort {
                port: 53,
                cluster_ips: vec!["10.96.0.10".parse().unwrap()],
                node_port: Some(30053),
                endpoints: ips.iter().map(endpoint).collect(),
                ..ServicePort::default()
            };
            let name =
                |protocol| PortName { namespace: "n".into(), service: "dns".into(), port: String::new(), protocol };
            State { ports: [(name(Protocol::Udp), port.clone()), (name(Protocol::Tcp), port)].into() }
        };
        let show = |flows: BTreeSet<Flow>| -> Vec<String> {
            let show = |flow: Flow| {
                let text = |ip: Option<IpAddr>| ip.map_or("any".to_owned(), |ip| ip.to_string());
                format!("{} {}:{} to {}", flow.protocol, text(flow.to), flow.port, text(flow.endpoint))
            };
            flows.into_iter().filter(|flow| !flow.v6).map(show).collect()
        };
        let (one, two) = (state(&["10.0.0.1"]), state(&["10.0.0.1", "10.0.0.2"]));
        assert!(stale_flows(&one, &two).is_empty(), "more endpoints end nothing");
        assert_eq!(show(stale_flows(&two, &one)), ["udp any:30053 to 10.0.0.2", "udp 10.96.0.10:53 to 10.0.0.2"]);
        assert_eq!(show(stale_flows(&State::default(), &one)), ["udp any:30053 to any", "udp 10.96.0.10:53 to any"]);
        assert_eq!(show(stale_flows(&one, &State::default())).len(), 2);
    }
}
