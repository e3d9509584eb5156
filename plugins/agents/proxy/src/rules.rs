//! From Services to rules: a pure function.
//!
//! A packet for a Service is looked up in one verdict map (by address, protocol and port, or for node ports by protocol
//! and port), whatever the number of Services. From there it goes to the chain of its port, which picks an endpoint at
//! random, and to the chain of the endpoint, which rewrites the destination. Reference: the nftables mode of kube-proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::service::{Endpoint, PortName, ServicePort, State};
use crate::table::{Chain, Collection, Table};

/// The mark of packets whose source is rewritten when they leave. Source: kube-proxy's masquerade bit 14.
const MARK: &str = "0x4000";

/// Longest name that nft takes for a chain or a set.
const NAME_MAX: usize = 127;

/// What the rules need to know besides Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The name of the tables.
    pub table: String,
    /// CIDRs of pods, IPv4 and IPv6; traffic for a cluster IP from elsewhere is masqueraded. Empty masquerades nothing on
    /// that account.
    pub cluster_cidrs: Vec<String>,
    /// Pods of this node share a bridge that netfilter does not see: answers between them would miss the way back through
    /// the node, so such traffic is masqueraded too.
    pub masquerade_bridged: bool,
}

/// The rules of one address family.
pub fn table(state: &State, config: &Config, v6: bool) -> Table {
    let mut build = Build::new(config, v6);
    for (name, port) in &state.ports {
        build.service_port(name, port);
    }
    build.finish()
}

/// The whole ruleset, as `nft -f` reads it: replaces both tables in one transaction.
pub fn ruleset(state: &State, config: &Config) -> String {
    [false, true].map(|v6| table(state, config, v6).replace()).concat()
}

struct Build<'a> {
    config: &'a Config,
    v6: bool,
    table: Table,
}

fn elements() -> BTreeMap<String, String> {
    BTreeMap::new()
}

impl<'a> Build<'a> {
    fn new(config: &'a Config, v6: bool) -> Self {
        let family = if v6 { "ip6" } else { "ip" };
        let mut build = Self { config, v6, table: Table { family, name: config.table.clone(), ..Table::default() } };
        build.frame();
        build
    }

    /// The maps and hooks that are always there.
    fn frame(&mut self) {
        let (ip, address, icmp, loopback) = if self.v6 {
            ("ip6", "ipv6_addr", "icmpv6 type port-unreachable", "::1")
        } else {
            ("ip", "ipv4_addr", "icmp type port-unreachable", "127.0.0.0/8")
        };
        let by_address = format!("type {address} . inet_proto . inet_service : verdict;");
        let by_port = "type inet_proto . inet_service : verdict;";
        for (name, kind, spec) in [
            ("service-ips", "map", by_address.as_str()),
            ("no-endpoint-services", "map", &by_address),
            ("firewall-ips", "map", &by_address),
            ("service-nodeports", "map", by_port),
            ("no-endpoint-nodeports", "map", by_port),
            ("cluster-ips", "set", &format!("type {address};")),
        ] {
            let collection = Collection { kind, spec: spec.to_owned(), elements: elements() };
            self.table.collections.insert(name.into(), collection);
        }
        // Node ports answer on every address of the node but the loopback ones.
        let to_node = format!("fib daddr type local {ip} daddr != {loopback}");
        let key = format!("{ip} daddr . meta l4proto . th dport");
        let rejects = format!("reject with {icmp}");
        for (name, hook, rules) in [
            ("mark-for-masquerade", "", vec![format!("meta mark set meta mark or {MARK}")]),
            (
                "masquerading",
                "",
                vec![
                    format!("meta mark and {MARK} == 0 return"),
                    format!("meta mark set meta mark xor {MARK}"),
                    "masquerade fully-random".to_owned(),
                ],
            ),
            (
                "services",
                "",
                vec![
                    format!("{key} vmap @service-ips"),
                    format!("{to_node} meta l4proto . th dport vmap @service-nodeports"),
                ],
            ),
            ("reject-chain", "", vec!["meta l4proto tcp reject with tcp reset".to_owned(), rejects.clone()]),
            ("firewall-check", "", vec![format!("{key} vmap @firewall-ips")]),
            ("service-endpoints-check", "", vec![format!("{key} vmap @no-endpoint-services")]),
            (
                "nodeport-endpoints-check",
                "",
                vec![format!("{to_node} meta l4proto . th dport vmap @no-endpoint-nodeports")],
            ),
            // A cluster IP answers on the ports of its Service alone; no machine has it.
            ("cluster-ips-check", "", vec![format!("{ip} daddr @cluster-ips goto reject-chain")]),
            ("nat-prerouting", "type nat hook prerouting priority dstnat;", vec!["jump services".to_owned()]),
            ("nat-output", "type nat hook output priority -100;", vec!["jump services".to_owned()]),
            ("nat-postrouting", "type nat hook postrouting priority srcnat;", vec!["jump masquerading".to_owned()]),
            (
                "filter-prerouting",
                "type filter hook prerouting priority -110;",
                vec!["ct state new jump firewall-check".to_owned()],
            ),
            (
                "filter-input",
                "type filter hook input priority -110;",
                vec![
                    "ct state new jump nodeport-endpoints-check".to_owned(),
                    "ct state new jump service-endpoints-check".to_owned(),
                ],
            ),
            (
                "filter-forward",
                "type filter hook forward priority -110;",
                vec![
                    "ct state new jump service-endpoints-check".to_owned(),
                    "ct state new jump cluster-ips-check".to_owned(),
                ],
            ),
            (
                "filter-output",
                "type filter hook output priority -110;",
                vec!["ct state new jump firewall-check".to_owned()],
            ),
            // After nat-output, so that it sees only what no endpoint took.
            (
                "filter-output-translated",
                "type filter hook output priority -90;",
                vec![
                    "ct state new jump service-endpoints-check".to_owned(),
                    "ct state new jump nodeport-endpoints-check".to_owned(),
                    "ct state new jump cluster-ips-check".to_owned(),
                ],
            ),
        ] {
            self.table.chains.insert(name.into(), Chain { hook, rules });
        }
    }

    fn ip(&self) -> &'static str {
        self.table.family
    }

    fn chain(&mut self, name: &str, rules: Vec<String>) {
        self.table.chains.insert(name.to_owned(), Chain { hook: "", rules });
    }

    fn element(&mut self, collection: &str, key: String, value: String) {
        let collection = self.table.collections.get_mut(collection).expect("frame() declares every collection");
        collection.elements.insert(key, value);
    }

    fn service_port(&mut self, name: &PortName, port: &ServicePort) {
        let of_family =
            |ips: &[IpAddr]| -> Vec<IpAddr> { ips.iter().copied().filter(|ip| ip.is_ipv6() == self.v6).collect() };
        let cluster_ips = of_family(&port.cluster_ips);
        let external_ips = of_family(&port.external_ips);
        let balancer_ips = of_family(&port.load_balancer_ips);
        if cluster_ips.is_empty() {
            return;
        }
        let label = format!("{}/{}/{}/{}", name.namespace, name.service, name.protocol, name.port);
        let everywhere = port.usable(self.v6, false);
        let here = port.usable(self.v6, true);
        let anywhere = !everywhere.is_empty();
        let outside = !external_ips.is_empty() || !balancer_ips.is_empty() || port.node_port.is_some();

        let all_name = named("service", &label);
        let local_name = named("local", &label);
        let external_name = named("external", &label);
        let needs_all = anywhere && (!port.internal_local || outside);
        let needs_local = !here.is_empty() && (port.internal_local || (outside && port.external_local));
        if needs_all {
            self.balance(&all_name, &label, name, port, &cluster_ips, &everywhere);
        }
        if needs_local {
            self.balance(&local_name, &label, name, port, &cluster_ips, &here);
        }
        if anywhere && outside {
            let to = (!here.is_empty()).then_some(&local_name);
            self.external(&external_name, port, &all_name, to);
        }

        let key = |ip: &IpAddr| format!("{ip} . {} . {}", name.protocol, port.port);
        let internal = if port.internal_local { &local_name } else { &all_name };
        let internal_ends = if port.internal_local { &here } else { &everywhere };
        for ip in &cluster_ips {
            self.element("cluster-ips", ip.to_string(), String::new());
            if internal_ends.is_empty() {
                self.element("no-endpoint-services", key(ip), refusal(anywhere));
            } else {
                self.element("service-ips", key(ip), format!("goto {internal}"));
            }
        }
        let external_ends = if port.external_local { &here } else { &everywhere };
        let refuses = external_ends.is_empty();
        for ip in external_ips.iter().chain(&balancer_ips) {
            if refuses {
                self.element("no-endpoint-services", key(ip), refusal(anywhere));
            }
            // With the policy Local and nobody here, pods and the node itself are still served.
            if anywhere {
                self.element("service-ips", key(ip), format!("goto {external_name}"));
            }
        }
        if let Some(node_port) = port.node_port {
            let key = format!("{} . {node_port}", name.protocol);
            if refuses {
                self.element("no-endpoint-nodeports", key.clone(), refusal(anywhere));
            }
            if anywhere {
                self.element("service-nodeports", key, format!("goto {external_name}"));
            }
        }
        if !port.load_balancer_sources.is_empty() && anywhere && !balancer_ips.is_empty() {
            let firewall = named("firewall", &label);
            let sources: Vec<&str> = cidrs(&port.load_balancer_sources, self.v6).collect();
            let rule = if sources.is_empty() {
                "drop".to_owned()
            } else {
                format!("{} saddr != {{ {} }} drop", self.ip(), sources.join(", "))
            };
            self.chain(&firewall, vec![rule]);
            for ip in &balancer_ips {
                self.element("firewall-ips", key(ip), format!("goto {firewall}"));
            }
        }
    }

    /// The chain that picks an endpoint, and the chains of the endpoints.
    fn balance(
        &mut self,
        chain: &str,
        label: &str,
        name: &PortName,
        port: &ServicePort,
        cluster_ips: &[IpAddr],
        endpoints: &[&Endpoint],
    ) {
        let ip = self.ip();
        let mut rules = Vec::new();
        let pods: Vec<&str> = cidrs(&self.config.cluster_cidrs, self.v6).collect();
        if !pods.is_empty() {
            for cluster_ip in cluster_ips {
                let pods = pods.join(", ");
                rules.push(format!("{ip} daddr {cluster_ip} {ip} saddr != {{ {pods} }} jump mark-for-masquerade"));
            }
        }
        let chains: Vec<String> = endpoints.iter().map(|endpoint| self.endpoint(label, name, port, endpoint)).collect();
        if let Some(seconds) = port.affinity_seconds {
            for (endpoint, chain) in endpoints.iter().zip(&chains) {
                rules.push(format!("{ip} saddr @{} goto {chain}", affinity_set(label, endpoint, seconds)));
            }
        }
        let picks: Vec<String> = chains.iter().enumerate().map(|(n, chain)| format!("{n} : goto {chain}")).collect();
        rules.push(format!("numgen random mod {} vmap {{ {} }}", picks.len(), picks.join(", ")));
        self.chain(chain, rules);
    }

    fn endpoint(&mut self, label: &str, name: &PortName, port: &ServicePort, endpoint: &Endpoint) -> String {
        let ip = self.ip();
        let chain =
            named("endpoint", &format!("{label}__{}/{}", endpoint.ip.to_string().replace(':', "."), endpoint.port));
        // A pod that reaches itself through a Service must see the answer come from the Service.
        let mut rules = vec![format!("{ip} saddr {} jump mark-for-masquerade", endpoint.ip)];
        if endpoint.local && self.config.masquerade_bridged {
            let pods: Vec<&str> = cidrs(&self.config.cluster_cidrs, self.v6).collect();
            if !pods.is_empty() {
                rules.push(format!("{ip} saddr {{ {} }} jump mark-for-masquerade", pods.join(", ")));
            }
        }
        if let Some(seconds) = port.affinity_seconds {
            let set = affinity_set(label, endpoint, seconds);
            let address = if self.v6 { "ipv6_addr" } else { "ipv4_addr" };
            let spec = format!("type {address}; flags dynamic, timeout; timeout {seconds}s;");
            let collection = Collection { kind: "set", spec, elements: elements() };
            self.table.collections.insert(set.clone(), collection);
            rules.push(format!("update @{set} {{ {ip} saddr }}"));
        }
        let to = if self.v6 {
            format!("[{}]:{}", endpoint.ip, endpoint.port)
        } else {
            format!("{}:{}", endpoint.ip, endpoint.port)
        };
        rules.push(format!("meta l4proto {} dnat to {to}", name.protocol));
        self.chain(&chain, rules);
        chain
    }

    /// The chain of traffic to node ports, external and load balancer addresses.
    fn external(&mut self, chain: &str, port: &ServicePort, all: &str, local: Option<&String>) {
        let ip = self.ip();
        let mut rules = Vec::new();
        if port.external_local {
            // Who is inside uses a short cut and may reach every endpoint.
            let pods: Vec<&str> = cidrs(&self.config.cluster_cidrs, self.v6).collect();
            if !pods.is_empty() {
                rules.push(format!("{ip} saddr {{ {} }} goto {all}", pods.join(", ")));
            }
            rules.push("fib saddr type local jump mark-for-masquerade".to_owned());
            rules.push(format!("fib saddr type local goto {all}"));
            rules.extend(local.map(|local| format!("goto {local}")));
        } else {
            rules.push("jump mark-for-masquerade".to_owned());
            rules.push(format!("goto {all}"));
        }
        self.chain(chain, rules);
    }

    fn finish(self) -> Table {
        self.table
    }
}

/// What is done to traffic that no endpoint takes: refused where nobody could, dropped where only nobody here may.
fn refusal(anywhere: bool) -> String {
    if anywhere { "drop".into() } else { "goto reject-chain".into() }
}

fn cidrs(all: &[String], v6: bool) -> impl Iterator<Item = &str> {
    all.iter().map(String::as_str).filter(move |cidr| cidr.contains(':') == v6)
}

fn affinity_set(label: &str, endpoint: &Endpoint, seconds: u32) -> String {
    let endpoint = format!("{}/{}", endpoint.ip.to_string().replace(':', "."), endpoint.port);
    named("affinity", &format!("{seconds}s/{label}__{endpoint}"))
}

/// A name with a hash of all of its label, so that cutting it to length keeps it unique.
fn named(kind: &str, label: &str) -> String {
    // FNV-1a.
    let hash = label
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut name = format!("{kind}-{hash:016x}-{label}");
    name.truncate(NAME_MAX);
    name
}

#[cfg(test)]
mod tests;
