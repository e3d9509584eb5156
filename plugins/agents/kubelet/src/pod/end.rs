//! The end of a pod: stop its containers in order, send the final status, clean up, delete it in the API.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_client::DeleteOptions;
use sdk_plugin::EventType;
use sdk_plugin::node::{Container, ContainerState, NodeError};

use crate::container::hooks;
use crate::pod::labels;
use crate::pod::members::{self, Role};
use crate::pod::observed::is_alive;
use crate::pod::report;
use crate::pod::slot::{Slot, Stage};
use crate::pod::worker::{Next, RETRY};
use crate::running::Node;

/// The least that a container gets between its preStop hook and being killed.
const LEAST_AFTER_HOOK: Duration = Duration::from_secs(2);
/// The least that a container gets at all: zero would not even ask it.
const LEAST: Duration = Duration::from_secs(1);
/// The grace of orphans that do not say.
const ORPHAN_GRACE: Duration = Duration::from_secs(30);

/// How long a pod may take to end: what its deletion says, cut to what is left of it, or what its spec says.
///
/// A pod that is gone from the API before it ended was deleted by force, which is a grace of zero.
pub(crate) fn grace(pod: &Pod, gone: bool, now: Timestamp) -> Duration {
    if gone {
        return LEAST;
    }
    let seconds = |seconds: Option<i64>| seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
    let of_spec = seconds(pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds));
    let of_deletion = seconds(pod.metadata.deletion_grace_period_seconds);
    let grace = of_deletion.or(of_spec).unwrap_or(ORPHAN_GRACE);
    let left = pod.metadata.deletion_timestamp.as_ref().map(|at| {
        // The API cuts to seconds; whoever reads it gets the benefit.
        Duration::try_from(at.0.duration_since(now)).unwrap_or_default() + Duration::from_secs(1)
    });
    left.map_or(grace, |left| grace.min(left)).max(LEAST)
}

impl Node {
    pub(crate) async fn end(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> Next {
        self.watch_probes(slot, pod);
        if slot.state().stage == Stage::Ending {
            if let Err(error) = self.stop_all(slot, pod).await {
                let message = format!("error killing pod: {error}");
                self.event_once(slot, pod, EventType::Warning, "FailedKillPod", &message);
                return Next::At(RETRY);
            }
            let mut state = slot.state();
            if state.observed.running().next().is_some() {
                return Next::At(RETRY);
            }
            state.stage = Stage::Ended;
            state.life.terminal = true;
            state.waiting.clear();
            state.probing.clear();
        }
        let (stage, gone) = {
            let state = slot.state();
            (state.stage, state.gone)
        };
        if gone {
            return self.clean_up(slot, pod).await;
        }
        if let Err(status) = self.report_now(slot).await {
            tracing::debug!(uid = slot.uid, %status, "Could not send the final status of a pod.");
            return Next::At(RETRY);
        }
        if let Err(error) = self.volumes.tear_down(&slot.uid, &self.settings).await {
            tracing::warn!(uid = slot.uid, error, "Could not clean up the volumes of a pod.");
            return Next::At(RETRY);
        }
        slot.state().volumes = None;
        self.objects.release(&slot.uid);
        if pod.metadata.deletion_timestamp.is_none() || stage == Stage::Deleted {
            self.collect_garbage(slot).await;
            return Next::Idle;
        }
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(&slot.uid) };
        match self.client.delete(&report::key(pod), options).await {
            Ok(_) => {}
            // Gone already, or another pod of this name.
            Err(status) if status.is_not_found() || status.is_conflict() => {}
            Err(status) => {
                tracing::debug!(uid = slot.uid, %status, "Could not delete a pod that has ended.");
                return Next::At(RETRY);
            }
        }
        slot.state().stage = Stage::Deleted;
        Next::Idle
    }

    /// Stops the containers of a pod: first the apps, then the sidecars from the last to the first, then the sandbox.
    async fn stop_all(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> Result<(), NodeError> {
        let (running, sandboxes) = {
            let state = slot.state();
            let running: Vec<Container> = state.observed.running().cloned().collect();
            let sandboxes: Vec<String> =
                state.observed.sandboxes.iter().filter(|s| s.ready).map(|s| s.id.clone()).collect();
            (running, sandboxes)
        };
        let sidecars: Vec<String> = pod.spec.as_ref().map_or_else(Vec::new, |spec| {
            members::init(spec).filter(|m| m.role == Role::Sidecar).map(|m| m.name().to_owned()).collect()
        });
        let (beside, apps): (Vec<_>, Vec<_>) = running.into_iter().partition(|run| sidecars.contains(&run.name));
        let stops = apps.iter().map(|run| self.stop_for_good(slot, pod, run));
        futures::future::try_join_all(stops).await?;
        let mut beside = beside;
        beside.sort_by_key(|run| std::cmp::Reverse(sidecars.iter().position(|name| *name == run.name)));
        for run in &beside {
            self.stop_for_good(slot, pod, run).await?;
        }
        for id in sandboxes {
            self.stop_sandbox(slot, &id).await?;
        }
        Ok(())
    }

    async fn stop_for_good(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        run: &Container,
    ) -> Result<(), NodeError> {
        let deadline = slot.state().ending.as_ref().map_or(Duration::ZERO, |ending| ending.deadline);
        let left = deadline.saturating_sub(self.clock.monotonic()).max(LEAST);
        let message = format!("Stopping container {}", run.name);
        self.stop_run(slot, pod, run, left, &message).await
    }

    /// Stops one container within `grace`, its preStop hook included, and notes what became of it.
    pub(crate) async fn stop_run(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        run: &Container,
        grace: Duration,
        message: &str,
    ) -> Result<(), NodeError> {
        let member = members::find(pod, &run.name);
        if slot.state().announced.insert(run.id.clone()) {
            let path = member.as_ref().map(|member| member.field_path());
            self.event(pod, path.as_deref(), EventType::Normal, "Killing", message);
        }
        let begun = self.clock.monotonic();
        let hook = member.as_ref().and_then(|member| member.spec.lifecycle.as_ref()?.pre_stop.clone());
        let mut left = grace;
        if let Some(hook) = hook.filter(|_| run.state == ContainerState::Running) {
            let has_run = slot.state().pre_stopped.contains(&run.id);
            if !has_run {
                // Marked only once it has ended: one that was interrupted, by a shorter grace, runs again within that.
                self.run_pre_stop(slot, pod, run, &hook, grace).await;
                slot.state().pre_stopped.insert(run.id.clone());
            }
            let used = self.clock.monotonic().saturating_sub(begun);
            left = grace.saturating_sub(used).max(LEAST_AFTER_HOOK.min(grace));
        }
        match self.runtime().stop_container(&run.id, left).await {
            Ok(()) | Err(NodeError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        self.look_again(slot, &run.id).await
    }

    async fn run_pre_stop(
        &self,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        run: &Container,
        hook: &sdk_api::k8s_openapi::api::core::v1::LifecycleHandler,
        grace: Duration,
    ) {
        let ip = slot.state().observed.sandbox().and_then(|sandbox| sandbox.ips.first().cloned());
        let call = hooks::Call { node: self, pod, container: &run.name, id: &run.id, ip: ip.as_deref() };
        let ended = tokio::select! {
            ended = call.run(hook, grace) => ended,
            () = self.sleep(grace) => Err("PreStopHook timed out".into()),
        };
        if let Err(error) = ended {
            let path = members::find(pod, &run.name).map(|member| member.field_path());
            let message = format!("PreStopHook failed: {error}");
            self.event(pod, path.as_deref(), EventType::Warning, "FailedPreStopHook", &message);
        }
    }

    /// Reads a container's state after an action on it.
    pub(crate) async fn look_again(self: &Arc<Self>, slot: &Arc<Slot>, id: &str) -> Result<(), NodeError> {
        match self.runtime().container(id).await {
            Ok(container) => {
                self.note_container(slot, container).await;
            }
            Err(NodeError::NotFound(_)) => drop(self.note_absence(slot, id)),
            Err(error) => return Err(error),
        }
        self.report(slot);
        Ok(())
    }

    pub(crate) async fn stop_sandbox(self: &Arc<Self>, slot: &Arc<Slot>, id: &str) -> Result<(), NodeError> {
        match self.runtime().stop_sandbox(id).await {
            Ok(()) | Err(NodeError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let mut state = slot.state();
        state.touched = self.tick();
        if let Some(sandbox) = state.observed.sandboxes.iter_mut().find(|sandbox| sandbox.id == id) {
            sandbox.ready = false;
        }
        Ok(())
    }

    /// Stops a sandbox that can no longer be used, with what still runs in it. False if that failed.
    pub(crate) async fn stop_sandbox_of(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>, id: &str) -> bool {
        let inside: Vec<Container> = {
            let state = slot.state();
            state.observed.running().filter(|run| run.sandbox_id == id).cloned().collect()
        };
        for run in inside {
            let message = format!("Stopping container {}", run.name);
            if let Err(error) = self.stop_run(slot, pod, &run, grace(pod, false, self.now()), &message).await {
                tracing::debug!(uid = slot.uid, %error, "Could not stop a container of a lost sandbox.");
            }
        }
        match self.stop_sandbox(slot, id).await {
            Ok(()) => true,
            Err(error) => {
                let message = format!("error killing pod: {error}");
                self.event_once(slot, pod, EventType::Warning, "FailedKillPod", &message);
                false
            }
        }
    }

    /// Stops a container whose probe failed or whose definition changed. False if that failed.
    pub(crate) async fn kill_for_restart(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        id: &str,
        name: &str,
        why: &str,
    ) -> bool {
        let run = slot.state().observed.containers.iter().find(|run| run.id == id).cloned();
        let Some(run) = run else { return true };
        let of_probe = members::find(pod, name).and_then(|member| {
            let state = slot.state();
            let probe = if state.verdicts.failed_startup(id) {
                member.spec.startup_probe.clone()
            } else if state.verdicts.failed_liveness(id) {
                member.spec.liveness_probe.clone()
            } else {
                None
            };
            probe?.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok())
        });
        let grace = of_probe.map_or_else(|| grace(pod, false, self.now()), Duration::from_secs);
        if let Err(error) = self.stop_run(slot, pod, &run, grace, why).await {
            tracing::debug!(uid = slot.uid, %error, name, "Could not stop a container.");
            return false;
        }
        !slot.state().observed.containers.iter().any(|run| run.id == id && is_alive(run))
    }

    /// Removes all traces of a pod that the API does not have any more.
    async fn clean_up(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> Next {
        let meta = &pod.metadata;
        let names = (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        self.remove_traces(slot, &names.0, &names.1).await
    }

    /// Ends a pod that only the runtime knows, once it is sure that the API does not.
    pub(crate) async fn end_orphan(self: &Arc<Self>, slot: &Arc<Slot>) -> Next {
        if !self.pods_synced.load(std::sync::atomic::Ordering::Acquire) {
            return Next::Idle;
        }
        let (running, names) = {
            let state = slot.state();
            let running: Vec<Container> = state.observed.running().cloned().collect();
            let of = |key: &str| {
                let labels = state.observed.sandboxes.iter().map(|s| &s.labels);
                let mut labels = labels.chain(state.observed.containers.iter().map(|c| &c.labels));
                labels.find_map(|labels| labels.get(key).cloned()).unwrap_or_default()
            };
            (running, (of(labels::POD_NAMESPACE), of(labels::POD_NAME)))
        };
        let stops = running.iter().map(|run| async {
            let grace = labels::grace_seconds(run).map_or(ORPHAN_GRACE, Duration::from_secs).max(LEAST);
            match self.runtime().stop_container(&run.id, grace).await {
                Ok(()) | Err(NodeError::NotFound(_)) => self.look_again(slot, &run.id).await,
                Err(error) => Err(error),
            }
        });
        if let Err(error) = futures::future::try_join_all(stops).await {
            tracing::warn!(uid = slot.uid, %error, "Could not stop a container that no pod wants.");
            return Next::At(RETRY);
        }
        self.remove_traces(slot, &names.0, &names.1).await
    }

    async fn remove_traces(self: &Arc<Self>, slot: &Arc<Slot>, namespace: &str, name: &str) -> Next {
        if let Err(error) = self.remove_from_runtime(slot).await {
            tracing::debug!(uid = slot.uid, %error, "Could not remove the containers of a pod that is gone.");
            return Next::At(RETRY);
        }
        self.objects.release(&slot.uid);
        if let Err(error) = self.remove_files(&slot.uid, namespace, name).await {
            tracing::warn!(uid = slot.uid, error, "Could not remove the files of a pod that is gone.");
            return Next::At(RETRY);
        }
        self.drop_slot(&slot.uid);
        Next::Idle
    }

    async fn remove_from_runtime(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), NodeError> {
        let (containers, sandboxes) = {
            let observed = &slot.state().observed;
            let containers: Vec<String> = observed.containers.iter().map(|c| c.id.clone()).collect();
            let sandboxes: Vec<String> = observed.sandboxes.iter().map(|s| s.id.clone()).collect();
            (containers, sandboxes)
        };
        let ok = |result: Result<(), NodeError>| match result {
            Err(NodeError::NotFound(_)) => Ok(()),
            other => other,
        };
        for id in containers {
            ok(self.runtime().remove_container(&id).await)?;
            self.note_absence(slot, &id);
        }
        for id in sandboxes {
            ok(self.runtime().stop_sandbox(&id).await)?;
            ok(self.runtime().remove_sandbox(&id).await)?;
            self.note_absence(slot, &id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::test_support::{at, pod};

    #[test]
    fn graces_by_what_is_known() {
        let mut spec_only = pod(json!({"containers": [], "terminationGracePeriodSeconds": 20}));
        for (case, deletion, left, gone, seconds) in [
            ("only the spec", None, None, false, 20),
            ("deletion says less", Some(5), Some(5), false, 5),
            ("the kubelet was away meanwhile", Some(20), Some(3), false, 4),
            ("its time is over", Some(20), Some(-100), false, 1),
            ("force", Some(0), Some(0), false, 1),
            ("force, gone already", Some(0), Some(-5), true, 1),
            ("gone without a deletion seen", None, None, true, 1),
        ] {
            let time = |seconds| sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(seconds));
            spec_only.metadata.deletion_grace_period_seconds = deletion;
            spec_only.metadata.deletion_timestamp = left.map(time);
            assert_eq!(grace(&spec_only, gone, at(0)).as_secs(), seconds, "{case}");
        }
    }
}
