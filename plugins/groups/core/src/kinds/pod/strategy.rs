//! What is special about pods: defaults, the state they start in, how they go.

use sdk_api::k8s_openapi::api::core::v1::{Pod, PodCondition, PodIP};
use sdk_api::{Timestamp, Violations};
use sdk_plugin::{Grace, Strategy};
use sdk_workload::{is_bound, is_finished, pod_defaults, qos_class, set_condition};

use super::super::fields::text;
use super::{matching, parts, resize, status, update, validate};

/// The strategy of pods.
pub struct PodStrategy;
impl Strategy for PodStrategy {
    type Object = Pod;

    fn default(&self, pod: &mut Pod) {
        pod_defaults(pod.spec.get_or_insert_default());
        let Some(status) = &mut pod.status else { return };
        // `podIP` is the older name of the first of `podIPs`.
        let first = status.pod_ips.as_ref().and_then(|ips| ips.first()).map(|first| first.ip.clone());
        match (text(&status.pod_ip).to_owned(), first) {
            (old, None) if !old.is_empty() => status.pod_ips = Some(vec![PodIP { ip: old }]),
            (old, Some(first)) if old.is_empty() => status.pod_ip = Some(first),
            _ => {}
        }
    }

    fn prepare_create(&self, new: &mut Pod, now: Timestamp) {
        matching::merge_label_keys(new);
        let spec = new.spec.clone().unwrap_or_default();
        let status = new.status.insert(Default::default());
        status.phase = Some("Pending".into());
        status.qos_class = Some(qos_class(&spec).into());
        if spec.scheduling_gates.is_some_and(|gates| !gates.is_empty()) {
            let gated = PodCondition {
                type_: "PodScheduled".into(),
                status: "False".into(),
                reason: Some("SchedulingGated".into()),
                message: Some("Scheduling is blocked due to non-empty scheduling gates".into()),
                ..PodCondition::default()
            };
            set_condition(new, gated, now);
        }
    }

    fn validate(&self, new: &Pod, old: Option<&Pod>) -> Violations {
        match old {
            Some(old) => update::validate(new, old),
            None => validate::creation(new),
        }
    }

    fn validate_part(&self, part: &str, new: &Pod, old: &Pod) -> Violations {
        match part {
            "ephemeralcontainers" => parts::validate_ephemeral(new, old),
            "resize" => resize::validate(new, old),
            _ => self.validate(new, Some(old)),
        }
    }

    fn validate_status(&self, new: &Pod, old: &Pod) -> Violations {
        status::validate(new, old)
    }

    fn warnings(&self, new: &Pod) -> Vec<String> {
        new.spec.as_ref().map(|spec| sdk_workload::warnings(spec, "spec")).unwrap_or_default()
    }

    /// A pod goes at once where nothing of it can run: not yet on a node, or finished. The request may shorten or
    /// lengthen what the spec says; a negative time counts as a second.
    fn grace(&self, pod: &Pod, asked: Option<i64>) -> Grace {
        if !is_bound(pod) || is_finished(pod) {
            return Grace::Seconds(0);
        }
        let stated = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        match asked.or(stated).unwrap_or(0) {
            seconds if seconds < 0 => Grace::Seconds(1),
            seconds => Grace::Seconds(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_new_pod_is_pending() {
        let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}});
        let mut new = pod(json!({"spec": {"containers": [container], "schedulingGates": [{"name": "g"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1"}}));
        PodStrategy.prepare_create(&mut new, Timestamp::UNIX_EPOCH);
        let status = serde_json::to_value(new.status).unwrap();
        let expected = json!({"phase": "Pending", "qosClass": "Burstable", "conditions": [{"type": "PodScheduled",
            "status": "False", "reason": "SchedulingGated", "lastTransitionTime": "1970-01-01T00:00:00Z",
            "message": "Scheduling is blocked due to non-empty scheduling gates"}]});
        assert_eq!(status, expected);
    }

    #[test]
    fn grace_is_for_pods_that_run() {
        let running = json!({"nodeName": "n", "terminationGracePeriodSeconds": 30});
        for (case, spec, phase, asked, seconds) in [
            ("not on a node", json!({"terminationGracePeriodSeconds": 30}), "Pending", None, 0),
            ("not on a node, asked", json!({"terminationGracePeriodSeconds": 30}), "Pending", Some(60), 0),
            ("finished", running.clone(), "Succeeded", None, 0),
            ("as it says", running.clone(), "Running", None, 30),
            ("shorter", running.clone(), "Running", Some(5), 5),
            ("forced", running.clone(), "Running", Some(0), 0),
            ("negative", running, "Running", Some(-7), 1),
            ("negative in the spec", json!({"nodeName": "n", "terminationGracePeriodSeconds": -1}), "Running", None, 1),
        ] {
            let pod = pod(json!({"spec": spec, "status": {"phase": phase}}));
            assert_eq!(PodStrategy.grace(&pod, asked), Grace::Seconds(seconds), "{case}");
        }
    }

    #[test]
    fn one_address_has_two_names() {
        for (case, status) in
            [("old to new", json!({"podIP": "10.0.0.1"})), ("new to old", json!({"podIPs": [{"ip": "10.0.0.1"}]}))]
        {
            let mut pod = pod(json!({"spec": {"containers": []}, "status": status}));
            PodStrategy.default(&mut pod);
            let expected = json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]});
            assert_eq!(serde_json::to_value(pod.status).unwrap(), expected, "{case}");
        }
    }
}
