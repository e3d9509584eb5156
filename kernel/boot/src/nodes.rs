//! The nodes of this process: which runtime they have, and the agents that make them nodes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use agents_kubelet::{Fleet, Ground, Kubelet, Limits, Machine, NodeServer, Settings};
use agents_proxy::Proxy;
use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use providers_network_cni::CniNetwork;
use providers_runtime_cri::{CriRuntime, RuntimeInfo};
use providers_runtime_sim::{Delay, Delays, SimRuntime};
use sdk_api::Clock;
use sdk_client::Subject;
use sdk_plugin::Tables;
use serde_json::json;
use tokio::net::TcpListener;

use crate::data_dir::DataDir;
use crate::footprint::Footprint;
use crate::options::{Runtime, Up};
use crate::pki::{Pki, server_tls};
use crate::preflight;
use crate::progress::Progress;

/// The user as which the API server calls node agents.
pub const API_SERVER_TO_NODES: &str = "kube-apiserver-kubelet-client";

/// A container runtime that answered.
pub struct Connected {
    runtime: CriRuntime,
    info: RuntimeInfo,
}

/// Connects to the runtime asked for, if it is one to connect to.
pub async fn connect(up: &Up, progress: &Progress) -> Result<Option<Connected>> {
    if up.runtime != Runtime::Cri {
        return Ok(None);
    }
    let runtime = CriRuntime::connect(&up.runtime_endpoint).await?;
    let info = runtime.info().await.context("the container runtime does not tell its configuration")?;
    preflight::check_runtime(&info, &up.runtime_endpoint)?;
    let version = runtime.connected_to();
    let words = format!("Connected to {} {}", version.name, version.version);
    progress.step("runtime", &words, json!({"runtime": version.name, "version": version.version}));
    Ok(Some(Connected { runtime, info }))
}

/// Registers the agents of this process' nodes.
pub async fn add(
    up: &Up,
    dir: &DataDir,
    pki: &Pki,
    connected: Option<Connected>,
    tables: &mut Tables,
    clock: &Arc<dyn Clock>,
) -> Result<()> {
    match (up.runtime, connected) {
        (Runtime::None, _) => Ok(()),
        (Runtime::Sim, _) => simulated(up, dir, pki, tables, clock).await,
        (Runtime::Cri, Some(connected)) => machine(up, dir, pki, connected, tables).await,
        (Runtime::Cri, None) => Err(anyhow!("the container runtime went away during the start")),
    }
}

/// Listens for the API server's calls to nodes; port 0 picks a free one.
async fn node_server(
    pki: &Pki,
    node: &str,
    address: SocketAddr,
    tables: &mut Tables,
) -> Result<(Arc<NodeServer>, u16)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for the node; stop what uses it (another node agent on this machine?)")
    })?;
    let port = listener.local_addr()?.port();
    let pair = pki.node_server(node, &[address.ip()])?;
    let tls = server_tls(&pair, &pki.client_ca, true, &["http/1.1"])?;
    let server = NodeServer::new(tls, vec![API_SERVER_TO_NODES.into()]);
    tables.agent(Arc::new(Serving { server: server.clone(), listener: Arc::new(listener) }));
    Ok((server, port))
}

/// The node server as a task of the host.
struct Serving {
    server: Arc<NodeServer>,
    listener: Arc<TcpListener>,
}

#[async_trait]
impl sdk_plugin::Agent for Serving {
    fn name(&self) -> &'static str {
        "node-server"
    }

    /// It only answers; it asks nothing of the API.
    fn identity(&self) -> Subject {
        Subject::new("system:node-server", &["system:authenticated"])
    }

    async fn run(&self, context: sdk_plugin::Context) -> Result<(), String> {
        self.server.clone().serve(self.listener.clone(), context.stop).await;
        Ok(())
    }
}

/// This machine as a node, with containers.
async fn machine(up: &Up, dir: &DataDir, pki: &Pki, connected: Connected, tables: &mut Tables) -> Result<()> {
    let Connected { runtime, info } = connected;
    let name = up.place.name.as_str();
    let address = node_address();
    let (server, port) = node_server(pki, name, SocketAddr::new(address, up.kubelet_port), tables).await?;
    let conf_dir = info.cni_conf_dir.clone().unwrap_or_else(|| up.cni_conf_dir.clone());
    let footprint = Footprint::of(name);
    let network = CniNetwork::new(footprint.network(conf_dir))?;
    let capacity = Machine::capacity(&dir.root);
    let writable = agents_kubelet::cgroups_are_writable(&footprint.cgroup_root);
    if !writable {
        tracing::warn!("The cgroups of this machine cannot be written: pods have no cgroup of their own.");
    }
    tables.agent(Arc::new(Kubelet::new(Settings {
        node_ips: vec![address],
        network: Some(Arc::new(network)),
        root_dir: dir.kubelet(),
        log_dir: dir.pod_logs(),
        capacity,
        cluster_cidr: up.pod_cidr.to_string(),
        port,
        server: Some(server),
        cgroup_root: if writable { footprint.cgroup_root } else { String::new() },
        limits: Limits { eviction_hard: up.eviction_hard, ..Limits::default() },
        ..Settings::new(name, Ground::Host, Arc::new(runtime))
    })));
    tables.agent(Arc::new(Proxy::new(agents_proxy::Settings {
        node_name: name.into(),
        node_ips: vec![address],
        cluster_cidr: vec![up.pod_cidr.to_string()],
        backend: Arc::new(agents_proxy::System::new()),
        table: footprint.table,
    })));
    Ok(())
}

/// Nodes without containers, all in this process.
async fn simulated(up: &Up, dir: &DataDir, pki: &Pki, tables: &mut Tables, clock: &Arc<dyn Clock>) -> Result<()> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let (server, port) = node_server(pki, "simulated", SocketAddr::new(loopback, 0), tables).await?;
    let start = Delay { base: Duration::from_millis(up.sim_start_delay_ms), ..Delay::default() };
    let mut nodes = Vec::new();
    for number in 0..up.nodes {
        let name = if up.nodes == 1 { up.place.name.clone() } else { format!("{}-{number}", up.place.name) };
        let runtime = SimRuntime::new(providers_runtime_sim::Settings {
            clock: clock.clone(),
            seed: u64::from(number),
            delays: Delays { start, ..Delays::default() },
            pod_cidr: None,
        })
        .map_err(|wrong| anyhow!(wrong))?;
        nodes.push(Settings {
            node_ips: vec![loopback],
            root_dir: dir.kubelet(),
            log_dir: dir.pod_logs(),
            port,
            server: Some(server.clone()),
            ..Settings::new(&name, Ground::Simulated, Arc::new(runtime))
        });
    }
    tables.agent(Arc::new(Fleet::new(nodes)));
    Ok(())
}

/// Where pods reach the API server that listens on `address`.
pub fn address_for_pods(up: &Up, address: SocketAddr) -> IpAddr {
    let ip = address.ip();
    let beside_loopback = up.runtime == Runtime::Cri && ip.is_loopback();
    if beside_loopback || ip.is_unspecified() { node_address() } else { ip }
}

/// The address under which this machine is known: the source of packets to the outside, or loopback without a network.
///
/// Connecting a datagram socket sends nothing.
pub fn node_address() -> IpAddr {
    let outward = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(("192.0.2.1", 9))?;
        Ok(socket.local_addr()?.ip())
    };
    outward().ok().filter(|address| !address.is_unspecified()).unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

/// The addresses that certificates of this machine are valid for.
pub fn own_addresses() -> Vec<IpAddr> {
    vec![node_address()]
}
