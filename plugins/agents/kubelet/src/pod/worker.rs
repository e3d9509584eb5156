//! The worker of a pod: compares, plans, acts, until there is nothing left to do. It exists only while there is.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_plugin::EventType;

use crate::pod::plan::{self, Action, Finish, Plan};
use crate::pod::slot::{Ending, Slot, Stage, Timer, Work};
use crate::running::Node;

/// Pause after something outside was not ready.
pub(crate) const RETRY: Duration = Duration::from_secs(2);
/// Plans in one look; a pod that needs more comes again.
const PLANS_MAX: usize = 64;

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something happens.
    Idle,
    At(Duration),
    Now,
}

impl Node {
    /// Has a pod looked at, soon.
    pub(crate) fn kick(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut state = slot.state();
        if state.work != Work::Idle {
            state.work = Work::Again;
            return;
        }
        state.work = Work::Busy;
        drop(state);
        let (node, slot) = (self.clone(), slot.clone());
        tokio::spawn(async move { node.work(&slot).await });
    }

    async fn work(self: &Arc<Self>, slot: &Arc<Slot>) {
        loop {
            // The look that begins here sees whatever an interrupt that came before it was about.
            let _ = slot.interrupt.notified().now_or_never();
            let look = std::panic::AssertUnwindSafe(self.look(slot)).catch_unwind();
            let next = tokio::select! {
                next = look => next.unwrap_or_else(|_| {
                    tracing::error!(uid = slot.uid, "The worker of a pod panicked.");
                    Next::At(RETRY)
                }),
                // What was begun for an older state is abandoned; every action can be repeated.
                () = slot.interrupt.notified() => Next::Now,
                () = self.stop.cancelled() => return,
            };
            self.report(slot);
            let mut state = slot.state();
            if state.work == Work::Again || next == Next::Now {
                state.work = Work::Busy;
                continue;
            }
            state.work = Work::Idle;
            state.timer = None;
            if let Next::At(wait) = next {
                state.timer = Some(self.timer(slot, wait));
            }
            return;
        }
    }

    fn timer(self: &Arc<Self>, slot: &Arc<Slot>, wait: Duration) -> Timer {
        let (node, weak, sleep) = (self.clone(), Arc::downgrade(slot), self.clock.sleep(wait));
        let task = tokio::spawn(async move {
            sleep.await;
            if let Some(slot) = weak.upgrade() {
                node.kick(&slot);
            }
        });
        Timer(task.abort_handle())
    }

    async fn look(self: &Arc<Self>, slot: &Arc<Slot>) -> Next {
        let (pod, stage, gone) = {
            let state = slot.state();
            (state.pod.clone(), state.stage, state.gone)
        };
        let Some(pod) = pod else { return self.end_orphan(slot).await };
        let stage = if stage == Stage::Running { self.check_end(slot, &pod, gone) } else { stage };
        match stage {
            Stage::Running => Box::pin(self.keep_running(slot, &pod)).await,
            Stage::Ending | Stage::Ended | Stage::Deleted => self.end(slot, &pod).await,
        }
    }

    /// Whether the pod must end for a reason that its containers do not know of.
    fn check_end(&self, slot: &Arc<Slot>, pod: &Pod, gone: bool) -> Stage {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let finished = matches!(phase, Some("Succeeded" | "Failed"));
        if gone || finished || pod.metadata.deletion_timestamp.is_some() {
            return self.begin_end(slot, pod, None);
        }
        if self.deadline_left(pod).is_some_and(|left| left.is_zero()) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.event(pod, None, EventType::Normal, "DeadlineExceeded", message);
            return self.begin_end(slot, pod, Some(("DeadlineExceeded".into(), message.into())));
        }
        if let Some(refusal) = self.admit(slot, pod) {
            return self.begin_end(slot, pod, Some(refusal));
        }
        Stage::Running
    }

    /// What is left of the time that the pod may be active.
    fn deadline_left(&self, pod: &Pod) -> Option<Duration> {
        let seconds = u64::try_from(pod.spec.as_ref()?.active_deadline_seconds?).ok()?;
        // A pod whose first status is still on its way starts now.
        let start =
            pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or_else(|| self.now(), |at| at.0);
        let active = Duration::try_from(self.now().duration_since(start)).unwrap_or_default();
        Some(Duration::from_secs(seconds).saturating_sub(active))
    }

    /// From now on the pod is being ended.
    pub(crate) fn begin_end(&self, slot: &Arc<Slot>, pod: &Pod, reason: Option<(String, String)>) -> Stage {
        let mut state = slot.state();
        let grace = crate::pod::end::grace(pod, state.gone, self.now());
        state.stage = Stage::Ending;
        state.ending = Some(Ending { deadline: self.clock.monotonic() + grace });
        state.life.reason = state.life.reason.take().or(reason);
        Stage::Ending
    }

    async fn keep_running(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> Next {
        self.report(slot);
        if let Some(next) = self.prepare(slot, pod).await {
            return next;
        }
        for _ in 0..PLANS_MAX {
            let plan = self.make_plan(slot, pod);
            if let Some(finish) = plan.finished {
                tracing::debug!(uid = slot.uid, ?finish, "A pod came to its end.");
                debug_assert!(matches!(finish, Finish::Succeeded | Finish::Failed));
                self.begin_end(slot, pod, None);
                return Next::Now;
            }
            if plan.actions.is_empty() {
                self.collect_garbage(slot).await;
                self.watch_probes(slot, pod);
                if !Box::pin(self.resize(slot, pod)).await {
                    return Next::At(RETRY);
                }
                return self.next_look(slot, pod, &plan);
            }
            let mut failed = false;
            for action in &plan.actions {
                failed |= !self.act(slot, pod, action).await;
            }
            self.watch_probes(slot, pod);
            if failed {
                self.report(slot);
                // What failed is held back by `not_before`; the rest of the plan may go on.
                let held = self.make_plan(slot, pod);
                if held.actions.iter().any(|action| !matches!(action, Action::Start { .. })) {
                    return Next::At(RETRY);
                }
            }
        }
        Next::Now
    }

    fn make_plan(&self, slot: &Arc<Slot>, pod: &Pod) -> Plan {
        let mut state = slot.state();
        let now = self.now();
        let plan = plan::plan(&plan::Input {
            pod,
            observed: &state.observed,
            verdicts: &state.verdicts,
            backoffs: &state.backoffs,
            not_before: &state.not_before,
            now,
        });
        for (name, waiting) in &plan.waiting {
            if state.waiting.get(name) != Some(waiting) {
                let message = format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    pod.metadata.name.as_deref().unwrap_or_default(),
                    pod.metadata.namespace.as_deref().unwrap_or_default(),
                    slot.uid
                );
                let path = crate::pod::members::find(pod, name).map(|member| member.field_path());
                self.event(pod, path.as_deref(), EventType::Warning, "BackOff", &message);
                state.waiting.insert(name.clone(), waiting.clone());
            }
        }
        plan
    }

    fn next_look(&self, slot: &Arc<Slot>, pod: &Pod, plan: &Plan) -> Next {
        let mut wait = plan.again_in;
        let mut sooner = |other: Option<Duration>| {
            wait = match (wait, other) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        sooner(self.deadline_left(pod));
        sooner(self.volumes.refresh_in(&slot.uid, self.now()));
        wait.map_or(Next::Idle, |wait| Next::At(wait.max(Duration::from_millis(10))))
    }

    /// Does one action; false if it failed and must be tried later.
    async fn act(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>, action: &Action) -> bool {
        match action {
            Action::StopSandbox { id } => {
                let message = "Pod sandbox changed, it will be killed and re-created.";
                self.event(pod, None, EventType::Normal, "SandboxChanged", message);
                self.stop_sandbox_of(slot, pod, id).await
            }
            Action::RunSandbox { attempt } => self.run_sandbox(slot, pod, *attempt).await,
            Action::Kill { id, name, why } => self.kill_for_restart(slot, pod, id, name, why).await,
            Action::Start { name, attempt, ended } => self.start(slot, pod, name, *attempt, *ended).await,
        }
    }
}
