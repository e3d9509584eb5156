//! Sends a pod's status when it changed. Changes that come while one is being sent are sent together.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Key, Status};
use sdk_client::Patch;

use crate::pod::slot::{Slot, Work};
use crate::pod::status;
use crate::running::Node;

const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Node {
    /// Has a pod's status computed and sent, soon.
    pub(crate) fn report(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut state = slot.state();
        if state.pod.is_none() || state.gone {
            return;
        }
        if state.report != Work::Idle {
            state.report = Work::Again;
            return;
        }
        state.report = Work::Busy;
        drop(state);
        let (node, slot) = (self.clone(), slot.clone());
        tokio::spawn(async move { node.report_all(&slot).await });
    }

    async fn report_all(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut pause = PAUSE;
        loop {
            let sent = tokio::select! {
                sent = self.report_now(slot) => sent,
                () = self.stop.cancelled() => return,
            };
            if let Err(status) = sent {
                tracing::debug!(uid = slot.uid, %status, "Could not send the status of a pod.");
                self.sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
            let mut state = slot.state();
            if state.report == Work::Again {
                state.report = Work::Busy;
                continue;
            }
            state.report = Work::Idle;
            return;
        }
    }

    /// Computes the status and sends what changed. A pod that the API no longer has needs none.
    pub(crate) async fn report_now(&self, slot: &Arc<Slot>) -> Result<(), Status> {
        let _one_at_a_time = slot.reporting.lock().await;
        let Some((pod, patch)) = self.due_patch(slot) else { return Ok(()) };
        let key = key(&pod);
        match self.client.patch(&key, "status", Patch::strategic(patch)).await {
            Ok(object) => {
                let mut state = slot.state();
                if object.uid() == slot.uid {
                    state.take(object);
                }
                Ok(())
            }
            // Another pod of this name, or none: the watch will tell.
            Err(status) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(status) => Err(status),
        }
    }

    fn due_patch(&self, slot: &Arc<Slot>) -> Option<(Arc<Pod>, serde_json::Value)> {
        let state = slot.state();
        let pod = state.pod.clone().filter(|_| !state.gone)?;
        let status = status::compute(&status::Input {
            pod: &pod,
            observed: &state.observed,
            verdicts: &state.verdicts,
            waiting: &state.waiting,
            messages: &state.messages,
            life: &state.life,
            runtime_name: &self.runtime_name(),
            node_ips: &self.settings.node_ips,
            now: self.now(),
        });
        let patch = status::patch(&pod, &status)?;
        Some((pod, patch))
    }
}

pub(crate) fn key(pod: &Pod) -> Key {
    let meta = &pod.metadata;
    Key::of::<Pod>(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}
