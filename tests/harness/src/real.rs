//! A cluster with real containers, on a containerd of its own: what it leaves in the machine's kernel has names that no other
//! cluster has, and is gone at the end.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use kernel_boot::footprint::Footprint;
use kernel_boot::nodes::node_address;
use kernel_boot::options::{Runtime, Up};

use crate::cluster::TestCluster;
use crate::containerd::{Containerd, unmount_below};
use crate::desk::Desk;
use crate::images;

/// `--eviction-hard` of the tests' nodes: how full the machine's disk is, with whatever was built on it, is not theirs to judge.
pub const EVICTION_HARD: &str = "memory.available<100Mi";

/// The node's machine: a containerd with the tests' images, and names for what a cluster leaves in the kernel.
pub struct Machine {
    containerd: Option<Containerd>,
    images: tempfile::TempDir,
    /// The cluster that may use it.
    pub name: String,
    pub endpoint: String,
    pub pod_cidr: String,
    pub service_cidr: String,
}

impl Machine {
    /// Why none can be had here, or `None` if one can. Tests print the reason and return.
    pub fn unavailable() -> Option<String> {
        Containerd::unavailable().or_else(|| {
            let missing = ["nft", "conntrack", "ip", "curl", "nsenter"].into_iter().find(|program| {
                Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
            })?;
            Some(format!("missing program: {missing}"))
        })
    }

    /// Starts one, with all images of the tests.
    pub async fn start() -> Result<Self> {
        let containerd = Containerd::start().await?;
        let images = tempfile::Builder::new().prefix("ki").tempdir()?;
        for archive in images::save_all(images.path())? {
            containerd.load(&archive)?;
        }
        let pod_cidr = containerd.pod_cidr();
        // 198.18.0.0/15 is for benchmarks, and nobody's network.
        let third = pod_cidr.split('.').nth(2).unwrap_or("0");
        let service_cidr = format!("198.18.{third}.0/24");
        let (name, endpoint) = (containerd.cluster_name(), containerd.endpoint());
        Ok(Self { containerd: Some(containerd), images, name, endpoint, pod_cidr, service_cidr })
    }

    /// Writes into the flags of a cluster that it is to run here.
    pub fn choose(&self, up: &mut Up) -> Result<()> {
        up.place.name.clone_from(&self.name);
        up.runtime_endpoint.clone_from(&self.endpoint);
        up.pod_cidr = self.pod_cidr.parse()?;
        up.eviction_hard = EVICTION_HARD.parse().map_err(anyhow::Error::msg)?;
        up.service_cidr = self.service_cidr.parse()?;
        Ok(())
    }

    pub fn containerd(&mut self) -> &mut Containerd {
        self.containerd.as_mut().expect("only the end takes it")
    }

    /// A folder with the images' archives.
    pub fn images(&self) -> &Path {
        self.images.path()
    }

    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.name)
    }

    /// Ends all containers in order and takes away what the cluster left, whose data is in the folder.
    pub async fn stop(mut self, data: &Path) -> Result<()> {
        let ended = self.containerd.take().expect("only the end takes it").stop().await;
        self.sweep(data);
        ended
    }

    /// What a cluster leaves outside of its folder, on purpose: it outlives the process.
    fn sweep(&self, data: &Path) {
        let Footprint { table, bridge, cgroup_root } = self.footprint();
        unmount_below(data);
        for family in ["ip", "ip6"] {
            quiet("nft", &["delete", "table", family, &table]);
        }
        quiet("ip", &["link", "delete", &bridge]);
        // Made and removed as root of this machine's tests; a lease folder that was never made is no failure.
        let _ = std::fs::remove_dir_all(Path::new("/var/lib/cni/networks").join(&table));
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_cgroups(&hierarchy.path().join(cgroup_root.trim_start_matches('/')));
        }
        remove_cgroups(&Path::new("/sys/fs/cgroup").join(cgroup_root.trim_start_matches('/')));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(containerd) = self.containerd.take() {
            drop(containerd);
            self.sweep(self.images.path());
        }
    }
}

fn quiet(program: &str, arguments: &[&str]) {
    // What was never made cannot be removed, and that is fine.
    let _ = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn remove_cgroups(group: &Path) {
    for inner in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&inner.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

/// A cluster in this process with this machine as its node.
pub struct RealCluster {
    machine: Machine,
    cluster: TestCluster,
}

impl RealCluster {
    /// Starts a machine and a cluster on it.
    pub async fn start() -> Result<Self> {
        let machine = Machine::start().await?;
        let mut chosen = Ok(());
        let cluster = TestCluster::start(Runtime::Cri, |up| chosen = machine.choose(up)).await?;
        chosen?;
        Ok(Self { machine, cluster })
    }

    /// A desk with this kubectl, and scripts that look at the node:
    ///
    /// - `$NODE`: the node's address
    /// - `containerd-pid POD [CONTAINER]`: the process of a running container
    /// - `in-net POD COMMAND...`: runs a program of this machine in a pod's network
    /// - `$CGROUPS`: the pods' control group, without a slash
    /// - `$DATA`: the cluster's data directory; `$SOCKET`: containerd's
    pub fn desk(&self, folder: &str, kubectl: &Path) -> Result<Desk> {
        let mut desk = Desk::new(&self.cluster.folder().join(folder), &self.cluster.kubeconfig(), kubectl)?;
        node_programs(&mut desk, &self.machine, self.cluster.data())?;
        Ok(desk)
    }

    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Stops everything; fails if something stays behind.
    pub async fn stop(self) -> Result<()> {
        let data = self.cluster.data();
        let folder = self.cluster.stop_and_keep().await;
        self.machine.stop(&data).await?;
        folder.close().context("the cluster's folder cannot be removed")
    }
}

/// Gives a desk what it needs to look at the node.
pub fn node_programs(desk: &mut Desk, machine: &Machine, data: PathBuf) -> Result<()> {
    let node: IpAddr = node_address();
    desk.set("NODE", node);
    desk.set("DATA", data.display());
    desk.set("SOCKET", machine.endpoint.trim_start_matches("unix://"));
    desk.set("CGROUPS", machine.footprint().cgroup_root.trim_start_matches('/'));
    desk.set("TABLE", machine.footprint().table);
    desk.program("container-id", CONTAINER_ID)?;
    desk.program("container-pid", CONTAINER_PID)?;
    desk.program("in-net", IN_NET)
}

/// `container-id POD [CONTAINER]`
const CONTAINER_ID: &str = r#"name=${2:+?(@.name==\"$2\")}
kubectl get pod "$1" -o jsonpath="{.status.containerStatuses[${name:-0}].containerID}" | sed 's,^containerd://,,'"#;
/// `container-pid POD [CONTAINER]`
const CONTAINER_PID: &str =
    r#"ctr --address "$SOCKET" --namespace k8s.io tasks ls | awk -v id="$(container-id "$@")" '$1 == id {print $2}'"#;
/// `in-net POD COMMAND...`
const IN_NET: &str = r#"pid=$(container-pid "$1")
shift
exec nsenter --target "$pid" --net -- "$@""#;
