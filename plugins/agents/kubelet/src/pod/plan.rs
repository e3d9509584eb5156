//! What to do next for a pod that should run: a pure function of what is wanted and what is there.
//!
//! The plan is made again after its actions are done, so each plan holds only what can be done now.

use std::collections::BTreeMap;
use std::time::Duration;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::{Pod, PodSpec};
use sdk_plugin::node::{Container, ContainerState};

use crate::pod::backoff::{self, Backoffs};
use crate::pod::labels;
use crate::pod::members::{self, Member, Role};
use crate::pod::observed::{Observed, is_alive};
use crate::probe::Verdicts;

/// Why a container is not running yet, as `state.waiting` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Waiting {
    pub(crate) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// All that a plan may look at.
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) observed: &'a Observed,
    pub(crate) verdicts: &'a Verdicts,
    pub(crate) backoffs: &'a Backoffs,
    /// Containers that failed to start are not tried again before this.
    pub(crate) not_before: &'a BTreeMap<String, Timestamp>,
    pub(crate) now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Stop what is left of a sandbox that can no longer be used.
    StopSandbox {
        id: String,
    },
    RunSandbox {
        attempt: u32,
    },
    /// Stop a container; `why` is the event's message.
    Kill {
        id: String,
        name: String,
        why: String,
    },
    Start {
        name: String,
        attempt: u32,
        /// When its last run ended.
        ended: Option<Timestamp>,
    },
}

/// How a pod came to its end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    /// Containers that wait, and why.
    pub(crate) waiting: BTreeMap<String, Waiting>,
    /// Look again after this time at the latest.
    pub(crate) again_in: Option<Duration>,
    /// Nothing will start any more.
    pub(crate) finished: Option<Finish>,
}

impl Plan {
    fn again_in(&mut self, wait: Duration) {
        self.again_in = Some(self.again_in.map_or(wait, |sooner| sooner.min(wait)));
    }
}

/// The key of a container's restart back-off.
pub(crate) fn restart_key(uid: &str, name: &str) -> String {
    format!("{uid}/{name}")
}

pub(crate) fn plan(input: &Input<'_>) -> Plan {
    let Some(spec) = &input.pod.spec else { return Plan::default() };
    if let Some(finished) = finished(spec, input.observed) {
        return Plan { finished: Some(finished), ..Plan::default() };
    }
    if let Some(plan) = plan_sandbox(spec, input) {
        return plan;
    }
    let mut plan = Plan::default();
    let planner = Planner { input, policy: members::restart_policy(spec) };
    let initialized = planner.init_containers(spec, &mut plan);
    if initialized {
        for member in members::apps(spec) {
            planner.keep_running(&member, &mut plan);
        }
        for member in members::ephemeral(spec) {
            if input.observed.latest(member.name()).is_none_or(|c| c.state == ContainerState::Created) {
                planner.start(&member, &mut plan);
            }
        }
    }
    plan
}

/// Whether all that runs to an end has come to it.
fn finished(spec: &PodSpec, observed: &Observed) -> Option<Finish> {
    let policy = members::restart_policy(spec);
    let exited = |member: &Member<'_>| observed.latest(member.name()).filter(|c| c.state == ContainerState::Exited);
    let done =
        |member: &Member<'_>| exited(member).filter(|run| !member.restarts_after(policy, run.exit_code)).cloned();
    if observed.sandbox().is_some() && members::apps(spec).all(|member| observed.latest(member.name()).is_none()) {
        let failed =
            |member: Member<'_>| member.role == Role::Init && done(&member).is_some_and(|run| run.exit_code != 0);
        if members::init(spec).any(failed) {
            return Some(Finish::Failed);
        }
    }
    let runs: Option<Vec<Container>> = members::apps(spec).map(|member| done(&member)).collect();
    let runs = runs.filter(|runs| !runs.is_empty())?;
    Some(if runs.iter().all(|run| run.exit_code == 0) { Finish::Succeeded } else { Finish::Failed })
}

/// What the sandbox needs before containers can be thought of; `None` if it is fine.
fn plan_sandbox(spec: &PodSpec, input: &Input<'_>) -> Option<Plan> {
    let observed = input.observed;
    let Some(sandbox) = observed.sandbox() else {
        let plan = Plan { actions: vec![Action::RunSandbox { attempt: 0 }], ..Plan::default() };
        return Some(plan);
    };
    let host_network = spec.host_network == Some(true);
    let usable = sandbox.ready && (host_network || !sandbox.ips.is_empty());
    let extra: Vec<_> =
        observed.sandboxes.iter().skip(1).filter(|old| is_in_use(observed, &old.id, old.ready)).collect();
    if usable {
        if extra.is_empty() {
            return None;
        }
        let actions = extra.into_iter().map(|old| Action::StopSandbox { id: old.id.clone() }).collect();
        return Some(Plan { actions, ..Plan::default() });
    }
    if members::restart_policy(spec) == "Never" && !observed.containers.is_empty() {
        // Its containers went down with the sandbox, and nothing may start again.
        return Some(Plan { finished: Some(Finish::Failed), ..Plan::default() });
    }
    let mut actions = vec![];
    for old in &observed.sandboxes {
        if is_in_use(observed, &old.id, old.ready) {
            actions.push(Action::StopSandbox { id: old.id.clone() });
        }
    }
    actions.push(Action::RunSandbox { attempt: sandbox.attempt + 1 });
    Some(Plan { actions, ..Plan::default() })
}

fn is_in_use(observed: &Observed, sandbox_id: &str, ready: bool) -> bool {
    ready || observed.running().any(|container| container.sandbox_id == sandbox_id)
}

struct Planner<'a> {
    input: &'a Input<'a>,
    policy: &'a str,
}

impl Planner<'_> {
    /// Plans init containers and sidecars; whether the app containers may run.
    fn init_containers(&self, spec: &PodSpec, plan: &mut Plan) -> bool {
        let observed = self.input.observed;
        let had_apps = members::apps(spec).any(|member| observed.latest_here(member.name()).is_some());
        for member in members::init(spec) {
            let run = observed.latest_here(member.name());
            if member.role == Role::Sidecar {
                self.keep_running(&member, plan);
                let is_up = run.is_some_and(|run| is_alive(run) && self.input.verdicts.started(&run.id, &member.spec));
                if !is_up && !had_apps {
                    return false;
                }
                continue;
            }
            if had_apps {
                continue;
            }
            match run {
                Some(run) if run.state == ContainerState::Exited && run.exit_code == 0 => {}
                Some(run) if is_alive(run) => return false,
                _ => {
                    self.keep_running(&member, plan);
                    return false;
                }
            }
        }
        true
    }

    /// Starts, restarts or kills one container as it needs.
    fn keep_running(&self, member: &Member<'_>, plan: &mut Plan) {
        let Some(run) = self.input.observed.latest_here(member.name()) else {
            let old = self.input.observed.latest(member.name()).filter(|old| old.state == ContainerState::Exited);
            // In a new sandbox: what had come to its end stays ended, but for init containers, which run again.
            if old.is_none_or(|old| member.role == Role::Init || member.restarts_after(self.policy, old.exit_code)) {
                self.start(member, plan);
            }
            return;
        };
        match run.state {
            ContainerState::Created => self.start(member, plan),
            ContainerState::Exited => {
                if member.restarts_after(self.policy, run.exit_code) {
                    self.start(member, plan);
                }
            }
            ContainerState::Running | ContainerState::Unknown => {
                let name = member.name();
                let why = if !labels::is_current(run, &member.spec) {
                    format!("Container {name} definition changed")
                } else if self.input.verdicts.failed_startup(&run.id) {
                    format!("Container {name} failed startup probe")
                } else if self.input.verdicts.failed_liveness(&run.id) {
                    format!("Container {name} failed liveness probe")
                } else if run.state == ContainerState::Unknown {
                    format!("Container {name} is in an unknown state, try killing it before restart")
                } else {
                    return;
                };
                let changed = !labels::is_current(run, &member.spec);
                let again = changed || member.restarts_after(self.policy, 137);
                let why = if again { format!("{why}, will be restarted") } else { why };
                plan.actions.push(Action::Kill { id: run.id.clone(), name: name.into(), why });
                if changed {
                    let attempt = self.next_attempt(name);
                    plan.actions.push(Action::Start { name: name.into(), attempt, ended: None });
                }
            }
        }
    }

    fn next_attempt(&self, name: &str) -> u32 {
        if let Some(latest) = self.input.observed.latest(name) {
            return if latest.state == ContainerState::Created { latest.attempt } else { latest.attempt + 1 };
        }
        // Its earlier runs were cleaned away; the API still knows how many there were.
        let status = self.input.pod.status.as_ref();
        let known = status.into_iter().flat_map(|s| {
            let lists = [&s.container_statuses, &s.init_container_statuses, &s.ephemeral_container_statuses];
            lists.into_iter().flatten().flatten()
        });
        let known = known.filter(|status| status.name == name && status.container_id.is_some());
        known.map(|status| u32::try_from(status.restart_count).map_or(0, |count| count + 1)).next().unwrap_or(0)
    }

    /// Starts a container unless it must wait.
    fn start(&self, member: &Member<'_>, plan: &mut Plan) {
        let (input, name) = (self.input, member.name());
        if let Some(later) = input.not_before.get(name) {
            let left = Duration::try_from(later.duration_since(input.now)).unwrap_or_default();
            if !left.is_zero() {
                return plan.again_in(left);
            }
        }
        let ended = input.observed.latest(name).filter(|run| run.state == ContainerState::Exited);
        let ended = ended.map(|run| run.finished.unwrap_or(run.created));
        let uid = input.pod.metadata.uid.as_deref().unwrap_or_default();
        let key = restart_key(uid, name);
        if let Some((left, delay)) = ended.and_then(|ended| input.backoffs.wait(&key, ended, input.now)) {
            let meta = &input.pod.metadata;
            let (pod, namespace) = (meta.name.as_deref().unwrap_or(""), meta.namespace.as_deref().unwrap_or(""));
            let message = format!(
                "back-off {} restarting failed container={name} pod={pod}_{namespace}({uid})",
                backoff::text(delay)
            );
            plan.waiting.insert(name.into(), Waiting::new("CrashLoopBackOff", message));
            return plan.again_in(left);
        }
        plan.actions.push(Action::Start { name: name.into(), attempt: self.next_attempt(name), ended });
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
