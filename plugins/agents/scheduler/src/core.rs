//! The scheduler without its hands: changes of the cluster in, decisions out. No I/O; time comes as a parameter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1 as api;
use sdk_api::k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sdk_api::{GroupResource, Key, LabelSelector, Object, Status};
use tracing::{error, warn};

use crate::cluster::{Budget, ClassRef, Cluster, Confirmed, Nominated, Placed};
use crate::event::ClusterEvent;
use crate::node::Node;
use crate::plan::Planner;
use crate::plugins::default_preemption::{self, Victim};
use crate::pod::Pod;
use crate::queue::Queue;
use crate::random::Random;

/// What the scheduler wants done.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Bind the pod, which already counts on this node, and say how that ended.
    Bind { pod: Pod, node: Arc<str> },
    /// Tell why the pod stays pending, and make room for it if that is possible.
    Pend { pod: Pod, message: String, room: Option<Room> },
}

/// Room to be made.
#[derive(Clone, Debug)]
pub struct Room {
    pub node: Arc<str>,
    pub victims: Vec<Victim>,
    /// Less important pods that waited for room on this node and shall look elsewhere.
    pub displaced: Vec<Key>,
}

/// The collections the scheduler watches.
pub struct Watched {
    pub pods: GroupResource,
    pub nodes: GroupResource,
    pub namespaces: GroupResource,
    pub services: GroupResource,
    pub budgets: GroupResource,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            pods: GroupResource::of::<api::Pod>(),
            nodes: GroupResource::of::<api::Node>(),
            namespaces: GroupResource::of::<api::Namespace>(),
            services: GroupResource::of::<api::Service>(),
            budgets: GroupResource::of::<PodDisruptionBudget>(),
        }
    }
}

impl Watched {
    /// In the order in which they should be known: nodes before the pods on them, pods to schedule last.
    pub fn all(&self) -> [&GroupResource; 5] {
        [&self.namespaces, &self.services, &self.budgets, &self.nodes, &self.pods]
    }
}

/// The state between changes and decisions.
pub struct Core {
    scheduler_name: String,
    watched: Watched,
    cluster: Cluster,
    queue: Queue,
    planner: Planner,
    random: Random,
    /// The uid last seen under each pod's name.
    uids: HashMap<Key, Arc<str>>,
}

impl Core {
    /// `planner` holds the plugins; `seed` decides among equals.
    pub fn new(scheduler_name: &str, planner: Planner, seed: u64) -> Self {
        Self {
            scheduler_name: scheduler_name.into(),
            watched: Watched::default(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            planner,
            random: Random::new(seed),
            uids: HashMap::new(),
        }
    }

    /// What must be fed to `apply`.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Takes in the newest state of an object, or its absence.
    pub fn apply(&mut self, key: &Key, object: Option<&Object>, now: Duration) {
        let resource = &key.resource;
        if *resource == self.watched.pods {
            self.apply_pod(key, object, now);
        } else if *resource == self.watched.nodes {
            self.apply_node(key, object, now);
        } else if *resource == self.watched.namespaces {
            let labels = object.map(|object| object.meta().labels.clone());
            if self.cluster.counters.set_namespace(&key.name, labels) {
                self.happened(ClusterEvent::Namespace, now);
            }
        } else if *resource == self.watched.services {
            let service = object.and_then(read::<api::Service>);
            let selector = service.and_then(|service| service.spec).and_then(|spec| spec.selector);
            self.cluster.set_service(&key.namespace, &key.name, selector);
        } else if *resource == self.watched.budgets {
            let budget = object.and_then(read::<PodDisruptionBudget>).map(|budget| Budget {
                selector: budget
                    .spec
                    .and_then(|spec| spec.selector)
                    .and_then(|selector| LabelSelector::from_typed(&selector).ok())
                    .unwrap_or_default(),
                disruptions_allowed: budget.status.and_then(|status| status.disruptions_allowed).map_or(0, i64::from),
            });
            self.cluster.set_budget(&key.namespace, &key.name, budget);
        }
    }

    fn apply_node(&mut self, key: &Key, object: Option<&Object>, now: Duration) {
        let Some(object) = object else {
            if self.cluster.remove_node(&key.name) {
                self.happened(ClusterEvent::NodeRemoved, now);
            }
            return;
        };
        match Node::read(object) {
            Ok(node) => {
                let (ix, change) = self.cluster.set_node(node);
                if !change.is_nothing() {
                    self.happened(ClusterEvent::Node(ix, change), now);
                }
            }
            Err(error) => error!(%key, %error, "A stored node does not fit its type."),
        }
    }

    fn apply_pod(&mut self, key: &Key, object: Option<&Object>, now: Duration) {
        let Some(object) = object else {
            if let Some(uid) = self.uids.remove(key) {
                self.forget(&uid, now);
            }
            return;
        };
        let mut pod = match Pod::read(object) {
            Ok(pod) => pod,
            Err(error) => {
                error!(%key, %error, "A stored pod does not fit its type.");
                return;
            }
        };
        match self.uids.get(key).filter(|uid| **uid != pod.uid).cloned() {
            Some(before) => {
                self.forget(&before, now);
                self.uids.insert(key.clone(), pod.uid.clone());
            }
            None if !self.uids.contains_key(key) => drop(self.uids.insert(key.clone(), pod.uid.clone())),
            None => {}
        }
        if pod.finished {
            return self.forget(&pod.uid, now);
        }
        let class = self.cluster.intern(std::mem::take(&mut pod.class));
        match pod.node.clone() {
            Some(node) => self.apply_placed(&pod, class, &node, now),
            None => self.apply_pending(pod, class, now),
        }
    }

    fn apply_placed(&mut self, pod: &Pod, class: ClassRef, node: &str, now: Duration) {
        self.queue.remove(&pod.uid);
        self.cluster.nominate(&pod.uid, None);
        match self.cluster.confirm(pod, &class, node) {
            Confirmed::AsKnown => {}
            Confirmed::New => self.happened(ClusterEvent::PodPlaced(&class), now),
            Confirmed::Changed(before) if before.class.id == class.id && pod.deleting && !before.deleting => {
                self.happened(ClusterEvent::PodLeaving(&class), now);
            }
            Confirmed::Changed(before) => {
                // It may have left another node, or take less, or not match others' terms any more.
                self.happened(ClusterEvent::PodRemoved(&before.class), now);
                self.happened(ClusterEvent::PodPlaced(&class), now);
            }
        }
    }

    fn apply_pending(&mut self, pod: Pod, class: ClassRef, now: Duration) {
        if self.cluster.pod(&pod.uid).is_some() {
            // Its binding is under way; how that ends is told.
            self.queue.put(pod, class, now);
            return;
        }
        if pod.scheduler_name != self.scheduler_name || pod.deleting {
            return self.forget(&pod.uid, now);
        }
        let nominated = pod.nominated_node.as_deref().map(|node| Nominated {
            key: pod.key.clone(),
            class: class.clone(),
            node: node.into(),
        });
        // A nomination of our own may not have reached the API yet; one that was there and is gone was taken back.
        let taken_back = || self.queue.get(&pod.uid).is_some_and(|known| known.nominated_node.is_some());
        if nominated.is_some() || taken_back() {
            self.cluster.nominate(&pod.uid, nominated);
        }
        self.queue.put(pod, class, now);
    }

    /// The pod does not count any more, wherever it is.
    fn forget(&mut self, uid: &Arc<str>, now: Duration) {
        self.queue.remove(uid);
        self.cluster.nominate(uid, None);
        if let Some(gone) = self.cluster.unplace(uid) {
            self.happened(ClusterEvent::PodRemoved(&gone.class), now);
        }
    }

    /// Pods that a filter rejected are tried again if that filter says that this could help.
    fn happened(&mut self, event: ClusterEvent<'_>, now: Duration) {
        let (filters, cluster) = (self.planner.filters(), &self.cluster);
        self.queue.happened(now, |rejected_by, class| {
            let mut rejecting = filters.iter().enumerate().filter(|(place, _)| rejected_by & (1 << place) != 0);
            // Without any node there was nobody to reject it.
            let anything = rejected_by == 0 && matches!(event, ClusterEvent::Node(..));
            anything || rejecting.any(|(_, filter)| filter.helps(event, class, cluster))
        });
    }

    /// One scheduling cycle, for the pod that is next. `None` if no pod is to be tried now.
    pub fn decide(&mut self, now: Duration) -> Option<Decision> {
        let (pod, class) = loop {
            let (pod, class) = self.queue.next(now)?;
            // It was deleted while a binding that failed was under way.
            if !pod.deleting {
                break (pod, class);
            }
            self.forget(&pod.uid, now);
        };
        match self.planner.schedule(&pod, &class, &mut self.cluster) {
            Ok(node) => {
                let name = self.cluster.nodes.name[node as usize].clone();
                self.cluster.nominate(&pod.uid, None);
                self.cluster.place(Placed {
                    key: pod.key.clone(),
                    uid: pod.uid.clone(),
                    class: class.clone(),
                    node,
                    deleting: false,
                    assumed: true,
                    started: None,
                });
                self.happened(ClusterEvent::PodPlaced(&class), now);
                Some(Decision::Bind { pod, node: name })
            }
            Err(mut diagnosis) => {
                let mut room = None;
                if diagnosis.nodes > 0 {
                    let (planner, cluster, random) = (&self.planner, &mut self.cluster, &mut self.random);
                    match default_preemption::preempt(planner, &pod, &class, cluster, &diagnosis, random) {
                        Ok(found) => {
                            let node = self.cluster.nodes.name[found.node as usize].clone();
                            room = Some(self.nominate(&pod, &class, node, found.victims));
                        }
                        Err(why) => diagnosis.preemption = why,
                    }
                }
                self.queue.rejected(&pod.uid, diagnosis.rejected_by, now);
                Some(Decision::Pend { pod, message: diagnosis.to_string(), room })
            }
        }
    }

    fn nominate(&mut self, pod: &Pod, class: &ClassRef, node: Arc<str>, victims: Vec<Victim>) -> Room {
        let lower =
            self.cluster.nominations().filter(|(_, other)| other.node == node && other.class.priority < class.priority);
        let lower: Vec<(Arc<str>, Key)> = lower.map(|(uid, other)| (uid.clone(), other.key.clone())).collect();
        for (uid, _) in &lower {
            self.cluster.nominate(uid, None);
        }
        let nominated = Nominated { key: pod.key.clone(), class: class.clone(), node: node.clone() };
        self.cluster.nominate(&pod.uid, Some(nominated));
        Room { node, victims, displaced: lower.into_iter().map(|(_, key)| key).collect() }
    }

    /// How a binding ended.
    pub fn bound(&mut self, pod: &Pod, result: &Result<(), Status>, now: Duration) {
        let Err(status) = result else { return };
        let assumed = self.cluster.pod(&pod.uid).is_some_and(|placed| placed.assumed);
        if !assumed {
            // It was seen on its node, or is gone: the answer was lost or late.
            return;
        }
        warn!(pod = %pod.key, error = %status, "Cannot bind the pod, trying again.");
        if let Some(placed) = self.cluster.unplace(&pod.uid) {
            self.happened(ClusterEvent::PodRemoved(&placed.class), now);
        }
        if status.is_not_found() {
            self.queue.remove(&pod.uid);
        } else {
            self.queue.failed(&pod.uid, now);
        }
    }

    /// The room that was to be made for a pod could not be made.
    pub fn no_room(&mut self, pod: &Pod, now: Duration) {
        self.queue.retry(&pod.uid, now);
    }

    /// When to decide again, if nothing happens.
    pub fn next_wake(&self) -> Option<Duration> {
        self.queue.next_wake()
    }

    /// What is known, for tests and measurements.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

fn read<T: sdk_api::Typed>(object: &Object) -> Option<T> {
    match serde_json::from_slice(object.raw()) {
        Ok(typed) => Some(typed),
        Err(error) => {
            error!(key = %object.key(), %error, "A stored object does not fit its type.");
            None
        }
    }
}

#[cfg(test)]
mod tests;
