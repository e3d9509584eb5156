//! The conditions of a pod that its kubelet owns.
//!
//! Source: `pkg/kubelet/status/generate.go`.

use sdk_api::k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};

use crate::pod::members::{self, Role};
use crate::pod::status::{Input, put_condition};

/// Status, reason and message of a condition.
type Finding = (bool, Option<(&'static str, String)>);

pub(crate) fn update(status: &mut PodStatus, spec: &PodSpec, input: &Input<'_>) {
    let sandbox = input.observed.sandbox();
    let host_network = spec.host_network == Some(true);
    let has_sandbox = sandbox.is_some_and(|sandbox| sandbox.ready && (host_network || !sandbox.ips.is_empty()));
    let initialized = initialized(status, spec);
    let containers_ready = containers_ready(status, spec);
    let ready = ready(status, spec, &containers_ready);
    for (kind, (holds, why)) in [
        ("PodReadyToStartContainers", (has_sandbox && !input.life.terminal, None)),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
    ] {
        let (reason, message) = why.map_or((None, None), |(reason, message)| {
            (Some(reason.to_owned()), (!message.is_empty()).then_some(message))
        });
        let condition = PodCondition {
            type_: kind.into(),
            status: if holds { "True" } else { "False" }.into(),
            reason,
            message,
            observed_generation: input.pod.metadata.generation,
            ..PodCondition::default()
        };
        put_condition(status, condition, input.now);
    }
    let scheduled = status.conditions.iter().flatten().any(|c| c.type_ == "PodScheduled" && c.status == "True");
    if !scheduled {
        let condition = PodCondition {
            type_: "PodScheduled".into(),
            status: "True".into(),
            observed_generation: input.pod.metadata.generation,
            ..PodCondition::default()
        };
        put_condition(status, condition, input.now);
    }
}

fn find<'a>(list: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerStatus> {
    list?.iter().find(|status| status.name == name)
}

fn named(what: &str, names: &[&str]) -> String {
    format!("containers with {what} status: [{}]", names.join(" "))
}

fn initialized(status: &PodStatus, spec: &PodSpec) -> Finding {
    let statuses = status.init_container_statuses.as_ref();
    let (mut unknown, mut pending) = (vec![], vec![]);
    for member in spec.init_containers.iter().flatten() {
        let sidecar = member.restart_policy.as_deref() == Some("Always");
        match find(statuses, &member.name) {
            None => unknown.push(member.name.as_str()),
            Some(status) if sidecar && status.started != Some(true) => pending.push(member.name.as_str()),
            Some(status) if !sidecar && !status.ready => pending.push(member.name.as_str()),
            Some(_) => {}
        }
    }
    if status.phase.as_deref() == Some("Succeeded") {
        return (true, Some(("PodCompleted", String::new())));
    }
    // Once an app container has run, all init containers had come to their end.
    let begun = status.container_statuses.iter().flatten().any(|status| {
        let state = status.state.clone().unwrap_or_default();
        status.started == Some(true)
            || state.running.is_some()
            || state.terminated.is_some_and(|end| end.reason.as_deref() != Some("ContainerStatusUnknown"))
    });
    if begun || (unknown.is_empty() && pending.is_empty()) {
        return (true, None);
    }
    let mut messages = vec![];
    if !unknown.is_empty() {
        messages.push(named("unknown", &unknown));
    }
    if !pending.is_empty() {
        messages.push(named("incomplete", &pending));
    }
    (false, Some(("ContainersNotInitialized", messages.join(", "))))
}

fn containers_ready(status: &PodStatus, spec: &PodSpec) -> Finding {
    match status.phase.as_deref() {
        Some("Succeeded") => return (false, Some(("PodCompleted", String::new()))),
        Some("Failed") => return (false, Some(("PodFailed", String::new()))),
        _ => {}
    }
    let (mut unknown, mut unready) = (vec![], vec![]);
    let sidecars = members::init(spec).filter(|member| member.role == Role::Sidecar);
    let sidecars: Vec<String> = sidecars.map(|member| member.name().to_owned()).collect();
    for name in &sidecars {
        match find(status.init_container_statuses.as_ref(), name) {
            None => unknown.push(name.as_str()),
            Some(status) if !status.ready => unready.push(name.as_str()),
            Some(_) => {}
        }
    }
    for container in &spec.containers {
        match find(status.container_statuses.as_ref(), &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if !status.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    let mut messages = vec![];
    if !unknown.is_empty() {
        messages.push(named("unknown", &unknown));
    }
    if !unready.is_empty() {
        messages.push(named("unready", &unready));
    }
    if messages.is_empty() { (true, None) } else { (false, Some(("ContainersNotReady", messages.join(", ")))) }
}

fn ready(status: &PodStatus, spec: &PodSpec, containers: &Finding) -> Finding {
    if !containers.0 {
        return containers.clone();
    }
    let mut messages = vec![];
    for gate in spec.readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match status.conditions.iter().flatten().find(|condition| condition.type_ == *kind) {
            None => messages.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
            Some(condition) if condition.status != "True" => messages
                .push(format!("the status of pod readiness gate {kind:?} is not \"True\", but {}", condition.status)),
            Some(_) => {}
        }
    }
    if messages.is_empty() { (true, None) } else { (false, Some(("ReadinessGatesNotReady", messages.join(", ")))) }
}
