//! `node-ipam`: each node gets a part of the pod network.
//!
//! All nodes are one key: two nodes planned at the same time on the same snapshot would be given the same part.

use std::any::Any;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sdk_api::k8s_openapi::api::core::v1::Node;
use sdk_api::{GroupResource, Key, Object};
use sdk_client::Patch;
use sdk_plugin::{DynController, EventNote, EventType, Plan, View, Watch};
use serde_json::json;

/// The size of a node's part. Source: `--node-cidr-mask-size-ipv4` and `-ipv6`.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// The most nodes served by one plan.
const BATCH_MAX: usize = 100;

pub struct NodeIpam {
    /// Such as `10.244.0.0/16`.
    pub pod_cidr: IpNet,
}

impl DynController for NodeIpam {
    fn name(&self) -> &'static str {
        "node-ipam"
    }

    fn resource(&self) -> Option<GroupResource> {
        None
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<Node>(|_, node| {
            // Where a part became free somebody may wait for it.
            let is_served = node.tree()["spec"]["podCIDR"].is_string() && !node.meta().is_deleting();
            if is_served { Vec::new() } else { vec![all_nodes()] }
        })]
    }

    fn plan(&self, view: &View<'_>, _key: &Key, _object: Option<&Arc<Object>>) -> Plan {
        let nodes = view.list::<Node>("");
        let (served, waiting): (Vec<_>, Vec<_>) =
            nodes.iter().partition(|node| node.spec.as_ref().is_some_and(|spec| spec.pod_cidr.is_some()));
        let used: HashSet<IpNet> = served
            .iter()
            .filter_map(|node| node.spec.as_ref())
            .flat_map(|spec| spec.pod_cidr.iter().chain(spec.pod_cidrs.iter().flatten()))
            .filter_map(|text| text.parse().ok())
            .collect();
        let mut free = parts(self.pod_cidr).filter(|part| !used.contains(part));
        let mut plan = Plan::nothing();
        for node in waiting.into_iter().filter(|node| node.metadata.deletion_timestamp.is_none()).take(BATCH_MAX) {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            plan = match free.next() {
                Some(part) => {
                    let text = part.to_string();
                    let body = json!({"metadata": {"uid": node.metadata.uid},
                        "spec": {"podCIDR": text, "podCIDRs": [text]}});
                    plan.patch(Key::of::<Node>("", name), "", Patch::merge(body))
                }
                None => plan.event(EventNote {
                    regarding: json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}),
                    kind: EventType::Normal,
                    reason: "CIDRNotAvailable".into(),
                    message: format!("Node {name} status is now: CIDRNotAvailable"),
                }),
            };
        }
        plan
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The key that stands for all nodes.
fn all_nodes() -> Key {
    Key::of::<Node>("", "")
}

/// All parts of a network, in order. A network smaller than a part is one part.
fn parts(network: IpNet) -> impl Iterator<Item = IpNet> {
    let longest = if matches!(network, IpNet::V4(_)) { PREFIX_V4 } else { PREFIX_V6 };
    let prefix = longest.max(network.prefix_len());
    let count = 1_u64.checked_shl(u32::from(prefix - network.prefix_len())).unwrap_or(u64::MAX);
    let first = network.network();
    (0..count).filter_map(move |number| match first {
        IpAddr::V4(first) => {
            let offset = u32::try_from(number).ok()?.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
            let address = Ipv4Addr::from(u32::from(first).checked_add(offset)?);
            Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
        }
        IpAddr::V6(first) => {
            let offset = u128::from(number).checked_shl(u32::from(128 - prefix)).unwrap_or(0);
            let address = Ipv6Addr::from(u128::from(first).checked_add(offset)?);
            Ipv6Net::new(address, prefix).ok().map(IpNet::V6)
        }
    })
}

#[cfg(test)]
mod tests {
    use sdk_plugin::PlannedWrite;
    use sdk_testkit::{Build, FixedCache};

    use super::*;

    #[test]
    fn networks_split_in_order() {
        let split = |text: &str| parts(text.parse().unwrap()).map(|part| part.to_string()).take(3).collect::<Vec<_>>();
        assert_eq!(split("10.244.0.0/16"), ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]);
        assert_eq!(split("10.0.0.64/26"), ["10.0.0.64/26"]);
        assert_eq!(split("fd00::/62"), ["fd00::/64", "fd00:0:0:1::/64", "fd00:0:0:2::/64"]);
        assert_eq!(parts("10.244.0.0/16".parse().unwrap()).count(), 256);
    }

    #[test]
    fn each_node_gets_a_part_of_its_own() {
        let node = |name: &str| Build::node(name);
        let served = |name: &str, part: &str| node(name).set("spec", json!({"podCIDR": part, "podCIDRs": [part]}));
        for (case, network, nodes, wanted) in [
            ("two at once", "10.244.0.0/16", vec![node("a"), node("b")], "a=10.244.0.0/24 b=10.244.1.0/24"),
            (
                "gaps are filled",
                "10.244.0.0/16",
                vec![served("a", "10.244.1.0/24"), node("b"), node("c")],
                "b=10.244.0.0/24 c=10.244.2.0/24",
            ),
            ("all served", "10.244.0.0/16", vec![served("a", "10.244.0.0/24")], ""),
            ("one that goes", "10.244.0.0/16", vec![node("a").deleting("2026-01-01T00:00:00Z")], ""),
            ("no more", "10.244.0.0/24", vec![served("a", "10.244.0.0/24"), node("b")], "b: none"),
        ] {
            let cache = FixedCache::new(nodes.into_iter().map(Build::tree));
            let view = cache.view(sdk_api::Timestamp::UNIX_EPOCH);
            let plan = NodeIpam { pod_cidr: network.parse().unwrap() }.plan(&view, &all_nodes(), None);
            let words: Vec<_> = plan
                .writes
                .iter()
                .map(|write| match write {
                    PlannedWrite::Patch { key, patch, .. } => {
                        assert_eq!(patch.body["spec"]["podCIDRs"], json!([patch.body["spec"]["podCIDR"]]));
                        format!("{}={}", key.name, patch.body["spec"]["podCIDR"].as_str().unwrap())
                    }
                    PlannedWrite::Event(note) if note.reason == "CIDRNotAvailable" => {
                        format!("{}: none", note.regarding["name"].as_str().unwrap())
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(words.join(" "), wanted, "{case}");
        }
    }
}
