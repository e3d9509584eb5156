//! What a kubelet is told when it starts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Taint;
use sdk_plugin::node::{Network, NodeRuntime};

use crate::eviction::EvictionHard;
use crate::server::NodeServer;

/// What a node has, or keeps for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a CPU.
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_bytes: i64,
    /// How many pods may run, 110 by default upstream.
    pub pods: i64,
}

/// Where a kubelet's pods live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// On this machine: volumes, cgroups and logs are real, probes connect to the pods.
    Host,
    /// Nowhere: volumes are resolved, so that what is missing is noticed, but not written; probes are answered by the
    /// runtime's `exec_sync`.
    Simulated,
}

/// Settings of one kubelet.
#[derive(Clone)]
pub struct Settings {
    pub node_name: String,
    /// The first is the main one.
    pub node_ips: Vec<IpAddr>,
    /// Besides those that every node has.
    pub labels: BTreeMap<String, String>,
    /// For a new node only; an existing node keeps what others made of its taints.
    pub taints: Vec<Taint>,
    pub runtime: Arc<dyn NodeRuntime>,
    /// Prepares pod networking once the node has its pod networks; `None` leaves it to the runtime.
    pub network: Option<Arc<dyn Network>>,
    pub ground: Ground,
    /// Of volumes and other files of pods, absolute: `/var/lib/kubernel/kubelet`.
    pub root_dir: PathBuf,
    /// Of container logs, absolute: `/var/log/pods`.
    pub log_dir: PathBuf,
    pub capacity: Capacity,
    /// What pods cannot have of the capacity.
    pub reserved: Capacity,
    /// `cluster.local`
    pub cluster_domain: String,
    /// Addresses of the cluster's DNS; empty makes `ClusterFirst` pods use the node's resolver.
    pub cluster_dns: Vec<String>,
    /// The node's own resolver, `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The pod network of the whole cluster, for `network`.
    pub cluster_cidr: String,
    /// Where the node's server listens; announced in the node's status.
    pub port: u16,
    /// Serves logs and streams of this node; shared by the kubelets of a process.
    pub server: Option<Arc<NodeServer>>,
    /// `v1.36.0`
    pub version: String,
    /// The cgroup of all pods, `/kubepods`; empty leaves cgroups to the runtime.
    pub cgroup_root: String,
    pub limits: Limits,
}

/// Bounds and periods of one kubelet, upstream's defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pause between renewals of the node's lease, and looks at the node's health. 10 s.
    pub heartbeat: Duration,
    /// How long the lease holds. 40 s.
    pub lease: Duration,
    /// How often an unchanged status is sent. 5 min.
    pub status_report: Duration,
    /// Pause between looks at a runtime without events. 1 s.
    pub relist: Duration,
    /// Images named in the node's status. 50.
    pub images_max: usize,
    /// Size at which a container's log is rotated. 10 MiB.
    pub log_bytes_max: u64,
    /// Log files kept for a container. 5.
    pub log_files_max: usize,
    /// Pause between looks at log sizes. 10 s.
    pub log_check: Duration,
    /// When the node is under pressure.
    pub eviction_hard: EvictionHard,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(40),
            status_report: Duration::from_secs(300),
            relist: Duration::from_secs(1),
            images_max: 50,
            log_bytes_max: 10 << 20,
            log_files_max: 5,
            log_check: Duration::from_secs(10),
            eviction_hard: EvictionHard::default(),
        }
    }
}

impl Settings {
    /// Settings with upstream's defaults, for a runtime.
    pub fn new(node_name: &str, ground: Ground, runtime: Arc<dyn NodeRuntime>) -> Self {
        Self {
            node_name: node_name.into(),
            node_ips: vec![IpAddr::from([127, 0, 0, 1])],
            labels: BTreeMap::new(),
            taints: vec![],
            runtime,
            network: None,
            ground,
            root_dir: "/var/lib/kubernel/kubelet".into(),
            log_dir: "/var/log/pods".into(),
            capacity: Capacity { cpu_milli: 4000, memory_bytes: 8 << 30, ephemeral_bytes: 100 << 30, pods: 110 },
            reserved: Capacity::default(),
            cluster_domain: "cluster.local".into(),
            cluster_dns: vec![],
            resolv_conf: "/etc/resolv.conf".into(),
            cluster_cidr: String::new(),
            port: 10250,
            server: None,
            version: "v1.36.0".into(),
            cgroup_root: String::new(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn on_host(&self) -> bool {
        self.ground == Ground::Host
    }

    /// Where the files of a pod are.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root_dir.join("pods").join(uid)
    }

    /// Where the logs of a pod's containers are.
    pub(crate) fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.log_dir.join(format!("{namespace}_{name}_{uid}"))
    }
}
