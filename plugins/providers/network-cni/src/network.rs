//! `CniNetwork`: keeps the configuration file right and the kernel forwarding.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ipnet::IpNet;
use sdk_plugin::node::{Network, NodeError, NodeNetwork};

use crate::conflist::{CONFLIST_FILE, Link, NETWORK_NAME, Plan};

/// Where things are, and how pods are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder in which the runtime looks for configurations. Default `/etc/cni/net.d`.
    pub conf_dir: PathBuf,
    /// Where the addresses given out are kept. Default `/var/lib/cni/networks`, `host-local`'s own.
    pub data_dir: PathBuf,
    /// The bridge, 1 to 15 bytes. Default `kubernel0`.
    pub bridge: String,
    /// The network's name, under which its addresses are kept. Default `kubernel`.
    pub name: String,
    /// In bytes; default 0, which leaves it to the kernel.
    pub mtu: u32,
    /// Default `None`: a bridge where the kernel has bridge netfilter, else point to point.
    pub link: Option<Link>,
    /// Where the kernel's settings are. Default `/proc/sys/net`; another folder in tests.
    pub sysctl_dir: PathBuf,
    /// The program that loads kernel modules. Default `modprobe`; one that is not there leaves the kernel as it is.
    pub modprobe: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            conf_dir: "/etc/cni/net.d".into(),
            data_dir: "/var/lib/cni/networks".into(),
            bridge: "kubernel0".to_owned(),
            name: NETWORK_NAME.to_owned(),
            mtu: 0,
            link: None,
            sysctl_dir: "/proc/sys/net".into(),
            modprobe: "modprobe".into(),
        }
    }
}

/// A node's network by the CNI reference plugins.
#[derive(Clone, Debug)]
pub struct CniNetwork {
    settings: Settings,
}

impl CniNetwork {
    /// Refuses a bridge name that the kernel would.
    pub fn new(settings: Settings) -> Result<Self, NodeError> {
        let name = &settings.bridge;
        if name.is_empty()
            || name.len() > 15
            || name.contains(['/', ' ', '\0', ':'])
            || matches!(name.as_str(), "." | "..")
        {
            return Err(NodeError::Failed(format!("{name:?} is no name of a network interface: 1 to 15 bytes")));
        }
        Ok(Self { settings })
    }

    /// The one file that is ours.
    pub fn conflist(&self) -> PathBuf {
        self.settings.conf_dir.join(CONFLIST_FILE)
    }

    /// What is ours on the node, for a reset: the file, the leases, and the bridge.
    pub fn belongings(&self) -> (Vec<PathBuf>, Vec<String>) {
        (vec![self.conflist(), self.settings.data_dir.join(&self.settings.name)], vec![self.settings.bridge.clone()])
    }

    async fn apply(&self, network: &NodeNetwork) -> Result<(), NodeError> {
        let pod_cidrs = parse(&network.pod_cidrs)?;
        if pod_cidrs.is_empty() {
            // Not given one yet: the runtime goes on saying that the network is not ready.
            return Ok(());
        }
        self.forward(&pod_cidrs).await?;
        let link = match self.settings.link {
            Some(Link::Bridge) | None if self.bridge_netfilter().await => Link::Bridge,
            Some(Link::Bridge) => {
                return Err(NodeError::Failed(
                    "the kernel has no bridge netfilter: load the module br_netfilter, or use point-to-point links"
                        .to_owned(),
                ));
            }
            None => {
                tracing::info!("No bridge netfilter in this kernel: pods get point-to-point links.");
                Link::PointToPoint
            }
            Some(Link::PointToPoint) => Link::PointToPoint,
        };
        let plan = Plan {
            link,
            name: self.settings.name.clone(),
            bridge: self.settings.bridge.clone(),
            mtu: self.settings.mtu,
            pod_cidrs,
            data_dir: self.settings.data_dir.display().to_string(),
        };
        write_if_changed(&self.conflist(), &plan.render()).await?;
        if let Some(other) = self.before_ours() {
            tracing::warn!(file = %other.display(), "Another network comes first by its name: the runtime uses that one.");
        }
        Ok(())
    }

    /// A configuration of someone else that the runtime takes instead, since it takes the first by name.
    fn before_ours(&self) -> Option<PathBuf> {
        let files = std::fs::read_dir(&self.settings.conf_dir).ok()?;
        files
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|kind| kind == "conflist" || kind == "conf" || kind == "json"))
            .filter(|path| path.file_name() < Some(CONFLIST_FILE.as_ref()))
            .min()
    }

    /// Lets the kernel route between pods and the world.
    async fn forward(&self, pod_cidrs: &[IpNet]) -> Result<(), NodeError> {
        for (setting, wanted) in [
            ("ipv4/ip_forward", pod_cidrs.iter().any(|cidr| cidr.addr().is_ipv4())),
            ("ipv6/conf/all/forwarding", pod_cidrs.iter().any(|cidr| cidr.addr().is_ipv6())),
        ] {
            if wanted {
                self.enable(setting).await.map_err(|error| {
                    NodeError::Failed(format!("cannot switch on net.{}: {error}", setting.replace('/', ".")))
                })?;
            }
        }
        Ok(())
    }

    /// Shows bridged packets to netfilter, if the kernel can. Without, a pod that answers a pod of the same bridge would
    /// do so directly, and the address of the Service that was asked would not be put back.
    async fn bridge_netfilter(&self) -> bool {
        const IPV4: &str = "bridge/bridge-nf-call-iptables";
        const IPV6: &str = "bridge/bridge-nf-call-ip6tables";
        if !self.settings.sysctl_dir.join(IPV4).exists() {
            // Built as a module by distributions; without the program or the module, it stays away.
            let load = tokio::process::Command::new(&self.settings.modprobe).arg("br_netfilter").output().await;
            tracing::debug!(loaded = load.is_ok_and(|output| output.status.success()), "Asked for br_netfilter.");
        }
        self.enable(IPV4).await.is_ok() && self.enable(IPV6).await.is_ok()
    }

    /// Writes `1` where it is not there already: in containers these files are often readable only, and right.
    async fn enable(&self, setting: &str) -> std::io::Result<()> {
        let path = self.settings.sysctl_dir.join(setting);
        if tokio::fs::read_to_string(&path).await?.trim() == "1" {
            return Ok(());
        }
        tokio::fs::write(path, "1\n").await
    }
}

#[async_trait]
impl Network for CniNetwork {
    async fn configure(&self, network: &NodeNetwork) -> Result<(), NodeError> {
        self.apply(network).await
    }
}

fn parse(cidrs: &[String]) -> Result<Vec<IpNet>, NodeError> {
    let mut out: Vec<IpNet> = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        let parsed: IpNet =
            cidr.parse().map_err(|_| NodeError::Failed(format!("{cidr:?} is no network such as 10.244.0.0/24")))?;
        // host-local needs a network's own address, a gateway's, a pod's and a broadcast's.
        if parsed.max_prefix_len() - parsed.prefix_len() < 2 {
            return Err(NodeError::Failed(format!("the pod network {cidr} has no room for pods")));
        }
        out.push(parsed.trunc());
    }
    Ok(out)
}

/// Replaces the file at once: the runtime watches the folder, and would read a half-written one.
async fn write_if_changed(path: &Path, content: &str) -> Result<(), NodeError> {
    let failed = |error: std::io::Error| NodeError::Failed(format!("cannot write {}: {error}", path.display()));
    match tokio::fs::read_to_string(path).await {
        Ok(current) if current == content => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = path.parent().expect("the file is in the configuration folder");
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    // The runtime reads *.conf, *.conflist and *.json only.
    let fresh = path.with_extension("new");
    tokio::fs::write(&fresh, content).await.map_err(failed)?;
    tokio::fs::rename(&fresh, path).await.map_err(failed)?;
    tracing::info!(path = %path.display(), "Wrote the pod network's configuration.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node whose kernel settings are files in a temporary folder.
    struct Node {
        dir: tempfile::TempDir,
        network: CniNetwork,
    }

    fn node(link: Option<Link>, bridge_netfilter: bool) -> Node {
        let dir = tempfile::tempdir().expect("a folder");
        let sysctl = dir.path().join("sys");
        for (file, exists) in [
            ("ipv4/ip_forward", true),
            ("ipv6/conf/all/forwarding", true),
            ("bridge/bridge-nf-call-iptables", bridge_netfilter),
            ("bridge/bridge-nf-call-ip6tables", bridge_netfilter),
        ] {
            let path = sysctl.join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            if exists {
                std::fs::write(path, "0\n").expect("a setting");
            }
        }
        let settings = Settings {
            conf_dir: dir.path().join("net.d"),
            data_dir: dir.path().join("leases"),
            link,
            sysctl_dir: sysctl,
            modprobe: dir.path().join("modprobe"),
            ..Default::default()
        };
        Node { network: CniNetwork::new(settings).expect("a good name"), dir }
    }

    impl Node {
        fn setting(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join("sys").join(name)).expect("a setting").trim().to_owned()
        }
    }

    fn pods(cidrs: &[&str]) -> NodeNetwork {
        let pod_cidrs = cidrs.iter().map(|cidr| (*cidr).to_owned()).collect();
        NodeNetwork { node_name: "n".into(), pod_cidrs, cluster_cidr: "10.244.0.0/16".into() }
    }

    #[tokio::test]
    async fn the_link_that_the_kernel_can() {
        for (case, link, netfilter, want) in [
            ("bridge netfilter there", None, true, Some("bridge")),
            ("asked for", Some(Link::Bridge), true, Some("bridge")),
            ("no bridge netfilter", None, false, Some("ptp")),
            ("asked for, but not possible", Some(Link::Bridge), false, None),
            ("point to point", Some(Link::PointToPoint), true, Some("ptp")),
        ] {
            let node = node(link, netfilter);
            let result = node.network.configure(&pods(&["10.244.0.0/24"])).await;
            assert_eq!(result.is_ok(), want.is_some(), "{case}: {result:?}");
            let Some(want) = want else { continue };
            let text = std::fs::read_to_string(node.network.conflist()).expect("the file");
            assert!(text.contains(&format!("\"type\": \"{want}\"")), "{case}: {text}");
            assert_eq!(node.setting("ipv4/ip_forward"), "1", "{case}");
            assert_eq!(node.setting("ipv6/conf/all/forwarding"), "0", "{case}");
        }
    }

    #[tokio::test]
    async fn written_once_and_again_when_the_network_changes() {
        use std::os::unix::fs::MetadataExt;
        let node = node(None, true);
        node.network.configure(&pods(&[])).await.expect("nothing to do yet");
        assert!(!node.network.conflist().exists());
        let inode = || std::fs::metadata(node.network.conflist()).expect("the file").ino();
        node.network.configure(&pods(&["10.244.1.7/24"])).await.expect("written");
        let first = inode();
        node.network.configure(&pods(&["10.244.1.0/24"])).await.expect("unchanged");
        assert_eq!(inode(), first);
        node.network.configure(&pods(&["10.244.2.0/24"])).await.expect("written again");
        assert_ne!(inode(), first);
        let names: Vec<_> = std::fs::read_dir(node.dir.path().join("net.d")).expect("the folder").collect();
        assert_eq!(names.len(), 1);
    }

    #[tokio::test]
    async fn a_network_that_comes_first_is_seen() {
        let node = node(None, true);
        let conf_dir = node.dir.path().join("net.d");
        node.network.configure(&pods(&["10.244.0.0/24"])).await.expect("written");
        for (file, first) in
            [("20-other.conflist", None), ("05-note.txt", None), ("05-other.conf", Some("05-other.conf"))]
        {
            std::fs::write(conf_dir.join(file), "{}").expect("a file");
            assert_eq!(node.network.before_ours(), first.map(|name| conf_dir.join(name)), "{file}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        for (case, cidrs) in [
            ("no network", vec!["10.244.0.0"]),
            ("not even an address", vec!["pods"]),
            ("too small", vec!["10.244.0.0/31"]),
            ("one bad of two", vec!["10.244.0.0/24", "fd00::/129"]),
        ] {
            let node = node(None, true);
            assert!(node.network.configure(&pods(&cidrs)).await.is_err(), "{case}");
            assert!(!node.network.conflist().exists(), "{case}");
        }
        for name in ["", "a-name-of-16-byte", "a/b", ".."] {
            assert!(CniNetwork::new(Settings { bridge: name.into(), ..Default::default() }).is_err(), "{name:?}");
        }
    }
}
