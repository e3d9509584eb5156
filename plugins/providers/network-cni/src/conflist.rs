//! What the runtime is told: one list of the reference plugins, as JSON.

use ipnet::IpNet;
use serde_json::{Value, json};

/// The file's name. It sorts before most others, since the runtime takes the first file of the folder.
pub const CONFLIST_FILE: &str = "10-kubernel.conflist";
/// The name of the network, under which `host-local` keeps its leases, unless the settings give another.
pub const NETWORK_NAME: &str = "kubernel";

/// How the pods of a node are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// All on one bridge. Needs bridge netfilter (`br_netfilter`), or answers of a Service's pod on the same bridge pass
    /// by the address translation.
    Bridge,
    /// Each by a link and a route of its own; every packet is routed.
    PointToPoint,
}

/// What the list is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub link: Link,
    /// The name of the network.
    pub name: String,
    pub bridge: String,
    /// 0 leaves it to the kernel.
    pub mtu: u32,
    pub pod_cidrs: Vec<IpNet>,
    /// Where `host-local` keeps its leases; empty is its own default.
    pub data_dir: String,
}

impl Plan {
    /// The file's content.
    ///
    /// No `ipMasq`: masquerading what leaves the cluster is the service proxy's, in one nftables table with the rest.
    /// `portmap` serves hostPorts; it acts only for pods that have one, through the program `iptables`.
    pub fn render(&self) -> String {
        let ranges: Vec<Value> = self.pod_cidrs.iter().map(|cidr| json!([{"subnet": cidr.to_string()}])).collect();
        let routes: Vec<Value> = [("0.0.0.0/0", true), ("::/0", false)]
            .into_iter()
            .filter(|(_, v4)| self.pod_cidrs.iter().any(|cidr| matches!(cidr, IpNet::V4(_)) == *v4))
            .map(|(dst, _)| json!({"dst": dst}))
            .collect();
        let mut ipam = json!({"type": "host-local", "ranges": ranges, "routes": routes});
        if !self.data_dir.is_empty() {
            ipam["dataDir"] = self.data_dir.as_str().into();
        }
        let mut link = match self.link {
            Link::Bridge => json!({
                "type": "bridge",
                "bridge": self.bridge,
                "isGateway": true,
                "forceAddress": true,
                "hairpinMode": true,
                "ipMasq": false,
            }),
            Link::PointToPoint => json!({"type": "ptp", "ipMasq": false}),
        };
        if self.mtu != 0 {
            link["mtu"] = self.mtu.into();
        }
        link["ipam"] = ipam;
        let list = json!({
            "cniVersion": "0.4.0",
            "name": self.name,
            "plugins": [link, {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}],
        });
        let mut text = serde_json::to_string_pretty(&list).expect("a JSON value prints");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(link: Link, cidrs: &[&str]) -> Value {
        let plan = Plan {
            link,
            name: NETWORK_NAME.into(),
            bridge: "kubernel0".into(),
            mtu: 0,
            pod_cidrs: cidrs.iter().map(|cidr| cidr.parse().expect("a network")).collect(),
            data_dir: "/var/lib/x".into(),
        };
        serde_json::from_str(&plan.render()).expect("JSON")
    }

    #[test]
    fn a_bridge_with_one_network() {
        assert_eq!(
            plan(Link::Bridge, &["10.244.0.0/24"]),
            json!({
                "cniVersion": "0.4.0",
                "name": "kubernel",
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": "kubernel0",
                        "isGateway": true,
                        "forceAddress": true,
                        "hairpinMode": true,
                        "ipMasq": false,
                        "ipam": {
                            "type": "host-local",
                            "ranges": [[{"subnet": "10.244.0.0/24"}]],
                            "routes": [{"dst": "0.0.0.0/0"}],
                            "dataDir": "/var/lib/x",
                        },
                    },
                    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
                ],
            })
        );
    }

    #[test]
    fn one_range_and_one_default_route_a_family() {
        let list = plan(Link::PointToPoint, &["10.244.0.0/24", "fd00:10:244::/64"]);
        assert_eq!(list["plugins"][0]["type"], "ptp");
        let ipam = &list["plugins"][0]["ipam"];
        assert_eq!(ipam["ranges"], json!([[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:10:244::/64"}]]));
        assert_eq!(ipam["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
        assert_eq!(plan(Link::Bridge, &["fd00::/64"])["plugins"][0]["ipam"]["routes"], json!([{"dst": "::/0"}]));
    }
}
