//! The node itself: its Node object, its lease, its health.

mod health;
mod lease;
pub(crate) mod machine;
mod status;

use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Node as ApiNode;
use sdk_api::{GroupResource, Key, Object, Status};
use sdk_client::Patch;
use sdk_plugin::EventType;
use sdk_plugin::node::NodeNetwork;
use serde_json::{Value, json};

use crate::node::machine::Machine;
use crate::reflector::{self, Change, Selection};
use crate::running::Node;

/// Pause between looks at a runtime that is not ready, or has no network.
const UNWELL: Duration = Duration::from_millis(500);
/// Pause after the API did not take the node.
const RETRY: Duration = Duration::from_secs(1);

impl Node {
    pub(crate) fn node_key(&self) -> Key {
        Key::of::<ApiNode>("", &self.settings.node_name)
    }

    /// Registers the node, then keeps its lease and its status, until the node stops.
    pub(crate) async fn keep_node(self: &Arc<Self>) {
        let machine = if self.settings.on_host() { Machine::read() } else { Machine::simulated() };
        self.look_at_health().await;
        loop {
            match self.register(&machine).await {
                Ok(()) => break,
                Err(status) => tracing::debug!(%status, "Could not register the node."),
            }
            self.sleep(RETRY).await;
        }
        self.node_event(EventType::Normal, "Starting", "Starting kubelet.");
        let mut sent: Option<(Value, Duration)> = None;
        let mut beat_at = self.clock.monotonic();
        let mut is_first = true;
        loop {
            let now = self.clock.monotonic();
            if now >= beat_at {
                if let Err(status) = self.renew_lease().await {
                    tracing::debug!(%status, "Could not renew the node's lease.");
                }
                let heartbeat = self.settings.limits.heartbeat;
                // Nodes that start together, as simulated ones do, must not all beat together for ever.
                beat_at = now + if is_first { part_of(heartbeat, &self.settings.node_name) } else { heartbeat };
                is_first = false;
            }
            let mut pause = beat_at.saturating_sub(self.clock.monotonic());
            if let Err(status) = self.report_node(&machine, &mut sent).await {
                tracing::debug!(%status, "Could not send the node's status.");
                if status.is_not_found() {
                    let _ = self.register(&machine).await;
                }
                sent = None;
                pause = pause.min(RETRY);
            }
            self.rest(pause).await;
        }
    }

    /// Waits until the next report is due: after `pause`, or when something about the node changes. While the node is not
    /// well it is looked at often, since pods wait for it.
    async fn rest(self: &Arc<Self>, pause: Duration) {
        let end = self.clock.monotonic() + pause;
        loop {
            let (before, is_well) = {
                let health = self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                (health.clone(), health.is_well())
            };
            let left = end.saturating_sub(self.clock.monotonic());
            let changed = tokio::select! {
                () = self.sleep(if is_well { left } else { left.min(UNWELL) }) => false,
                () = self.node_changed.notified() => true,
            };
            self.look_at_health().await;
            let health = self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if changed || *health != before || self.clock.monotonic() >= end {
                return;
            }
        }
    }

    /// Creates the Node, or puts right what an existing one says of this machine.
    async fn register(&self, machine: &Machine) -> Result<(), Status> {
        let wanted = status::node(&self.settings, machine);
        let resource = GroupResource::of::<ApiNode>();
        match self.client.create(&resource, "", wanted.clone()).await {
            Ok(_) => Ok(()),
            Err(status) if status.is_already_exists() => {
                let known = self.client.get(&self.node_key()).await?;
                let labels = wanted["metadata"]["labels"].as_object().into_iter().flatten();
                let differs = |(key, value): &(&String, &Value)| {
                    known.meta().labels.get(key.as_str()).map(String::as_str) != value.as_str()
                };
                let wrong: serde_json::Map<String, Value> =
                    labels.filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
                if !wrong.is_empty() {
                    let patch = Patch::strategic(json!({"metadata": {"labels": wrong}}));
                    self.client.patch(&self.node_key(), "", patch).await?;
                }
                Ok(())
            }
            Err(status) => Err(status),
        }
    }

    /// Sends the node's status if it changed, or if it has not been sent for long. `sent` is what, and when, last.
    async fn report_node(&self, machine: &Machine, sent: &mut Option<(Value, Duration)>) -> Result<(), Status> {
        let images = match self.runtime().images().await {
            Ok(images) => status::images(images, self.settings.limits.images_max),
            Err(_) => vec![],
        };
        let runtime = self.runtime().version().await.map(|v| format!("{}://{}", v.name, v.version)).unwrap_or_default();
        let pressure = health::pressure(&self.settings).await;
        let health = self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let facts =
            status::Facts { settings: &self.settings, machine, runtime: &runtime, health: &health, pressure, images };
        let now = self.clock.monotonic();
        let wanted = status::of_node(&facts);
        if let Some((last, at)) = sent
            && *last == wanted
            && now.saturating_sub(*at) < self.settings.limits.status_report
        {
            return Ok(());
        }
        let known = self.client.get(&self.node_key()).await?;
        let patch = status::patch(&known, &wanted, self.now());
        self.tell_of_readiness(&known, &wanted);
        self.client.patch(&self.node_key(), "status", Patch::strategic(patch)).await?;
        *sent = Some((wanted, now));
        Ok(())
    }

    fn tell_of_readiness(&self, known: &Object, wanted: &Value) {
        let ready = |status: &Value| {
            let conditions = status["conditions"].as_array()?;
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
            ready["status"].as_str().map(|status| status == "True")
        };
        let name = &self.settings.node_name;
        match (ready(&known.tree()["status"]), ready(wanted)) {
            (before, Some(true)) if before != Some(true) => {
                let message = format!("Node {name} status is now: NodeReady");
                self.node_event(EventType::Normal, "NodeReady", &message);
            }
            (Some(true), Some(false)) => {
                let message = format!("Node {name} status is now: NodeNotReady");
                self.node_event(EventType::Normal, "NodeNotReady", &message);
            }
            _ => {}
        }
    }

    /// Follows the Node for its pod networks.
    pub(crate) async fn follow_node(self: &Arc<Self>) {
        let (sender, mut cidrs) = tokio::sync::watch::channel(Vec::<String>::new());
        let selection = Selection {
            resource: GroupResource::of::<ApiNode>(),
            namespace: String::new(),
            field_selector: format!("metadata.name={}", self.settings.node_name),
        };
        let follow = reflector::follow(self.client.clone(), self.clock.clone(), selection, move |change| {
            if let Change::Put(object) = change {
                let found = pod_cidrs(&object);
                sender.send_if_modified(|known| {
                    let changed = !found.is_empty() && *known != found;
                    if changed {
                        known.clone_from(&found);
                    }
                    changed
                });
            }
        });
        let configure = async {
            while cidrs.changed().await.is_ok() {
                let found = cidrs.borrow_and_update().clone();
                while let Err(error) = self.configure_network(&found).await {
                    tracing::warn!(error, "Could not set up the node's pod network.");
                    self.sleep(RETRY).await;
                }
                self.node_changed.notify_one();
            }
        };
        tokio::join!(follow, configure);
    }

    async fn configure_network(&self, cidrs: &[String]) -> Result<(), String> {
        let joined = cidrs.join(",");
        self.runtime().set_pod_cidr(&joined).await.map_err(|error| error.to_string())?;
        if let Some(network) = &self.settings.network {
            let wanted = NodeNetwork {
                node_name: self.settings.node_name.clone(),
                pod_cidrs: cidrs.to_vec(),
                cluster_cidr: self.settings.cluster_cidr.clone(),
            };
            network.configure(&wanted).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Some part of a period, another one for each name.
fn part_of(period: Duration, name: &str) -> Duration {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let share = u32::try_from(hash % 1000).unwrap_or(0) + 1;
    period * share / 1000
}

fn pod_cidrs(node: &Object) -> Vec<String> {
    let spec = &node.tree()["spec"];
    let list = spec["podCIDRs"].as_array().into_iter().flatten();
    let mut found: Vec<String> = list.filter_map(|cidr| cidr.as_str().map(Into::into)).collect();
    if found.is_empty() {
        found.extend(spec["podCIDR"].as_str().filter(|cidr| !cidr.is_empty()).map(Into::into));
    }
    found
}
