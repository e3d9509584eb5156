//! Carries decisions out: binds, tells, makes room.

use std::sync::Arc;

use sdk_api::time::rfc3339;
use sdk_api::{Clock, Status, Timestamp};
use sdk_client::{Client, DeleteOptions, Patch};
use sdk_controller::EventRecorder;
use sdk_plugin::{EventNote, EventType};
use serde_json::{Value, json};
use tracing::{debug, warn};

use crate::core::Room;
use crate::plugins::default_preemption::Victim;
use crate::pod::Pod;

/// Event writers; events of one pod go through one of them, in order.
const RECORDERS: usize = 4;

/// The hands of the scheduler. Cloning shares them.
#[derive(Clone)]
pub struct Hands {
    client: Client,
    clock: Arc<dyn Clock>,
    recorders: Arc<[EventRecorder]>,
}

impl Hands {
    /// Must be called within a tokio runtime.
    pub fn new(client: Client, clock: Arc<dyn Clock>, scheduler_name: &str) -> Self {
        let recorder = |_| EventRecorder::new(client.clone(), scheduler_name, "", clock.clone());
        let recorders = (0..RECORDERS).map(recorder).collect();
        Self { client, clock, recorders }
    }

    fn tell(&self, pod: &Pod, at: Timestamp, kind: EventType, reason: &str, message: String) {
        let regarding = json!({
            "apiVersion": "v1", "kind": "Pod", "namespace": &*pod.key.namespace, "name": &*pod.key.name,
            "uid": &*pod.uid, "resourceVersion": pod.resource_version,
        });
        let note = EventNote { regarding, kind, reason: reason.into(), message };
        self.recorder(&pod.uid).note_at(note, at);
    }

    fn recorder(&self, uid: &str) -> &EventRecorder {
        let sum = uid.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        &self.recorders[sum % self.recorders.len()]
    }

    /// Posts the binding. The API sets the pod's node and its condition in one write.
    pub async fn bind(&self, pod: &Pod, node: &str) -> Result<(), Status> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": &*pod.key.namespace, "name": &*pod.key.name, "uid": &*pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        // Taken before the node learns of the pod, and tells what it does with it.
        let at = self.clock.now();
        self.client.post(&pod.key, "binding", binding).await?;
        let message = format!("Successfully assigned {}/{} to {node}", pod.key.namespace, pod.key.name);
        self.tell(pod, at, EventType::Normal, "Scheduled", message);
        Ok(())
    }

    /// Says in an event and a condition why the pod waits; then makes room, if there is some to be made. Fails where the
    /// room could not be made.
    pub async fn pend(&self, pod: &Pod, message: &str, room: Option<&Room>) -> Result<(), Status> {
        self.tell(pod, self.clock.now(), EventType::Warning, "FailedScheduling", message.to_owned());
        if let Some(patch) = self.status_patch(pod, message, room)
            && let Err(status) = self.client.patch(&pod.key, "status", Patch::strategic(patch)).await
            && !status.is_not_found()
        {
            warn!(pod = %pod.key, error = %status, "Cannot tell in the pod's status why it waits.");
        }
        let Some(room) = room else { return Ok(()) };
        for key in &room.displaced {
            let patch = Patch::merge(json!({"status": {"nominatedNodeName": null}}));
            if let Err(status) = self.client.patch(key, "status", patch).await {
                debug!(pod = %key, error = %status, "Cannot take a nomination back.");
            }
        }
        for victim in &room.victims {
            self.evict(pod, victim, &room.node).await?;
        }
        Ok(())
    }

    /// `None` where the status already says it.
    fn status_patch(&self, pod: &Pod, message: &str, room: Option<&Room>) -> Option<Value> {
        let known = pod.scheduled.as_ref();
        let node = room.map(|room| &*room.node);
        let says = known.is_some_and(|condition| {
            condition.status == "False"
                && condition.reason == "Unschedulable"
                && condition.message == message
                && condition.observed_generation == pod.generation
        });
        if says && (node.is_none() || node == pod.nominated_node.as_deref()) {
            return None;
        }
        let since = known.filter(|condition| condition.status == "False");
        let since = since.and_then(|condition| condition.last_transition_time.clone());
        let mut condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": null, "lastTransitionTime": since.unwrap_or_else(|| rfc3339(self.clock.now())),
        });
        if pod.generation > 0 {
            condition["observedGeneration"] = pod.generation.into();
        }
        let mut status = json!({"conditions": [condition]});
        if let Some(node) = node {
            status["nominatedNodeName"] = node.into();
        }
        Some(json!({"status": status}))
    }

    /// Marks a victim and deletes it, with its own grace.
    async fn evict(&self, pod: &Pod, victim: &Victim, node: &str) -> Result<(), Status> {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": "default-scheduler: preempting to accommodate a higher priority pod",
            "lastTransitionTime": rfc3339(self.clock.now()),
        });
        let patch = Patch::strategic(json!({"metadata": {"uid": &*victim.uid}, "status": {"conditions": [condition]}}));
        let marked = self.client.patch(&victim.key, "status", patch).await.map(drop);
        let deleted = match marked {
            Ok(()) => self.client.delete(&victim.key, DeleteOptions::of_uid(&victim.uid)).await.map(drop),
            other => other,
        };
        match deleted {
            Ok(()) => {
                let regarding = json!({
                    "apiVersion": "v1", "kind": "Pod", "namespace": &*victim.key.namespace,
                    "name": &*victim.key.name, "uid": &*victim.uid,
                });
                let message = format!("Preempted by pod {} on node {node}", pod.uid);
                self.recorder(&victim.uid).record(regarding, EventType::Normal, "Preempted", message);
                Ok(())
            }
            // It is gone, or its name is another pod's by now.
            Err(status) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(status) => {
                warn!(victim = %victim.key, error = %status, "Cannot end a pod to make room.");
                Err(status)
            }
        }
    }
}
