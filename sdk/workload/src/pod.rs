//! What a pod's state says: ready, available, active, finished.

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::time::whole_seconds;

/// The condition of a type, such as `Ready`.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

/// Sets a condition, keeping its transition time where the status stays. True if anything changed.
pub fn set_condition(pod: &mut Pod, mut condition: PodCondition, now: Timestamp) -> bool {
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    condition.last_transition_time = Some(Time(whole_seconds(now)));
    let Some(known) = conditions.iter_mut().find(|known| known.type_ == condition.type_) else {
        conditions.push(condition);
        return true;
    };
    if known.status == condition.status {
        condition.last_transition_time = known.last_transition_time.clone();
    }
    let changed = *known != condition;
    *known = condition;
    changed
}

/// Its containers and readiness gates say that it can serve.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Ready for at least `min_ready_seconds`.
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    let Some(ready) = condition(pod, "Ready").filter(|ready| ready.status == "True") else { return false };
    if min_ready_seconds <= 0 {
        return true;
    }
    let since = ready.last_transition_time.as_ref();
    since.is_some_and(|since| now.as_second() - since.0.as_second() >= i64::from(min_ready_seconds))
}

/// All its containers have ended and none will start again.
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Deletion has started.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Neither finished nor being deleted: counts as a replica.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// A node has been chosen.
pub fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

/// The statuses of init containers and containers, in that order.
pub fn container_states(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    init.chain(status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten())
}

/// Keeps `serviceAccount`, the old name, equal to `serviceAccountName`.
pub fn mirror_service_account(spec: &mut PodSpec) {
    let filled = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    if let Some(name) = filled(&spec.service_account_name).or_else(|| filled(&spec.service_account)) {
        spec.service_account_name = Some(name.clone());
        spec.service_account = Some(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    #[test]
    fn readiness_and_availability() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let since = |status: &str, time: &str| {
            pod(json!({"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": time}]}))
        };
        for (case, pod, seconds, ready, available) in [
            ("no status", pod(json!({})), 0, false, false),
            ("ready, no minimum", since("True", "2026-01-01T00:00:59Z"), 0, true, true),
            ("ready for too short", since("True", "2026-01-01T00:00:51Z"), 10, true, false),
            ("ready for long enough", since("True", "2026-01-01T00:00:50Z"), 10, true, true),
            ("not ready", since("False", "2026-01-01T00:00:00Z"), 0, false, false),
        ] {
            assert_eq!((is_ready(&pod), is_available(&pod, seconds, now)), (ready, available), "{case}");
        }
    }

    #[test]
    fn active_is_neither_finished_nor_deleting() {
        assert!(is_active(&pod(json!({"phase": "Running"}))));
        assert!(!is_active(&pod(json!({"phase": "Failed"}))));
        let mut deleting = pod(json!({"phase": "Running"}));
        deleting.metadata.deletion_timestamp = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
        assert!(!is_active(&deleting));
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ready = |status: &str, reason: &str| PodCondition {
            type_: "Ready".into(),
            status: status.into(),
            reason: Some(reason.into()),
            ..PodCondition::default()
        };
        let mut pod = pod(json!({}));
        assert!(set_condition(&mut pod, ready("False", "a"), at("2026-01-01T00:00:00Z")));
        assert!(!set_condition(&mut pod, ready("False", "a"), at("2026-01-01T00:00:05Z")));
        assert!(set_condition(&mut pod, ready("False", "b"), at("2026-01-01T00:00:06Z")));
        let time = |pod: &Pod| condition(pod, "Ready").unwrap().last_transition_time.clone().unwrap().0;
        assert_eq!(time(&pod), at("2026-01-01T00:00:00Z"));
        assert!(set_condition(&mut pod, ready("True", "b"), at("2026-01-01T00:00:07Z")));
        assert_eq!(time(&pod), at("2026-01-01T00:00:07Z"));
    }
}
