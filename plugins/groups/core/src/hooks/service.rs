//! Cluster IPs and node ports of Services, reserved while they are written.
//!
//! What is in use is read from the Services themselves when the server starts, so nothing can leak. Source: Kubernetes
//! documentation, "Service ClusterIP allocation".

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use ipnet::IpNet;
use sdk_api::k8s_openapi::api::core::v1::{Service, ServiceSpec};
use sdk_api::{GroupKind, GroupResource, Object, Status, Violations};
use sdk_client::ListOptions;
use sdk_plugin::{Context, HookGuard, WriteHook};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::pool::{Pool, Refusal};
use crate::kinds::service::addresses::cluster_addresses;
use crate::kinds::service::strategy::{has_cluster_ip, has_health_check_port, has_node_ports, is_headless};

struct Pools {
    ips: Pool,
    ports: Pool,
}

/// Reserves cluster IPs and node ports.
pub struct ServiceHook {
    cidr: IpNet,
    ports: (u16, u16),
    pools: Arc<Mutex<Pools>>,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl ServiceHook {
    /// `seed` decides which free numbers are chosen.
    pub fn new(cidr: IpNet, ports: (u16, u16), seed: u64) -> Self {
        let bits = cidr.max_prefix_len() - cidr.prefix_len();
        // Networks beyond this are cut: nobody has more Services. Source: `ipallocator`, at most 2^64 addresses.
        let addresses = 1u128 << bits.min(64);
        // Neither the network's own address nor, in IPv4, the broadcast address is a Service's.
        let reserved = if cidr.addr().is_ipv4() { 2 } else { 1 };
        let ips =
            pool(number(cidr.network()).saturating_add(1), addresses.saturating_sub(reserved), (16, 16, 256), seed);
        let count = u128::from(ports.1.saturating_sub(ports.0)) + 1;
        let pools = Pools { ips, ports: pool(ports.0.into(), count, (16, 32, 128), seed.wrapping_add(1)) };
        Self { cidr: cidr.trunc(), ports, pools: Arc::new(Mutex::new(pools)) }
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().expect("nothing panics while it holds the pools")
    }

    fn family(&self) -> &'static str {
        if self.cidr.addr().is_ipv4() { "IPv4" } else { "IPv6" }
    }

    fn ip(&self, number: u128) -> IpAddr {
        match self.cidr {
            IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }

    /// The numbers that a Service holds.
    pub(super) fn held(&self, spec: &ServiceSpec) -> Held {
        let mut held = Held::default();
        if has_cluster_ip(spec) {
            let ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
            held.ips.extend(ips.filter_map(|ip| ip.parse().ok()).map(number));
        }
        let ports = spec.ports.iter().flatten().filter_map(|port| port.node_port).chain(spec.health_check_node_port);
        held.ports.extend(ports.filter_map(|port| u128::try_from(port).ok()).filter(|port| *port != 0));
        held
    }

    /// Takes what a stored Service holds, and says what it could not have.
    pub(super) fn adopt(&self, spec: &ServiceSpec) -> Vec<String> {
        self.adopt_held(&self.held(spec))
    }

    /// The same for numbers.
    pub(super) fn adopt_held(&self, held: &Held) -> Vec<String> {
        let mut pools = self.pools();
        let mut wrong = Vec::new();
        for ip in held.ips.iter().copied() {
            if let Err(refusal) = pools.ips.adopt(ip) {
                wrong.push(format!("cluster IP {}: {}", self.ip(ip), self.ip_words(self.ip(ip), refusal)));
            }
        }
        for port in held.ports.iter().copied() {
            if let Err(refusal) = pools.ports.adopt(port) {
                wrong.push(format!("node port {port}: {}", self.port_words(refusal)));
            }
        }
        wrong
    }

    fn ip_words(&self, ip: IpAddr, refusal: Refusal) -> String {
        match refusal {
            Refusal::Taken => "provided IP is already allocated".into(),
            Refusal::OutOfRange => {
                format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {}", self.cidr)
            }
            Refusal::Full => "range is full".into(),
        }
    }

    fn port_words(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Taken => "provided port is already allocated".into(),
            Refusal::OutOfRange => {
                let (first, last) = self.ports;
                format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
            }
            Refusal::Full => "range is full".into(),
        }
    }

    /// Completes the families, as far as this cluster has them.
    fn families(&self, found: &mut Violations, spec: &mut ServiceSpec) {
        let own = self.family();
        let selects = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
        let asked = spec.ip_family_policy.clone();
        if is_headless(spec) && !selects {
            // Whoever lists the endpoints decides about their families.
            let policy = spec.ip_family_policy.get_or_insert_with(|| "RequireDualStack".into()).clone();
            let families = spec.ip_families.get_or_insert_default();
            if families.is_empty() {
                families.push(own.into());
            }
            if policy != "SingleStack" && families.len() == 1 {
                families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.into());
            }
            return;
        }
        if matches!(asked.as_deref(), None | Some("SingleStack")) {
            for (count, what) in [
                (spec.cluster_ips.as_ref().map_or(0, Vec::len), "cluster IPs"),
                (spec.ip_families.as_ref().map_or(0, Vec::len), "IP families"),
            ] {
                if count == 2 {
                    let why = format!("must be RequireDualStack or PreferDualStack when multiple {what} are specified");
                    found.invalid("spec.ipFamilyPolicy", asked.clone(), why);
                }
            }
        }
        spec.ip_family_policy.get_or_insert_with(|| "SingleStack".into());
        if asked.as_deref() == Some("RequireDualStack") {
            let why = "this cluster is not configured for dual-stack services";
            found.invalid("spec.ipFamilyPolicy", "RequireDualStack", why);
        }
        let families = spec.ip_families.get_or_insert_default();
        if families.is_empty() {
            families.push(own.into());
        }
        for (i, family) in families.iter().enumerate().filter(|(_, family)| *family != own) {
            found.invalid(format!("spec.ipFamilies[{i}]"), family.as_str(), "not configured on this cluster");
        }
    }

    /// The families that the addresses say, where nobody did.
    fn families_of_ips(&self, found: &mut Violations, spec: &mut ServiceSpec) {
        let ips = spec.cluster_ips.clone().unwrap_or_default();
        let stated = spec.ip_families.as_ref().map_or(0, Vec::len);
        for (i, ip) in ips.iter().enumerate().skip(stated) {
            // What is no address is for validation to say, which comes next.
            let Ok(address) = ip.parse::<IpAddr>() else { return };
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            if family == self.family() {
                spec.ip_families.get_or_insert_default().push(family.into());
            } else {
                let why = format!("{family} is not configured on this cluster");
                found.invalid(format!("spec.clusterIPs[{i}]"), ips.clone(), why);
            }
        }
    }

    fn reserve(&self, spec: &mut ServiceSpec, old: Option<&ServiceSpec>) -> Result<Reservation, Wrong> {
        let before = old.map(|old| self.held(old)).unwrap_or_default();
        let mut reservation = Reservation::new(self.pools.clone());
        if has_cluster_ip(spec) || is_headless(spec) {
            // What does not go together would only be made worse.
            let mut found = cluster_addresses(spec);
            if found.is_empty() && !is_headless(spec) {
                self.families_of_ips(&mut found, spec);
            }
            if found.is_empty() {
                self.families(&mut found, spec);
            }
            if !found.is_empty() {
                return Err(Wrong::Field(found));
            }
        }
        if has_cluster_ip(spec) {
            self.reserve_ip(spec, &before, &mut reservation)?;
        } else if is_headless(spec) {
            spec.cluster_ips = Some(vec!["None".into()]);
        }
        self.reserve_ports(spec, &before, &mut reservation)?;
        let after = self.held(spec);
        reservation.released.ips = before.ips.difference(&after.ips).copied().collect();
        reservation.released.ports = before.ports.difference(&after.ports).copied().collect();
        Ok(reservation)
    }

    fn reserve_ip(&self, spec: &mut ServiceSpec, before: &Held, reservation: &mut Reservation) -> Result<(), Wrong> {
        let asked = spec.cluster_ip.clone().filter(|ip| !ip.is_empty());
        let Some(asked) = asked else {
            let free = self.pools().ips.take_any();
            let free = free.map_err(|_| Wrong::Server("failed to allocate a serviceIP: range is full".into()))?;
            reservation.taken.ips.insert(free);
            let ip = self.ip(free).to_string();
            spec.cluster_ips = Some(vec![ip.clone()]);
            spec.cluster_ip = Some(ip);
            return Ok(());
        };
        // What is no address is for validation to say, which comes next.
        let Ok(ip) = asked.parse::<IpAddr>() else { return Ok(()) };
        let wanted = number(ip);
        if before.ips.contains(&wanted) {
            return Ok(());
        }
        let same_family = ip.is_ipv4() == self.cidr.addr().is_ipv4();
        let taken = if same_family { self.pools().ips.take(wanted) } else { Err(Refusal::OutOfRange) };
        if let Err(refusal) = taken {
            let mut found = Violations::default();
            let why = format!("failed to allocate IP {ip}: {}", self.ip_words(ip, refusal));
            found.invalid("spec.clusterIPs", vec![asked], why);
            return Err(Wrong::Field(found));
        }
        reservation.taken.ips.insert(wanted);
        Ok(())
    }

    fn reserve_ports(&self, spec: &mut ServiceSpec, before: &Held, reservation: &mut Reservation) -> Result<(), Wrong> {
        let wants_all = has_node_ports(spec);
        let mut pools = self.pools();
        // The ports that are asked for come first, lest one chosen for another port takes them.
        for (i, port) in spec.ports.iter().flatten().enumerate() {
            let Some(wanted) = port.node_port.filter(|port| *port != 0) else { continue };
            let Ok(wanted) = u128::try_from(wanted) else { continue };
            if before.ports.contains(&wanted) || reservation.taken.ports.contains(&wanted) {
                continue;
            }
            self.take_port(&mut pools, wanted, &format!("spec.ports[{i}].nodePort"), reservation)?;
        }
        let mut chosen: Vec<(i32, String, i32)> = Vec::new();
        for port in spec.ports.iter_mut().flatten() {
            let protocol = port.protocol.clone().unwrap_or_default();
            if port.node_port.unwrap_or(0) == 0 && wants_all {
                // The same port of another protocol shares the node's port.
                let shared = chosen.iter().find(|(number, other, _)| *number == port.port && *other != protocol);
                let node = match shared {
                    Some((_, _, node)) => *node,
                    None => any_port(&mut pools, reservation)?,
                };
                port.node_port = Some(node);
            }
            chosen.extend(port.node_port.filter(|node| *node != 0).map(|node| (port.port, protocol, node)));
        }
        if has_health_check_port(spec) {
            match spec.health_check_node_port.filter(|port| *port != 0).map(u128::try_from) {
                Some(Ok(wanted)) if !before.ports.contains(&wanted) => {
                    self.take_port(&mut pools, wanted, "spec.healthCheckNodePort", reservation)?;
                }
                Some(_) => {}
                None => spec.health_check_node_port = Some(any_port(&mut pools, reservation)?),
            }
        }
        Ok(())
    }

    fn take_port(&self, pools: &mut Pools, wanted: u128, path: &str, taken: &mut Reservation) -> Result<(), Wrong> {
        match pools.ports.take(wanted) {
            Ok(()) => {
                taken.taken.ports.insert(wanted);
                Ok(())
            }
            Err(refusal) => {
                let mut found = Violations::default();
                found.invalid(path, u32::try_from(wanted).unwrap_or(u32::MAX), self.port_words(refusal));
                Err(Wrong::Field(found))
            }
        }
    }
}

fn any_port(pools: &mut Pools, reservation: &mut Reservation) -> Result<i32, Wrong> {
    let free = pools.ports.take_any();
    let free = free.map_err(|_| Wrong::Server("failed to allocate a nodePort: range is full".into()))?;
    reservation.taken.ports.insert(free);
    Ok(i32::try_from(free).unwrap_or(i32::MAX))
}

/// A pool whose low part, `size / share` bounded by `least` and `most`, is for those who ask by number.
fn pool(first: u128, size: u128, (least, share, most): (u128, u128, u128), seed: u64) -> Pool {
    let low = if size <= least { 0 } else { (size / share).clamp(least, most) };
    // Offset 0 is kept for whoever asks for it, even where the pool is too small for a low part.
    Pool::new(first, size, low.max(1), seed)
}

/// Why nothing was reserved.
enum Wrong {
    Field(Violations),
    Server(String),
}

/// Numbers of a Service: addresses as numbers, and ports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Held {
    ips: BTreeSet<u128>,
    ports: BTreeSet<u128>,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.ips.is_empty() && self.ports.is_empty()
    }

    pub fn without(self, other: &Self) -> Self {
        Self { ips: &self.ips - &other.ips, ports: &self.ports - &other.ports }
    }

    fn give_back(&self, pools: &mut Pools) {
        self.ips.iter().for_each(|ip| pools.ips.give_back(*ip));
        self.ports.iter().for_each(|port| pools.ports.give_back(*port));
    }
}

/// What one write has taken, and what it will give back.
struct Reservation {
    pools: Arc<Mutex<Pools>>,
    taken: Held,
    released: Held,
}

impl Reservation {
    fn new(pools: Arc<Mutex<Pools>>) -> Self {
        Self { pools, taken: Held::default(), released: Held::default() }
    }
}

impl HookGuard for Reservation {
    fn committed(mut self: Box<Self>) {
        // What was released goes back in place of what was taken, when the guard goes.
        self.taken = std::mem::take(&mut self.released);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Ok(mut pools) = self.pools.lock() {
            self.taken.give_back(&mut pools);
        }
    }
}

pub(super) fn spec_of(document: &Value) -> ServiceSpec {
    serde_json::from_value(document["spec"].clone()).unwrap_or_default()
}

#[async_trait]
impl WriteHook for ServiceHook {
    async fn start(&self, context: Context) -> Result<(), String> {
        let services = GroupResource::of::<Service>();
        let list = context.client.list(&services, "", ListOptions::default()).await;
        for service in list.map_err(|status| status.message)?.objects {
            for wrong in self.adopt(&spec_of(service.tree())) {
                let key = service.key();
                warn!(%key, %wrong, "A Service holds what it may not; recreate it.");
            }
        }
        Ok(())
    }

    async fn before(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        _dry_run: bool,
    ) -> Result<Option<Box<dyn HookGuard>>, Status> {
        let mut spec = spec_of(new);
        let reserved = self.reserve(&mut spec, old.map(spec_of).as_ref());
        let reservation = reserved.map_err(|wrong| match wrong {
            Wrong::Field(found) => {
                let name = new["metadata"]["name"].as_str().unwrap_or_default();
                Status::invalid(&GroupKind::of::<Service>(), name, &found)
            }
            Wrong::Server(why) => Status::internal(why),
        })?;
        fill_in(new, &spec);
        Ok(Some(Box::new(reservation)))
    }

    fn deleted(&self, old: &Object) {
        self.held(&spec_of(old.tree())).give_back(&mut self.pools());
    }
}

/// Writes into the document what was chosen, and nothing else.
fn fill_in(document: &mut Value, spec: &ServiceSpec) {
    let Some(fields) = document.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(ip) = &spec.cluster_ip {
        fields.insert("clusterIP".into(), ip.as_str().into());
    }
    if let Some(ips) = &spec.cluster_ips {
        fields.insert("clusterIPs".into(), ips.clone().into());
    }
    if let Some(families) = &spec.ip_families {
        fields.insert("ipFamilies".into(), families.clone().into());
    }
    if let Some(policy) = &spec.ip_family_policy {
        fields.insert("ipFamilyPolicy".into(), policy.as_str().into());
    }
    if let Some(port) = spec.health_check_node_port.filter(|port| *port != 0) {
        fields.insert("healthCheckNodePort".into(), port.into());
    }
    let documents = fields.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    for (document, port) in documents.zip(spec.ports.iter().flatten()) {
        if let (Some(fields), Some(node)) = (document.as_object_mut(), port.node_port.filter(|node| *node != 0)) {
            fields.insert("nodePort".into(), node.into());
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
