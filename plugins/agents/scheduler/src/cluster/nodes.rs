//! Nodes as columns: one vector a fact, one index a node.
//!
//! Plugins scan columns over thousands of nodes without touching a document. Slots of removed nodes are used again.

use std::collections::{BTreeMap, HashMap};
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use crate::class::{Class, HostPort, Taint};
use crate::node::Node;

/// A node's slot. Valid while the node or a pod on it exists.
pub type NodeIx = u32;

/// What a change of a node touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeChange(u8);

impl NodeChange {
    /// As known before: a heartbeat.
    pub const NOTHING: Self = Self(0);
    /// The node is new, and so is everything about it.
    pub const ADDED: Self = Self(1);
    /// How much of something there is.
    pub const ALLOCATABLE: Self = Self(2);
    /// Its labels.
    pub const LABELS: Self = Self(4);
    /// Its taints.
    pub const TAINTS: Self = Self(8);
    /// Whether it is cordoned.
    pub const UNSCHEDULABLE: Self = Self(16);
    /// The images it holds.
    pub const IMAGES: Self = Self(32);

    /// Whether any of `other` is in it. A node that was added changed in every way.
    pub fn any(self, other: Self) -> bool {
        self.0 & (other.0 | Self::ADDED.0) != 0
    }

    /// Whether nothing changed.
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for NodeChange {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for NodeChange {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A resource on every node: what there is and what placed pods request.
#[derive(Clone, Debug, Default)]
pub struct Amounts {
    pub allocatable: Vec<i64>,
    pub used: Vec<i64>,
}

/// The columns. All vectors have the same length.
#[derive(Default)]
pub struct Nodes {
    by_name: HashMap<Arc<str>, NodeIx>,
    free: Vec<NodeIx>,
    live: Vec<NodeIx>,
    pub name: Vec<Arc<str>>,
    /// Whether the node object exists; a slot without one only holds pods that say they run there.
    pub exists: Vec<bool>,
    pub unschedulable: Vec<bool>,
    pub taints: Vec<Vec<Taint>>,
    pub labels: Vec<BTreeMap<String, String>>,
    pub cpu: Amounts,
    pub memory: Amounts,
    pub storage: Amounts,
    pub pods: Amounts,
    /// Resources that some node offers or some pod asks for.
    pub other: HashMap<String, Amounts>,
    /// CPU and memory of placed pods, as scores see them.
    pub scored: [Vec<i64>; 2],
    pub host_ports: Vec<Vec<HostPort>>,
    pub images: Vec<BTreeMap<String, i64>>,
    /// Uids of the pods placed here.
    pub placed: Vec<Vec<Arc<str>>>,
}

impl Nodes {
    /// Slots in use or free; indexes are below this.
    pub fn slots(&self) -> usize {
        self.name.len()
    }

    /// The nodes that exist, by index.
    pub fn live(&self) -> &[NodeIx] {
        &self.live
    }

    /// The slot of a name, if it has one.
    pub fn find(&self, name: &str) -> Option<NodeIx> {
        self.by_name.get(name).copied()
    }

    /// The slot of a name, made if needed.
    pub fn slot(&mut self, name: &str) -> NodeIx {
        if let Some(ix) = self.find(name) {
            return ix;
        }
        let name: Arc<str> = name.into();
        let ix = match self.free.pop() {
            Some(ix) => ix,
            None => self.grow(),
        };
        self.name[ix as usize] = name.clone();
        self.by_name.insert(name, ix);
        ix
    }

    fn grow(&mut self) -> NodeIx {
        let ix = NodeIx::try_from(self.name.len()).expect("fewer than 2^32 nodes");
        self.name.push("".into());
        self.exists.push(false);
        self.unschedulable.push(false);
        self.taints.push(Vec::new());
        self.labels.push(BTreeMap::new());
        self.host_ports.push(Vec::new());
        self.images.push(BTreeMap::new());
        self.placed.push(Vec::new());
        for column in &mut self.scored {
            column.push(0);
        }
        let named = [&mut self.cpu, &mut self.memory, &mut self.storage, &mut self.pods];
        for amounts in named.into_iter().chain(self.other.values_mut()) {
            amounts.allocatable.push(0);
            amounts.used.push(0);
        }
        ix
    }

    fn other_mut(&mut self, name: &str) -> &mut Amounts {
        if !self.other.contains_key(name) {
            let zeros = vec![0; self.name.len()];
            self.other.insert(name.to_owned(), Amounts { allocatable: zeros.clone(), used: zeros });
        }
        self.other.get_mut(name).expect("made above")
    }

    /// Writes a node's facts into its slot.
    pub fn set(&mut self, node: Node) -> (NodeIx, NodeChange) {
        let ix = self.slot(&node.name);
        let at = ix as usize;
        let mut change = NodeChange::NOTHING;
        if !self.exists[at] {
            self.exists[at] = true;
            let place = self.live.partition_point(|other| *other < ix);
            self.live.insert(place, ix);
            change |= NodeChange::ADDED;
        }
        fn put<T: PartialEq>(into: &mut T, value: T, change: &mut NodeChange, kind: NodeChange) {
            if *into != value {
                *into = value;
                *change |= kind;
            }
        }
        let allocatable = [
            (&mut self.cpu, node.cpu_milli),
            (&mut self.memory, node.memory_bytes),
            (&mut self.storage, node.storage_bytes),
            (&mut self.pods, node.pods),
        ];
        for (amounts, value) in allocatable {
            put(&mut amounts.allocatable[at], value, &mut change, NodeChange::ALLOCATABLE);
        }
        for (name, amounts) in &mut self.other {
            let value = node.other.get(name).copied().unwrap_or(0);
            put(&mut amounts.allocatable[at], value, &mut change, NodeChange::ALLOCATABLE);
        }
        for (name, value) in node.other {
            if value != 0 && !self.other.contains_key(&name) {
                self.other_mut(&name).allocatable[at] = value;
                change |= NodeChange::ALLOCATABLE;
            }
        }
        put(&mut self.labels[at], node.labels, &mut change, NodeChange::LABELS);
        put(&mut self.taints[at], node.taints, &mut change, NodeChange::TAINTS);
        put(&mut self.unschedulable[at], node.unschedulable, &mut change, NodeChange::UNSCHEDULABLE);
        put(&mut self.images[at], node.images, &mut change, NodeChange::IMAGES);
        (ix, change)
    }

    /// The node object is gone. Its slot stays while pods are on it.
    pub fn remove(&mut self, name: &str) -> Option<NodeIx> {
        let ix = self.find(name)?;
        let at = ix as usize;
        if !self.exists[at] {
            return None;
        }
        let empty = Node { name: name.to_owned(), ..Node::default() };
        self.set(empty);
        self.exists[at] = false;
        self.live.retain(|other| *other != ix);
        self.release(ix);
        Some(ix)
    }

    /// Frees the slot if nothing needs it.
    pub fn release(&mut self, ix: NodeIx) {
        let at = ix as usize;
        if !self.exists[at] && self.placed[at].is_empty() {
            self.by_name.remove(&self.name[at]);
            self.name[at] = "".into();
            self.free.push(ix);
        }
    }

    /// Adds (`sign` 1) or takes away (-1) what a pod of this class needs.
    pub fn charge(&mut self, ix: NodeIx, class: &Class, sign: i64) {
        let at = ix as usize;
        self.cpu.used[at] += sign * class.requests.cpu;
        self.memory.used[at] += sign * class.requests.memory;
        self.storage.used[at] += sign * class.requests.storage;
        self.pods.used[at] += sign;
        for (name, amount) in &class.requests.other {
            self.other_mut(name).used[at] += sign * amount;
        }
        for (column, amount) in self.scored.iter_mut().zip(class.scored) {
            column[at] += sign * amount;
        }
        let ports = &mut self.host_ports[at];
        for port in &class.host_ports {
            if sign > 0 {
                ports.push(port.clone());
            } else if let Some(found) = ports.iter().position(|other| other == port) {
                ports.swap_remove(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Requests;

    fn node(name: &str, cpu_milli: i64) -> Node {
        Node { name: name.into(), cpu_milli, pods: 10, ..Node::default() }
    }

    #[test]
    fn changes_are_told_and_slots_are_used_again() {
        let mut nodes = Nodes::default();
        let (a, change) = nodes.set(node("a", 1000));
        assert!(change.any(NodeChange::TAINTS), "an added node changed in every way");
        assert_eq!(nodes.set(node("a", 1000)).1, NodeChange::NOTHING, "a heartbeat");
        assert_eq!(nodes.set(node("a", 2000)).1, NodeChange::ALLOCATABLE);
        let gpu = BTreeMap::from([("gpu".to_owned(), 1)]);
        assert_eq!(nodes.set(Node { other: gpu, ..node("a", 2000) }).1, NodeChange::ALLOCATABLE);
        assert_eq!(nodes.set(node("a", 2000)).1, NodeChange::ALLOCATABLE, "the gpu is gone");
        nodes.set(node("b", 1));
        assert_eq!(nodes.remove("a"), Some(a));
        assert_eq!(nodes.live(), [1]);
        assert_eq!(nodes.set(node("c", 3)).0, a);
        assert_eq!((nodes.find("a"), nodes.cpu.allocatable[a as usize]), (None, 3));
    }

    #[test]
    fn a_slot_stays_while_pods_are_on_it() {
        let mut nodes = Nodes::default();
        let ix = nodes.slot("ghost");
        let requests = Requests { cpu: 100, other: BTreeMap::from([("gpu".into(), 1)]), ..Requests::default() };
        let class = Class { requests, ..Class::default() };
        nodes.placed[ix as usize].push("u".into());
        nodes.charge(ix, &class, 1);
        assert!(nodes.live().is_empty());
        assert_eq!(nodes.set(node("ghost", 1000)).0, ix);
        assert_eq!((nodes.cpu.used[0], nodes.pods.used[0], nodes.other["gpu"].used[0]), (100, 1, 1));
        nodes.remove("ghost");
        nodes.charge(ix, &class, -1);
        nodes.placed[ix as usize].clear();
        nodes.release(ix);
        assert_eq!((nodes.find("ghost"), nodes.cpu.used[0]), (None, 0));
    }
}
