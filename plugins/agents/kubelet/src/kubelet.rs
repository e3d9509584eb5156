//! The kubelet of one node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Clock, GroupResource, Object};
use sdk_client::{Client, Subject};
use sdk_plugin::{Agent, Context};
use tokio_util::sync::CancellationToken;

use crate::pod::slot::Stage;
use crate::reflector::{self, Change, Selection};
use crate::running::Node;
use crate::settings::Settings;

/// Runs the pods of one node, and tells the API how they and the node are.
pub struct Kubelet {
    settings: Settings,
}

/// Who the kubelet of a node is towards the API.
pub(crate) fn identity(node_name: &str) -> Subject {
    Subject::new(&format!("system:node:{node_name}"), &["system:nodes", "system:authenticated"])
}

impl Kubelet {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Agent for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn identity(&self) -> Subject {
        identity(&self.settings.node_name)
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        run(self.settings.clone(), context.client, context.clock, context.stop).await;
        Ok(())
    }
}

/// Runs one kubelet until `stop`. Containers go on without it and are adopted by the next.
pub(crate) async fn run(settings: Settings, client: Client, clock: Arc<dyn Clock>, stop: CancellationToken) {
    // What ends with this function ends all its workers, even if the host only drops it.
    let stop = stop.child_token();
    let _ended = stop.clone().drop_guard();
    let node = Node::new(settings, client, clock, stop.clone());
    if let Some(server) = &node.settings.server {
        server.register(&node);
    }
    let (listed, mut is_listed) = tokio::sync::watch::channel(false);
    let pods = async {
        // Before the runtime has been looked at, every pod would seem new.
        if is_listed.wait_for(|listed| *listed).await.is_ok() {
            node.follow_pods().await;
        }
    };
    let parts = async {
        tokio::join!(node.observe(listed), pods, node.keep_node(), node.follow_node(), node.rotate_logs());
    };
    tokio::select! {
        () = parts => {}
        () = stop.cancelled() => {}
    }
    if let Some(server) = &node.settings.server {
        server.unregister(&node);
    }
    for slot in node.slots() {
        let mut state = slot.state();
        state.probing.clear();
        state.timer = None;
    }
}

impl Node {
    async fn follow_pods(self: &Arc<Self>) {
        let selection = Selection {
            resource: GroupResource::of::<Pod>(),
            namespace: String::new(),
            field_selector: format!("spec.nodeName={}", self.settings.node_name),
        };
        reflector::follow(self.client.clone(), self.clock.clone(), selection, |change| match change {
            Change::Put(object) => self.pod_changed(object),
            Change::Gone(object) => self.pod_gone(&object),
            Change::Synced => {
                if !self.pods_synced.swap(true, Ordering::AcqRel) {
                    // Whoever has no pod by now is an orphan.
                    self.slots().iter().for_each(|slot| self.kick(slot));
                    let node = self.clone();
                    tokio::spawn(async move { node.remove_orphaned_files().await });
                }
            }
        })
        .await;
    }

    fn pod_changed(self: &Arc<Self>, object: Arc<Object>) {
        let slot = self.slot_or_new(object.uid());
        {
            let mut state = slot.state();
            let before = state.pod.clone();
            if !state.take(object) {
                return;
            }
            let (Some(before), Some(after)) = (before, state.pod.clone()) else {
                drop(state);
                return self.kick(&slot);
            };
            let grace =
                |pod: &Pod| (pod.metadata.deletion_timestamp.clone(), pod.metadata.deletion_grace_period_seconds);
            let shorter = grace(&before) != grace(&after);
            if shorter && state.stage == Stage::Ending {
                let left = crate::pod::end::grace(&after, false, self.now());
                let deadline = self.clock.monotonic() + left;
                if let Some(ending) = &mut state.ending {
                    ending.deadline = ending.deadline.min(deadline);
                }
            }
            if before.metadata.labels != after.metadata.labels
                || before.metadata.annotations != after.metadata.annotations
            {
                state.volumes_stale = true;
            }
            if before.spec != after.spec {
                // What failed may be what was corrected, such as an image; a pull's own back-off stays.
                state.not_before.clear();
            }
            if shorter || before.spec != after.spec {
                slot.interrupt.notify_one();
            }
        }
        self.report(&slot);
        self.kick(&slot);
    }

    fn pod_gone(self: &Arc<Self>, object: &Arc<Object>) {
        let Some(slot) = self.slot(object.uid()) else { return };
        {
            let mut state = slot.state();
            // The last state may tell how long its containers still have.
            state.take(object.clone());
            state.gone = true;
            if state.stage == Stage::Ending {
                let left = state
                    .pod
                    .as_ref()
                    .map_or(std::time::Duration::ZERO, |pod| crate::pod::end::grace(pod, true, self.now()));
                let deadline = self.clock.monotonic() + left;
                if let Some(ending) = &mut state.ending {
                    ending.deadline = ending.deadline.min(deadline);
                }
            }
            if state.stage <= Stage::Ending {
                slot.interrupt.notify_one();
            }
        }
        self.kick(&slot);
    }
}
