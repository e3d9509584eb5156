//! What the scheduler knows of the cluster: node columns, placed pods, counts, all kept by deltas.

mod changes;
mod counters;
mod nodes;
mod topology;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::{Key, LabelSelector};

pub use changes::ChangeLog;
pub use counters::{ClassRef, Counter, Counters, Query, Tally, Terms};
pub use nodes::{Amounts, NodeChange, NodeIx, Nodes};
pub use topology::{NO_DOMAIN, Topologies, Topology};

use crate::class::{Class, Namespaces, PodTerm, Who};
use crate::node::Node;
use crate::pod::Pod;

/// The topology key of single nodes.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The topology key of zones.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// A pod that takes room on a node.
#[derive(Clone, Debug)]
pub struct Placed {
    pub key: Key,
    pub uid: Arc<str>,
    pub class: ClassRef,
    pub node: NodeIx,
    pub deleting: bool,
    /// Placed by this scheduler, and not yet confirmed by the API.
    pub assumed: bool,
    pub started: Option<Timestamp>,
}

/// How news of a placed pod compare with what was known.
#[derive(Clone, Debug)]
pub enum Confirmed {
    AsKnown,
    New,
    /// It was like this before.
    Changed(Placed),
}

/// A pod that shall go to a node once others have left it.
#[derive(Clone, Debug)]
pub struct Nominated {
    pub key: Key,
    pub class: ClassRef,
    pub node: Arc<str>,
}

/// A PodDisruptionBudget, as preemption reads it.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    pub selector: LabelSelector,
    pub disruptions_allowed: i64,
}

type Labels = BTreeMap<String, String>;
/// By namespace, then by name.
type ByName<T> = HashMap<Arc<str>, BTreeMap<Arc<str>, T>>;

/// All that a cycle reads.
#[derive(Default)]
pub struct Cluster {
    pub nodes: Nodes,
    pub topologies: Topologies,
    pub counters: Counters,
    pub changes: ChangeLog,
    placed: HashMap<Arc<str>, Placed>,
    /// How many placed pods have each priority.
    priorities: BTreeMap<i32, u32>,
    nominated: BTreeMap<Arc<str>, Nominated>,
    services: ByName<Labels>,
    budgets: ByName<Budget>,
    /// How many nodes hold each image.
    image_nodes: HashMap<String, u32>,
    image_epoch: u64,
}

impl Cluster {
    /// Takes in a node as it is now.
    pub fn set_node(&mut self, node: Node) -> (NodeIx, NodeChange) {
        let before = self.nodes.find(&node.name).map(|ix| self.nodes.images[ix as usize].clone()).unwrap_or_default();
        let (ix, change) = self.nodes.set(node);
        let at = ix as usize;
        if change.any(NodeChange::IMAGES) {
            self.count_images(&before, ix);
        }
        if change.any(NodeChange::LABELS) {
            self.topologies.update(at, &self.nodes.labels);
        }
        if !change.is_nothing() {
            self.changes.push(ix);
        }
        (ix, change)
    }

    /// The node is gone. Whether it was known.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let before = self.nodes.find(name).map(|ix| self.nodes.images[ix as usize].clone()).unwrap_or_default();
        let Some(ix) = self.nodes.remove(name) else { return false };
        self.count_images(&before, ix);
        self.topologies.update(ix as usize, &self.nodes.labels);
        self.changes.push(ix);
        true
    }

    fn count_images(&mut self, before: &BTreeMap<String, i64>, ix: NodeIx) {
        let after = &self.nodes.images[ix as usize];
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            if let Some(count) = self.image_nodes.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.image_nodes.remove(name);
                }
            }
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            *self.image_nodes.entry(name.clone()).or_default() += 1;
        }
        self.image_epoch += 1;
    }

    /// How many nodes hold an image.
    pub fn nodes_with_image(&self, name: &str) -> u32 {
        self.image_nodes.get(name).copied().unwrap_or(0)
    }

    /// Moves when any node's images do, or the number of nodes.
    pub fn image_epoch(&self) -> u64 {
        self.image_epoch
    }

    /// The shared form of a class. Its topology keys are known from then on, since terms of placed pods bind others.
    pub fn intern(&mut self, class: Class) -> ClassRef {
        for term in class.pod_terms() {
            self.topologies.learn(&term.topology_key, &self.nodes.labels);
        }
        self.counters.intern(class)
    }

    /// A placed pod.
    pub fn pod(&self, uid: &str) -> Option<&Placed> {
        self.placed.get(uid)
    }

    /// The pods placed on a node.
    pub fn pods_on(&self, node: NodeIx) -> impl Iterator<Item = &Placed> {
        self.nodes.placed[node as usize].iter().filter_map(|uid| self.placed.get(uid))
    }

    /// The lowest priority of any placed pod.
    pub fn lowest_priority(&self) -> Option<i32> {
        self.priorities.keys().next().copied()
    }

    /// A pod takes its room on a node. One that is placed already moves.
    pub fn place(&mut self, pod: Placed) {
        let before = self.take_off(&pod.uid);
        let node = pod.node;
        self.nodes.charge(node, &pod.class, 1);
        self.nodes.placed[node as usize].push(pod.uid.clone());
        self.counters.add(&pod.class, node, !pod.deleting, 1);
        *self.priorities.entry(pod.class.priority).or_default() += 1;
        self.changes.push(node);
        self.placed.insert(pod.uid.clone(), pod);
        if let Some(before) = before {
            self.nodes.release(before.node);
        }
    }

    /// A pod leaves its node.
    pub fn unplace(&mut self, uid: &str) -> Option<Placed> {
        let pod = self.take_off(uid)?;
        self.nodes.release(pod.node);
        Some(pod)
    }

    /// Takes a pod off its node, whose slot stays even if nothing else needs it.
    fn take_off(&mut self, uid: &str) -> Option<Placed> {
        let pod = self.placed.remove(uid)?;
        let node = pod.node;
        self.nodes.charge(node, &pod.class, -1);
        let placed = &mut self.nodes.placed[node as usize];
        if let Some(at) = placed.iter().position(|other| *other == pod.uid) {
            placed.swap_remove(at);
        }
        self.counters.add(&pod.class, node, !pod.deleting, -1);
        if let Some(count) = self.priorities.get_mut(&pod.class.priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&pod.class.priority);
            }
        }
        self.changes.push(node);
        Some(pod)
    }

    /// Takes in what the API says of a placed pod.
    pub fn confirm(&mut self, pod: &Pod, class: &ClassRef, node: &str) -> Confirmed {
        let slot = self.nodes.slot(node);
        if let Some(known) = self.placed.get_mut(&pod.uid)
            && (known.node, known.class.id, known.deleting) == (slot, class.id, pod.deleting)
        {
            known.assumed = false;
            known.started = pod.started;
            return Confirmed::AsKnown;
        }
        let before = self.placed.get(&pod.uid).cloned();
        self.place(Placed {
            key: pod.key.clone(),
            uid: pod.uid.clone(),
            class: class.clone(),
            node: slot,
            deleting: pod.deleting,
            assumed: false,
            started: pod.started,
        });
        before.map_or(Confirmed::New, Confirmed::Changed)
    }

    /// Says for which node a pod waits; `None` ends that.
    pub fn nominate(&mut self, uid: &Arc<str>, nominated: Option<Nominated>) {
        match nominated {
            Some(nominated) => drop(self.nominated.insert(uid.clone(), nominated)),
            None => drop(self.nominated.remove(uid)),
        }
    }

    /// Pods that wait for room, by uid.
    pub fn nominations(&self) -> impl Iterator<Item = (&Arc<str>, &Nominated)> {
        self.nominated.iter()
    }

    /// A Service's selector; `None` or empty when it has none or is gone.
    pub fn set_service(&mut self, namespace: &str, name: &str, selector: Option<BTreeMap<String, String>>) {
        let services = self.services.entry(namespace.into()).or_default();
        match selector.filter(|selector| !selector.is_empty()) {
            Some(selector) => drop(services.insert(name.into(), selector)),
            None => drop(services.remove(name)),
        }
    }

    /// A PodDisruptionBudget, or its end.
    pub fn set_budget(&mut self, namespace: &str, name: &str, budget: Option<Budget>) {
        let budgets = self.budgets.entry(namespace.into()).or_default();
        match budget {
            Some(budget) => drop(budgets.insert(name.into(), budget)),
            None => drop(budgets.remove(name)),
        }
    }

    /// The budgets of a namespace, by name.
    pub fn budgets(&self, namespace: &str) -> impl Iterator<Item = (&Arc<str>, &Budget)> {
        self.budgets.get(namespace).into_iter().flatten()
    }

    /// The pods among which a pod without constraints of its own is spread: those of its owner, or those that the
    /// Services select which select it.
    ///
    /// Upstream joins the selectors of Services, ReplicaSets, ReplicationControllers and StatefulSets; the selector of
    /// an owner selects the pods it owns, so its uid says the same.
    pub fn spread_among(&self, class: &Class) -> Option<PodTerm> {
        let namespaces = Namespaces::Named(vec![class.namespace.clone()]);
        if let Some(uid) = &class.owner_uid {
            return Some(PodTerm { namespaces, who: Who::OwnedBy(uid.clone()) });
        }
        let services = self.services.get(&class.namespace)?;
        let selects =
            |selector: &&BTreeMap<String, String>| selector.iter().all(|(k, v)| class.labels.get(k) == Some(v));
        let mut joined = BTreeMap::new();
        for selector in services.values().filter(selects) {
            joined.extend(selector.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        if joined.is_empty() {
            return None;
        }
        Some(PodTerm { namespaces, who: Who::Labelled(LabelSelector::from_labels(&joined)) })
    }

    /// Makes the counters that plugins will ask for when this class is scheduled, and learns the topology keys of
    /// spreading.
    pub fn prepare(&mut self, class: &Class) {
        for term in class.pod_terms() {
            self.counters.ensure(&vec![term.pods.clone()]);
        }
        if class.affinity.len() > 1 {
            self.counters.ensure(&class.affinity.iter().map(|term| term.pods.clone()).collect());
        }
        for spread in &class.spread {
            self.topologies.learn(&spread.topology_key, &self.nodes.labels);
            self.counters.ensure(&vec![spread.pods.clone()]);
        }
        if class.spread.is_empty()
            && let Some(term) = self.spread_among(class)
        {
            self.topologies.learn(HOSTNAME, &self.nodes.labels);
            self.topologies.learn(ZONE, &self.nodes.labels);
            self.counters.ensure(&vec![term]);
        }
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;

    use super::*;
    use crate::plugins::testing;

    #[test]
    fn a_pod_on_a_node_that_nobody_knows_keeps_its_slot() {
        let mut cluster = testing::cluster([]);
        let pod = |label: &str| Build::pod("n", "p").label("app", label).on_node("ghost");
        testing::place(&mut cluster, pod("a"));
        testing::place(&mut cluster, pod("b"));
        testing::place(&mut cluster, Build::pod("n", "q").on_node("other"));
        let (ghost, other) = (cluster.nodes.find("ghost").unwrap(), cluster.nodes.find("other").unwrap());
        assert_ne!(ghost, other);
        assert_eq!((cluster.nodes.pods.used[ghost as usize], cluster.nodes.pods.used[other as usize]), (1, 1));
        cluster.unplace("uid-p");
        assert_eq!(cluster.nodes.find("ghost"), None, "nothing needs it any more");
    }

    #[test]
    fn images_are_counted_by_node() {
        let holding = |name: &str, images: &[&str]| {
            let images: Vec<_> = images.iter().map(|i| serde_json::json!({"names": [i], "sizeBytes": 1})).collect();
            Build::node(name).set("status.images", serde_json::json!(images))
        };
        let mut cluster = testing::cluster([holding("a", &["x:1", "y:1"]), holding("b", &["x:1"])]);
        assert_eq!((cluster.nodes_with_image("x:1"), cluster.nodes_with_image("y:1")), (2, 1));
        cluster.set_node(Node::read(&holding("a", &["y:1"]).object()).unwrap());
        cluster.remove_node("b");
        assert_eq!((cluster.nodes_with_image("x:1"), cluster.nodes_with_image("y:1")), (0, 1));
    }
}
