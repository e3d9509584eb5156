//! What a cluster is told when it starts: the flags of `kubernel up`, a contract for scripts and tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agents_kubelet::EvictionHard;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::backend::StoreFlags;
use crate::progress::Output;

/// The name of a cluster, and of all that belongs to it, unless said otherwise.
pub const DEFAULT_NAME: &str = "kubernel";
/// Where containerd listens unless said otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:///run/containerd/containerd.sock";

/// Where the kubelet of a machine listens unless said otherwise. Source: `KubeletPort`.
const KUBELET_PORT: u16 = 10250;

/// When a node is under pressure unless said otherwise: the defaults of `EvictionHard`.
const EVICTION_HARD: &str = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%";

/// A length of time as people write it; zero and less make no sense here.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).ok().filter(|time| !time.is_zero()).ok_or_else(|| "must be longer than nothing".into())
}

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A runtime that speaks CRI v1, such as containerd. Needs root.
    Cri,
    /// Nodes without containers, for tests and exploration.
    Sim,
    /// No node at all: the API, the controllers and the scheduler.
    None,
}

/// Which cluster: its name and where its data is.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Name of the cluster, its kubeconfig context and its node
    #[arg(long, default_value = DEFAULT_NAME)]
    pub name: String,
    /// Folder of everything the cluster keeps [default: /var/lib/NAME as root, else ~/.local/share/NAME]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Up {
    #[command(flatten)]
    pub place: Place,
    /// Address of the API; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// Write the admin's entry into this file, and touch no other
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreFlags,
    /// Folder of the authorities and the service-account key, the same for all servers of a cluster [default: in the data folder]
    #[arg(long)]
    pub pki_dir: Option<PathBuf>,
    /// What runs containers
    #[arg(long, value_enum, default_value = "cri")]
    pub runtime: Runtime,
    /// Where the CRI runtime listens
    #[arg(long, default_value = DEFAULT_ENDPOINT)]
    pub runtime_endpoint: String,
    /// How many nodes (only for the simulated runtime)
    #[arg(long, default_value_t = 1)]
    pub nodes: u32,
    /// Addresses of pods
    #[arg(long, default_value = "10.244.0.0/16")]
    pub pod_cidr: IpNet,
    /// Addresses of Services
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cidr: IpNet,
    /// How long simulated containers take to start, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub sim_start_delay_ms: u64,
    /// The folder in which the runtime looks for network configurations
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// How long an event stays after its last write, such as 1h or 90m
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub event_ttl: Duration,
    /// Port of the node's own server; 0 picks a free one
    #[arg(long, hide = true, default_value_t = KUBELET_PORT)]
    pub kubelet_port: u16,
    /// When the node is under pressure and takes no further pods
    #[arg(long, default_value = EVICTION_HARD)]
    pub eviction_hard: EvictionHard,
    /// How progress is written
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

impl Up {
    /// The flags' defaults, for a cluster that starts in process.
    pub fn new(name: &str, data_dir: PathBuf, kubeconfig: PathBuf, runtime: Runtime) -> Self {
        Self {
            place: Place { name: name.into(), data_dir: Some(data_dir) },
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            kubeconfig: Some(kubeconfig),
            store: StoreFlags::default(),
            pki_dir: None,
            runtime,
            runtime_endpoint: DEFAULT_ENDPOINT.into(),
            nodes: 1,
            pod_cidr: "10.244.0.0/16".parse().expect("a constant network"),
            service_cidr: "10.96.0.0/16".parse().expect("a constant network"),
            sim_start_delay_ms: 0,
            cni_conf_dir: "/etc/cni/net.d".into(),
            event_ttl: Duration::from_secs(3600),
            kubelet_port: 0,
            eviction_hard: EvictionHard::default(),
            output: Output::Text,
        }
    }

    /// What is wrong with the flags together, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.place.name;
        if !sdk_api::names::dns1123_label(name).is_empty() {
            return Err(format!("--name {name:?} must be a DNS label: lower case letters, digits and '-'"));
        }
        if self.nodes == 0 || self.nodes > 5_000 {
            return Err(format!("--nodes {} must be 1 to 5000; for none use --runtime none", self.nodes));
        }
        if self.runtime == Runtime::Cri && self.nodes != 1 {
            return Err("--nodes is for --runtime sim; a machine is one node".into());
        }
        self.store.check()?;
        let (pods, services) = (&self.pod_cidr, &self.service_cidr);
        if pods.contains(&services.network()) || services.contains(&pods.network()) {
            return Err(format!(
                "--pod-cidr {pods} and --service-cidr {services} overlap; choose one of them elsewhere"
            ));
        }
        for (flag, cidr, prefix_max) in [("--pod-cidr", pods, 24), ("--service-cidr", services, 28)] {
            if cidr.addr().is_ipv6() {
                return Err(format!("{flag} {cidr}: IPv6 is not supported yet"));
            }
            if cidr.prefix_len() > prefix_max {
                return Err(format!("{flag} {cidr} is too small, it must be a /{prefix_max} or larger"));
            }
        }
        if self.runtime == Runtime::Sim {
            let room = 1u64 << 24u8.saturating_sub(pods.prefix_len());
            if u64::from(self.nodes) > room {
                return Err(format!(
                    "--pod-cidr {pods} has room for {room} nodes of a /24 each, not for {}",
                    self.nodes
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_shows_the_kubelets_thresholds() {
        assert_eq!(EVICTION_HARD.parse(), Ok(EvictionHard::default()));
    }

    #[test]
    fn flags_that_do_not_fit_are_named() {
        let good = || Up::new("a", "/d".into(), "/k".into(), Runtime::Sim);
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut Up);
        for (spoil, words) in [
            ((|up| up.place.name = "A".into()) as Spoil, "--name"),
            (|up| up.nodes = 0, "--nodes"),
            (|up| (up.runtime, up.nodes) = (Runtime::Cri, 2), "--nodes"),
            (|up| up.nodes = 300, "--pod-cidr"),
            (|up| up.service_cidr = "10.244.1.0/24".parse().unwrap(), "overlap"),
            (|up| up.service_cidr = "10.96.0.0/30".parse().unwrap(), "--service-cidr"),
            (|up| up.pod_cidr = "fd00::/16".parse().unwrap(), "IPv6"),
        ] {
            let mut up = good();
            spoil(&mut up);
            assert!(up.check().unwrap_err().contains(words), "{words}");
        }
    }
}
