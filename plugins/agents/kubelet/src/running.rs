//! A running kubelet: what all its parts share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Clock, Timestamp};
use sdk_client::Client;
use sdk_controller::EventRecorder;
use sdk_plugin::EventType;
use sdk_plugin::node::NodeRuntime;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::objects::Objects;
use crate::pod::slot::Slot;
use crate::settings::Settings;
use crate::volumes::Volumes;

/// What the node says of its readiness; `None` while nobody has looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// The runtime answers and is ready.
    pub(crate) runtime: Option<Result<(), String>>,
    /// Pods can get addresses.
    pub(crate) network: Option<Result<(), String>>,
}

impl Health {
    pub(crate) fn is_well(&self) -> bool {
        self.runtime == Some(Ok(())) && self.network == Some(Ok(()))
    }
}

pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    pub(crate) recorder: EventRecorder,
    pub(crate) objects: Arc<Objects>,
    pub(crate) volumes: Volumes,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// A slot was added.
    pub(crate) slots_changed: Notify,
    /// The pods of the API have been listed once: what nobody knows is an orphan.
    pub(crate) pods_synced: AtomicBool,
    /// The runtime's name, once known.
    runtime_name: Mutex<String>,
    pub(crate) health: Mutex<Health>,
    /// Something about the node's status changed.
    pub(crate) node_changed: Notify,
    changes: AtomicU64,
    /// Held while a pod is taken in.
    pub(crate) admission: Mutex<()>,
}

impl Node {
    pub(crate) fn new(settings: Settings, client: Client, clock: Arc<dyn Clock>, stop: CancellationToken) -> Arc<Self> {
        Arc::new_cyclic(|node: &Weak<Self>| {
            let weak = node.clone();
            let listener = move |uids: &[String]| {
                let Some(node) = weak.upgrade() else { return };
                for slot in uids.iter().filter_map(|uid| node.slot(uid)) {
                    slot.state().volumes_stale = true;
                    node.kick(&slot);
                }
            };
            let objects = Objects::new(client.clone(), clock.clone(), Arc::new(listener));
            let recorder = EventRecorder::new(client.clone(), "kubelet", &settings.node_name, clock.clone());
            let volumes = Volumes::new(client.clone(), clock.clone(), objects.clone());
            Self {
                client,
                clock,
                stop,
                recorder,
                objects,
                volumes,
                settings,
                slots: Mutex::default(),
                slots_changed: Notify::new(),
                pods_synced: AtomicBool::new(false),
                runtime_name: Mutex::default(),
                health: Mutex::default(),
                node_changed: Notify::new(),
                changes: AtomicU64::new(1),
                admission: Mutex::default(),
            }
        })
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn NodeRuntime> {
        &self.settings.runtime
    }

    pub(crate) fn runtime_name(&self) -> String {
        self.runtime_name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_runtime_name(&self, name: &str) {
        *self.runtime_name.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A number that grows with every call, to order what was seen and what was done.
    pub(crate) fn tick(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed)
    }

    fn slots_map(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn slot(&self, uid: &str) -> Option<Arc<Slot>> {
        self.slots_map().get(uid).cloned()
    }

    pub(crate) fn slot_or_new(&self, uid: &str) -> Arc<Slot> {
        let slot = self.slots_map().entry(uid.into()).or_insert_with(|| Slot::new(uid)).clone();
        self.slots_changed.notify_one();
        slot
    }

    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots_map().values().cloned().collect()
    }

    pub(crate) fn has_slots(&self) -> bool {
        !self.slots_map().is_empty()
    }

    pub(crate) fn drop_slot(&self, uid: &str) {
        self.slots_map().remove(uid);
    }

    /// The pod of a name, the newest where an old one still ends.
    pub(crate) fn find_pod(&self, namespace: &str, name: &str) -> Option<(Arc<Slot>, Arc<Pod>)> {
        let named = |slot: Arc<Slot>| {
            let pod = slot.pod()?;
            let meta = &pod.metadata;
            let fits = meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name);
            fits.then_some((slot, pod))
        };
        let found = self.slots().into_iter().filter_map(named);
        found.max_by_key(|(_, pod)| pod.metadata.creation_timestamp.clone())
    }

    pub(crate) fn network_ready(&self) -> Result<(), String> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.network.clone().unwrap_or_else(|| Err("the node has not been looked at yet".into()))
    }

    /// Records an event about a pod, or about a container of it by its field path.
    pub(crate) fn event(&self, pod: &Pod, field_path: Option<&str>, kind: EventType, reason: &str, message: &str) {
        self.recorder.record(regarding(pod, field_path), kind, reason, message);
    }

    /// Records an event about the node.
    pub(crate) fn node_event(&self, kind: EventType, reason: &str, message: &str) {
        let name = &self.settings.node_name;
        let about = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": name});
        self.recorder.record(about, kind, reason, message);
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

fn regarding(pod: &Pod, field_path: Option<&str>) -> Value {
    let meta = &pod.metadata;
    let mut about = json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    });
    if let Some(path) = field_path {
        about["fieldPath"] = path.into();
    }
    about
}
