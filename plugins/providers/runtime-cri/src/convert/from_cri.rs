//! What CRI answers, in the contract's types.

use jiff::Timestamp;
use sdk_plugin::node::{Container, ContainerState, ContainerStats, Image, RuntimeHealth, Sandbox};

use crate::proto;

/// The label in which the kubelet writes the pod's uid.
const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";

/// A sandbox of a list: without addresses.
pub fn sandbox_item(item: proto::PodSandbox) -> Sandbox {
    let ready = item.state == proto::PodSandboxState::Ready as i32;
    let metadata = item.metadata.unwrap_or_default();
    Sandbox {
        id: item.id,
        pod_uid: metadata.uid,
        pod_name: metadata.name,
        pod_namespace: metadata.namespace,
        attempt: metadata.attempt,
        ready,
        created: time(item.created_at).unwrap_or_default(),
        labels: item.labels.into_iter().collect(),
        annotations: item.annotations.into_iter().collect(),
        ips: Vec::new(),
    }
}

/// A sandbox with its addresses.
pub fn sandbox_status(status: proto::PodSandboxStatus) -> Sandbox {
    let ready = status.state == proto::PodSandboxState::Ready as i32;
    let metadata = status.metadata.unwrap_or_default();
    let network = status.network.unwrap_or_default();
    let ips = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|more| more.ip));
    Sandbox {
        id: status.id,
        pod_uid: metadata.uid,
        pod_name: metadata.name,
        pod_namespace: metadata.namespace,
        attempt: metadata.attempt,
        ready,
        created: time(status.created_at).unwrap_or_default(),
        labels: status.labels.into_iter().collect(),
        annotations: status.annotations.into_iter().collect(),
        ips: ips.filter(|ip| !ip.is_empty()).collect(),
    }
}

/// A container of a list: without what happened to it.
pub fn container_item(item: proto::Container) -> Container {
    let state = state(item.state);
    let metadata = item.metadata.unwrap_or_default();
    Container {
        id: item.id,
        sandbox_id: item.pod_sandbox_id,
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        created: time(item.created_at).unwrap_or_default(),
        started: None,
        finished: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: item.image.map(|spec| spec.image).unwrap_or_default(),
        image_ref: item.image_ref,
        labels: item.labels.into_iter().collect(),
        annotations: item.annotations.into_iter().collect(),
        log_path: String::new(),
    }
}

/// A container in full. The status does not say the sandbox; that comes from the list.
pub fn container_status(status: proto::ContainerStatus, sandbox_id: String) -> Container {
    let state = state(status.state);
    let metadata = status.metadata.unwrap_or_default();
    Container {
        id: status.id,
        sandbox_id,
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        created: time(status.created_at).unwrap_or_default(),
        started: time(status.started_at),
        finished: time(status.finished_at),
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: status.image.map(|spec| spec.image).unwrap_or_default(),
        image_ref: status.image_ref,
        labels: status.labels.into_iter().collect(),
        annotations: status.annotations.into_iter().collect(),
        log_path: status.log_path,
    }
}

/// An image.
pub fn image(image: proto::Image) -> Image {
    Image {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size_bytes: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        pinned: image.pinned,
    }
}

/// Use of resources.
pub fn stats(stats: proto::ContainerStats) -> ContainerStats {
    let mut attributes = stats.attributes.unwrap_or_default();
    let cpu = stats.cpu.unwrap_or_default();
    let memory = stats.memory.unwrap_or_default();
    ContainerStats {
        id: attributes.id,
        name: attributes.metadata.unwrap_or_default().name,
        pod_uid: attributes.labels.remove(POD_UID_LABEL).unwrap_or_default(),
        time: time(cpu.timestamp.max(memory.timestamp)),
        cpu_usage_nanos: cpu.usage_core_nano_seconds.map_or(0, |usage| usage.value),
        memory_working_set_bytes: memory.working_set_bytes.map_or(0, |bytes| bytes.value),
    }
}

/// Both conditions that a node needs; one that is not told counts as false.
pub fn health(status: Option<proto::RuntimeStatus>) -> RuntimeHealth {
    let conditions = status.unwrap_or_default().conditions;
    let ready = |name: &str| conditions.iter().any(|condition| condition.r#type == name && condition.status);
    let message: Vec<_> = conditions
        .iter()
        .filter(|condition| !condition.status)
        .map(|condition| match (condition.reason.as_str(), condition.message.as_str()) {
            ("", message) => format!("{}: {message}", condition.r#type),
            (reason, message) => format!("{}: {reason}: {message}", condition.r#type),
        })
        .collect();
    RuntimeHealth {
        runtime_ready: ready("RuntimeReady"),
        network_ready: ready("NetworkReady"),
        message: message.join("; "),
    }
}

/// A number that is not known (yet) is an unknown state, not the first of the list.
fn state(number: i32) -> ContainerState {
    match proto::ContainerState::try_from(number) {
        Ok(proto::ContainerState::Created) => ContainerState::Created,
        Ok(proto::ContainerState::Running) => ContainerState::Running,
        Ok(proto::ContainerState::Exited) => ContainerState::Exited,
        Ok(proto::ContainerState::Unknown) | Err(_) => ContainerState::Unknown,
    }
}

/// Nanoseconds since the epoch; 0 and less mean that it did not happen.
fn time(nanos: i64) -> Option<Timestamp> {
    if nanos <= 0 { None } else { Timestamp::from_nanosecond(i128::from(nanos)).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_needs_both_conditions() {
        let condition = |kind: &str, status, reason: &str| proto::RuntimeCondition {
            r#type: kind.into(),
            status,
            reason: reason.into(),
            message: "why".into(),
        };
        for (case, conditions, runtime, network, message) in [
            ("nothing told", vec![], false, false, ""),
            ("both", vec![condition("RuntimeReady", true, ""), condition("NetworkReady", true, "")], true, true, ""),
            (
                "no network",
                vec![condition("RuntimeReady", true, ""), condition("NetworkReady", false, "NetworkPluginNotReady")],
                true,
                false,
                "NetworkReady: NetworkPluginNotReady: why",
            ),
        ] {
            let got = health(Some(proto::RuntimeStatus { conditions }));
            assert_eq!(
                (got.runtime_ready, got.network_ready, got.message.as_str()),
                (runtime, network, message),
                "{case}"
            );
        }
        assert!(!health(None).runtime_ready);
    }

    #[test]
    fn a_status_keeps_what_happened() {
        let status = proto::ContainerStatus {
            id: "c".into(),
            state: proto::ContainerState::Exited.into(),
            created_at: 1_000_000_000,
            started_at: 0,
            finished_at: 2_000_000_000,
            exit_code: 137,
            reason: "OOMKilled".into(),
            ..Default::default()
        };
        let got = container_status(status, "s".into());
        assert_eq!((got.state, got.exit_code, got.reason.as_str()), (ContainerState::Exited, 137, "OOMKilled"));
        assert_eq!((got.sandbox_id.as_str(), got.started), ("s", None));
        assert_eq!(got.finished.map(|at| at.as_second()), Some(2));
    }

    #[test]
    fn addresses_in_order_and_none_for_the_host() {
        let with = |ip: &str, more: &[&str]| proto::PodSandboxStatus {
            network: Some(proto::PodSandboxNetworkStatus {
                ip: ip.into(),
                additional_ips: more.iter().map(|ip| proto::PodIp { ip: (*ip).into() }).collect(),
            }),
            ..Default::default()
        };
        assert_eq!(sandbox_status(with("10.0.0.2", &["fd00::2"])).ips, ["10.0.0.2", "fd00::2"]);
        assert!(sandbox_status(with("", &[])).ips.is_empty());
        // What a future runtime sends beyond what is known is not ready, and no panic.
        assert!(!sandbox_status(proto::PodSandboxStatus { state: 9, ..Default::default() }).ready);
        assert_eq!(state(9), ContainerState::Unknown);
    }
}
