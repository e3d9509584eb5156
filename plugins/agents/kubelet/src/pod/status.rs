//! The status of a pod: a pure function of what the API said, what the runtime shows and what the probes found.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodSpec, PodStatus, VolumeMountStatus,
};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::time::whole_seconds;
use sdk_plugin::node::{self, Container};

use crate::pod::conditions;
use crate::pod::labels;
use crate::pod::members::{self, Member, Role};
use crate::pod::observed::Observed;
use crate::pod::plan::Waiting;
use crate::probe::Verdicts;

/// Where a pod is in its life on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// All containers are stopped and none will start again.
    pub(crate) terminal: bool,
    /// Why the kubelet ended it: `DeadlineExceeded`, `OutOfcpu`, ... and the message.
    pub(crate) reason: Option<(String, String)>,
}

/// All that a status may look at.
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) observed: &'a Observed,
    pub(crate) verdicts: &'a Verdicts,
    pub(crate) waiting: &'a BTreeMap<String, Waiting>,
    /// What ended containers left behind, by ID.
    pub(crate) messages: &'a HashMap<String, String>,
    pub(crate) life: &'a Life,
    /// `containerd`
    pub(crate) runtime_name: &'a str,
    pub(crate) node_ips: &'a [IpAddr],
    pub(crate) now: Timestamp,
}

pub(crate) fn time(at: Timestamp) -> Time {
    Time(whole_seconds(at))
}

/// The whole status, but for what others own of it, which stays as it is in the API.
pub(crate) fn compute(input: &Input<'_>) -> PodStatus {
    let old = input.pod.status.clone().unwrap_or_default();
    let Some(spec) = &input.pod.spec else { return old };
    let mut status = old.clone();
    status.observed_generation = input.pod.metadata.generation.or(old.observed_generation);
    status.start_time = old.start_time.clone().or_else(|| Some(time(input.now)));
    status.qos_class = old.qos_class.clone().or_else(|| Some(sdk_workload::qos_class(spec).into()));

    let init: Vec<Member<'_>> = members::init(spec).collect();
    let apps: Vec<Member<'_>> = members::apps(spec).collect();
    let ephemeral: Vec<Member<'_>> = members::ephemeral(spec).collect();
    let default_wait = if init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let reports = Reports { input };
    let mut init_statuses = reports.of(&init, old.init_container_statuses.as_deref(), default_wait);
    let mut app_statuses = reports.of(&apps, old.container_statuses.as_deref(), default_wait);
    let ephemeral_statuses = reports.of(&ephemeral, old.ephemeral_container_statuses.as_deref(), "ContainerCreating");
    app_statuses.sort_by(|a, b| a.name.cmp(&b.name));

    let mut phase = phase(spec, &init_statuses, &app_statuses, input.life.terminal);
    if input.life.reason.is_some() {
        phase = "Failed";
    }
    if input.life.terminal {
        settle_statuses(&mut init_statuses, &mut app_statuses);
        if !matches!(phase, "Succeeded" | "Failed") {
            phase = "Failed";
        }
    }
    if let Some(final_phase) = old.phase.as_deref().filter(|phase| matches!(*phase, "Succeeded" | "Failed")) {
        phase = if final_phase == "Failed" { "Failed" } else { "Succeeded" };
    }
    status.phase = Some(phase.into());
    if let Some((reason, message)) = &input.life.reason {
        status.reason = Some(reason.clone());
        status.message = Some(message.clone());
    }
    let filled = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    status.init_container_statuses = filled(init_statuses);
    status.container_statuses = filled(app_statuses);
    status.ephemeral_container_statuses = filled(ephemeral_statuses);
    addresses(&mut status, spec, input);
    conditions::update(&mut status, spec, input);
    status
}

fn addresses(status: &mut PodStatus, spec: &PodSpec, input: &Input<'_>) {
    let hosts: Vec<String> = input.node_ips.iter().map(ToString::to_string).collect();
    status.host_ip = hosts.first().cloned();
    status.host_ips = (!hosts.is_empty()).then(|| hosts.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips = if spec.host_network == Some(true) {
        if input.observed.sandbox().is_some() { hosts } else { vec![] }
    } else {
        input.observed.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default()
    };
    // A pod whose sandbox is gone keeps the last address it was known by.
    if !ips.is_empty() {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

struct Reports<'a> {
    input: &'a Input<'a>,
}

impl Reports<'_> {
    fn of(&self, members: &[Member<'_>], old: Option<&[ContainerStatus]>, wait: &str) -> Vec<ContainerStatus> {
        let old_of = |name: &str| old.into_iter().flatten().find(|status| status.name == name);
        members.iter().map(|member| self.one(member, old_of(member.name()), wait)).collect()
    }

    fn one(&self, member: &Member<'_>, old: Option<&ContainerStatus>, wait: &str) -> ContainerStatus {
        let input = self.input;
        let mut runs = input.observed.runs(member.name());
        let mut status = ContainerStatus {
            name: member.name().into(),
            image: member.spec.image.clone().unwrap_or_default(),
            started: Some(false),
            ..ContainerStatus::default()
        };
        let waiting = input.waiting.get(member.name());
        let Some(run) = runs.next() else {
            return self.without_run(status, old, waiting, wait);
        };
        status.restart_count = i32::try_from(labels::restarts(run)).unwrap_or(i32::MAX);
        status.container_id = Some(self.id(run));
        status.image = if run.image.is_empty() { status.image } else { run.image.clone() };
        status.image_id = run.image_ref.clone();
        let previous = runs.find(|run| run.state == node::ContainerState::Exited);
        status.last_state = previous.map(|run| ended(self.terminated(run)));
        match run.state {
            node::ContainerState::Running => {
                status.state = Some(ContainerState {
                    running: Some(ContainerStateRunning { started_at: run.started.map(time) }),
                    ..ContainerState::default()
                });
                let started = input.verdicts.started(&run.id, &member.spec);
                status.started = Some(started);
                status.ready = match member.role {
                    Role::App | Role::Sidecar => input.verdicts.ready(&run.id, &member.spec),
                    Role::Init | Role::Ephemeral => false,
                };
            }
            node::ContainerState::Exited => {
                let terminated = self.terminated(run);
                match waiting.filter(|_| !input.life.terminal) {
                    Some(waiting) => {
                        status.state = Some(waits(&waiting.reason, &waiting.message));
                        status.last_state = Some(ended(terminated));
                    }
                    None => {
                        status.ready = member.role == Role::Init && terminated.exit_code == 0;
                        status.state = Some(ended(terminated));
                    }
                }
            }
            node::ContainerState::Created | node::ContainerState::Unknown => {
                let (reason, message) = waiting.map_or((wait, ""), |w| (&w.reason, &w.message));
                status.state = Some(waits(reason, message));
            }
        }
        if matches!(member.role, Role::Ephemeral) {
            status.started = None;
        }
        self.resources(&mut status, member);
        status
    }

    /// A container that the runtime does not have.
    fn without_run(
        &self,
        mut status: ContainerStatus,
        old: Option<&ContainerStatus>,
        waiting: Option<&Waiting>,
        wait: &str,
    ) -> ContainerStatus {
        let old_state = old.and_then(|old| old.state.clone()).unwrap_or_default();
        if let Some(old) = old {
            // Cleaned away after it ended: what the API knows of it stays true.
            if old_state.terminated.is_some() && waiting.is_none() {
                return old.clone();
            }
            status.restart_count = old.restart_count;
            status.last_state = old.last_state.clone();
            if old_state.terminated.is_some() {
                status.last_state =
                    Some(ContainerState { terminated: old_state.terminated, ..ContainerState::default() });
            } else if old_state.running.is_some() {
                status.restart_count += 1;
                status.last_state = Some(ended(lost(
                    "The container could not be located when the pod was deleted.  \
                     The container used to be Running",
                )));
            }
        }
        let (reason, message) = waiting.map_or((wait, ""), |w| (&w.reason, &w.message));
        status.state = Some(waits(reason, message));
        status
    }

    fn id(&self, run: &Container) -> String {
        format!("{}://{}", self.input.runtime_name, run.id)
    }

    fn terminated(&self, run: &Container) -> ContainerStateTerminated {
        let known = self.input.messages.get(&run.id).cloned();
        let message = known.or_else(|| (!run.message.is_empty()).then(|| run.message.clone()));
        let reason = match run.reason.as_str() {
            "" if run.exit_code == 0 => "Completed".to_owned(),
            "" => "Error".to_owned(),
            reason => reason.to_owned(),
        };
        ContainerStateTerminated {
            exit_code: run.exit_code,
            reason: Some(reason),
            message: message.filter(|message| !message.is_empty()),
            started_at: run.started.map(time),
            finished_at: run.finished.map(time),
            container_id: Some(self.id(run)),
            signal: None,
        }
    }

    fn resources(&self, status: &mut ContainerStatus, member: &Member<'_>) {
        if let Some(resources) = &member.spec.resources {
            status.allocated_resources = resources.requests.clone().filter(|requests| !requests.is_empty());
            let said = resources.requests.is_some() || resources.limits.is_some();
            status.resources = said.then(|| resources.clone());
        }
        let mounts = member.spec.volume_mounts.iter().flatten().map(|mount| VolumeMountStatus {
            mount_path: mount.mount_path.clone(),
            name: mount.name.clone(),
            read_only: mount.read_only,
            recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".into()),
            ..VolumeMountStatus::default()
        });
        let mounts: Vec<_> = mounts.collect();
        status.volume_mounts = (!mounts.is_empty()).then_some(mounts);
    }
}

fn waits(reason: &str, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    let waiting = ContainerStateWaiting { reason: Some(reason.into()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn ended(terminated: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn lost(message: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some(message.into()),
        ..ContainerStateTerminated::default()
    }
}

/// At a pod's end no container is left open: one that had begun and has no known end counts as failed.
///
/// Source: `pkg/kubelet/status.manager.TerminatePod`.
fn settle_statuses(init: &mut [ContainerStatus], apps: &mut [ContainerStatus]) {
    let is_over = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let has_begun = |status: &ContainerStatus| {
        let past = |state: &ContainerState| state.terminated.is_some() || state.running.is_some();
        status.state.as_ref().is_some_and(past) || status.last_state.as_ref().is_some_and(past)
    };
    let settle = |statuses: &mut [ContainerStatus]| {
        for status in statuses.iter_mut().filter(|status| !is_over(status)) {
            status.ready = false;
            status.started = Some(false);
            status.state = Some(ended(lost("The container could not be located when the pod was terminated")));
        }
    };
    if apps.iter().any(has_begun) {
        settle(apps);
    }
    // Init containers behind the last one that began never had their turn.
    let begun = init.iter().rposition(has_begun).map_or(0, |last| last + 1);
    settle(&mut init[..begun]);
}

/// The pod's phase from its containers' states. Source: `pkg/kubelet/kubelet_pods.go`, `getPhase`.
fn phase(spec: &PodSpec, init: &[ContainerStatus], apps: &[ContainerStatus], terminal: bool) -> &'static str {
    let policy = members::restart_policy(spec);
    let state = |status: &ContainerStatus| status.state.clone().unwrap_or_default();
    let last_end = |status: &ContainerStatus| status.last_state.as_ref().and_then(|last| last.terminated.clone());
    let (mut pending_init, mut failed_init) = (0, 0);
    for (member, status) in members::init(spec).zip(init) {
        let state = state(status);
        if member.role == Role::Sidecar {
            let up = state.running.is_some() && status.started == Some(true);
            pending_init += usize::from(!up && state.terminated.is_none() && last_end(status).is_none());
        } else if let Some(end) = state.terminated {
            failed_init += usize::from(end.exit_code != 0);
        } else if state.waiting.is_some() && last_end(status).is_some_and(|end| end.exit_code != 0) {
            failed_init += 1;
        } else {
            pending_init += 1;
        }
    }
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in apps {
        let state = state(status);
        if state.running.is_some() {
            running += 1;
        } else if let Some(end) = state.terminated {
            stopped += 1;
            succeeded += usize::from(end.exit_code == 0);
        } else if last_end(status).is_some() {
            stopped += 1;
        } else {
            waiting += 1;
        }
    }
    if failed_init > 0 && policy == "Never" {
        return "Failed";
    }
    let begun = running + stopped > 0;
    let all_succeeded = stopped == succeeded;
    match () {
        () if pending_init + failed_init > 0 && !begun => "Pending",
        () if waiting > 0 => "Pending",
        () if running > 0 => "Running",
        () if stopped == 0 => "Pending",
        () if terminal => {
            if all_succeeded {
                "Succeeded"
            } else {
                "Failed"
            }
        }
        () if policy == "Always" => "Running",
        () if all_succeeded => "Succeeded",
        () if policy == "Never" => "Failed",
        () => "Running",
    }
}

/// What of a new status must be sent, as a strategic merge patch; `None` if the API has it already.
///
/// Conditions and addresses are merged by key, so that what others own is not touched.
pub(crate) fn patch(pod: &Pod, status: &PodStatus) -> Option<serde_json::Value> {
    let value = |status: &PodStatus| serde_json::to_value(status).unwrap_or_default();
    let (old, new) = (value(pod.status.as_ref().unwrap_or(&PodStatus::default())), value(status));
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return None };
    let mut changed = serde_json::Map::new();
    for (field, wanted) in new {
        if old.get(field) == Some(wanted) {
            continue;
        }
        let wanted = match field.as_str() {
            "conditions" => {
                let known: Vec<_> = old.get(field).and_then(|list| list.as_array()).into_iter().flatten().collect();
                let list = wanted.as_array().into_iter().flatten().filter(|condition| !known.contains(condition));
                list.map(|condition| without_old_words(condition, &known)).collect::<Vec<_>>().into()
            }
            "podIPs" | "hostIPs" if old.contains_key(field) => {
                let mut list = wanted.as_array().cloned().unwrap_or_default();
                list.push(serde_json::json!({"$patch": "replace"}));
                list.into()
            }
            _ => wanted.clone(),
        };
        changed.insert(field.clone(), wanted);
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        changed.insert(field.clone(), serde_json::Value::Null);
    }
    if changed.is_empty() {
        return None;
    }
    Some(serde_json::json!({"metadata": {"uid": pod.metadata.uid}, "status": changed}))
}

/// The condition, and `null` for what the known one of its type says and it does not: a merge would keep that.
fn without_old_words(condition: &serde_json::Value, known: &[&serde_json::Value]) -> serde_json::Value {
    let mut condition = condition.clone();
    let old = known.iter().find(|old| old["type"] == condition["type"]);
    for word in ["reason", "message"] {
        if condition.get(word).is_none() && old.is_some_and(|old| old.get(word).is_some()) {
            condition[word] = serde_json::Value::Null;
        }
    }
    condition
}

/// A condition that keeps its transition time while its status stays.
pub(crate) fn put_condition(status: &mut PodStatus, mut condition: PodCondition, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|known| known.type_ == condition.type_);
    condition.last_transition_time = match &known {
        Some(known) if known.status == condition.status => known.last_transition_time.clone(),
        _ => Some(time(now)),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
