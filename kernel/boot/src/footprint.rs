//! What a node with real containers is called in this machine's kernel: after its cluster, so that clusters beside each
//! other do not meet.

use std::path::PathBuf;

use providers_network_cni::Settings;

use crate::options::DEFAULT_NAME;

/// Longest name of a network interface, in bytes. Source: `IFNAMSIZ`.
const LINK_NAME_MAX: usize = 15;

/// Names of things that outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The nftables tables, one a family, and the CNI network.
    pub table: String,
    /// The pods' bridge.
    pub bridge: String,
    /// The control group of all pods, with a slash before.
    pub cgroup_root: String,
}

impl Footprint {
    /// The names of a cluster's node; those of the default cluster are short.
    pub fn of(cluster: &str) -> Self {
        if cluster == DEFAULT_NAME {
            return Self { table: "kubernel".into(), bridge: "kubernel0".into(), cgroup_root: "/kubepods".into() };
        }
        let mut bridge = format!("kn-{cluster}");
        if bridge.len() > LINK_NAME_MAX {
            bridge = format!("kn-{:08x}", hash(cluster));
        }
        Self { table: format!("kubernel-{cluster}"), bridge, cgroup_root: format!("/kubepods-{cluster}") }
    }

    /// The settings of the pod network, whose configuration goes into the folder.
    pub fn network(&self, conf_dir: PathBuf) -> Settings {
        Settings { conf_dir, bridge: self.bridge.clone(), name: self.table.clone(), ..Settings::default() }
    }
}

/// FNV-1a.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cluster_has_names_of_its_own() {
        for (cluster, table, bridge, cgroup_root) in [
            ("kubernel", "kubernel", "kubernel0", "/kubepods"),
            ("dev", "kubernel-dev", "kn-dev", "/kubepods-dev"),
            ("twelve-bytes", "kubernel-twelve-bytes", "kn-twelve-bytes", "/kubepods-twelve-bytes"),
            ("thirteen-byte", "kubernel-thirteen-byte", "kn-a61d355b", "/kubepods-thirteen-byte"),
        ] {
            let wanted = Footprint { table: table.into(), bridge: bridge.into(), cgroup_root: cgroup_root.into() };
            assert_eq!(Footprint::of(cluster), wanted);
            assert!(wanted.bridge.len() <= LINK_NAME_MAX);
        }
    }
}
