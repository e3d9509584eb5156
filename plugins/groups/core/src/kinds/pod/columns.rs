//! The columns of pods, which sum up their containers.
//!
//! Source: the words that `kubectl get pods` shows, Kubernetes documentation "Pod Lifecycle" and "Debug Init Containers".

use sdk_api::{Timestamp, time};
use sdk_plugin::Column;
use sdk_plugin::cells::has_condition;
use serde_json::Value;

const NODE_LOST: &str = "NodeLost";

/// The table of pods.
pub const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Ready", |pod, _| Summary::of(pod).ready.into())
        .describe("The aggregate readiness state of this pod for accepting traffic."),
    Column::compute("Status", |pod, _| Summary::of(pod).reason.into())
        .describe("The aggregate status of the containers in this pod."),
    Column::compute("Restarts", |pod, now| Summary::of(pod).restarts(now).into()).describe(
        "The number of times the containers in this pod have been restarted and when the last container in this pod has \
         restarted.",
    ),
    Column::AGE,
    Column::compute("IP", |pod, _| {
        let first = pod["status"]["podIPs"][0]["ip"].as_str().or_else(|| pod["status"]["podIP"].as_str());
        filled(first)
    })
    .wide(),
    Column::compute("Node", |pod, _| filled(pod["spec"]["nodeName"].as_str())).wide(),
    Column::compute("Nominated Node", |pod, _| filled(pod["status"]["nominatedNodeName"].as_str())).wide(),
    Column::compute("Readiness Gates", |pod, _| gates(pod)).wide(),
];

fn filled(text: Option<&str>) -> Value {
    text.filter(|text| !text.is_empty()).unwrap_or("<none>").into()
}

fn items(list: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn gates(pod: &Value) -> Value {
    let wanted: Vec<&Value> = items(&pod["spec"]["readinessGates"]).collect();
    if wanted.is_empty() {
        return "<none>".into();
    }
    let conditions = &pod["status"]["conditions"];
    let open = wanted.iter().filter_map(|gate| gate["conditionType"].as_str());
    let open = open.filter(|condition| has_condition(conditions, condition)).count();
    format!("{open}/{}", wanted.len()).into()
}

/// What the containers of a pod come to.
struct Summary {
    ready: String,
    reason: String,
    restarts: i64,
    restarted: Option<Timestamp>,
}

/// Restarts so far, and when the last container ended before one.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container["restartCount"].as_i64().unwrap_or(0);
        let ended = container["lastState"]["terminated"]["finishedAt"].as_str();
        self.last = self.last.max(ended.and_then(|text| text.parse().ok()));
    }
}

/// Why a container ended: its reason, else its signal, else its exit code.
fn end_of(terminated: &Value) -> String {
    match (terminated["reason"].as_str().unwrap_or_default(), terminated["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let phase = status["phase"].as_str().unwrap_or_default();
        let mut reason = status["reason"].as_str().filter(|reason| !reason.is_empty()).unwrap_or(phase).to_owned();
        let conditions = &status["conditions"];
        if items(conditions).any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated") {
            reason = "SchedulingGated".into();
        }
        let is_sidecar = |name: &Value| {
            items(&spec["initContainers"])
                .any(|container| &container["name"] == name && container["restartPolicy"] == "Always")
        };
        let init_count = items(&spec["initContainers"]).count();
        let sidecars =
            items(&spec["initContainers"]).filter(|container| container["restartPolicy"] == "Always").count();
        let total = items(&spec["containers"]).count() + sidecars;

        let mut ready = 0;
        let mut restarts = Restarts::default();
        let mut of_sidecars = Restarts::default();
        let mut initializing = false;
        for (i, container) in items(&status["initContainerStatuses"]).enumerate() {
            restarts.add(container);
            let sidecar = is_sidecar(&container["name"]);
            if sidecar {
                of_sidecars.add(container);
            }
            let state = &container["state"];
            let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
            if !state["terminated"].is_null() && state["terminated"]["exitCode"].as_i64().unwrap_or(0) == 0 {
                continue;
            } else if sidecar && container["started"] == true {
                ready += usize::from(container["ready"] == true);
                continue;
            } else if !state["terminated"].is_null() {
                reason = format!("Init:{}", end_of(&state["terminated"]));
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                reason = format!("Init:{waiting}");
            } else {
                reason = format!("Init:{i}/{init_count}");
            }
            initializing = true;
            break;
        }

        if !initializing || has_condition(conditions, "Initialized") {
            restarts = of_sidecars;
            let mut running = false;
            for container in items(&status["containerStatuses"]).rev() {
                restarts.add(container);
                let state = &container["state"];
                let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
                if !waiting.is_empty() {
                    reason = waiting.into();
                } else if !state["terminated"].is_null() {
                    reason = end_of(&state["terminated"]);
                } else if container["ready"] == true && !state["running"].is_null() {
                    running = true;
                    ready += 1;
                }
            }
            if reason == "Completed" && running {
                reason = if has_condition(conditions, "Ready") { "Running".into() } else { "NotReady".into() };
            }
        }

        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if status["reason"] == NODE_LOST {
                reason = "Unknown".into();
            } else if !matches!(phase, "Failed" | "Succeeded") {
                reason = "Terminating".into();
            }
        }
        Self { ready: format!("{ready}/{total}"), reason, restarts: restarts.count, restarted: restarts.last }
    }

    fn restarts(&self, now: Timestamp) -> String {
        match self.restarted {
            Some(at) if self.restarts != 0 => format!("{} ({} ago)", self.restarts, time::age(at, now)),
            _ => self.restarts.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_read_as_kubectl_shows_them() {
        let one = json!({"containers": [{"name": "c"}]});
        let with_init = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let with_sidecar =
            json!({"containers": [{"name": "c"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        let running = json!({"name": "c", "ready": true, "restartCount": 0, "state": {"running": {}}});
        let crashing = json!({"name": "c", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:55Z"}}});
        let ended = |exit: i64, reason: &str| {
            json!({"name": "c", "restartCount": 0,
            "state": {"terminated": {"exitCode": exit, "reason": reason}}})
        };
        for (case, spec, status, deleting, expected) in [
            ("nothing yet", &one, json!({"phase": "Pending"}), false, ["0/1", "Pending", "0"]),
            (
                "running",
                &one,
                json!({"phase": "Running", "containerStatuses": [running]}),
                false,
                ["1/1", "Running", "0"],
            ),
            (
                "crashing",
                &one,
                json!({"phase": "Running", "containerStatuses": [crashing]}),
                false,
                ["0/1", "CrashLoopBackOff", "3 (5s ago)"],
            ),
            (
                "completed",
                &one,
                json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}),
                false,
                ["0/1", "Completed", "0"],
            ),
            (
                "failed",
                &one,
                json!({"phase": "Failed", "containerStatuses": [ended(1, "Error")]}),
                false,
                ["0/1", "Error", "0"],
            ),
            (
                "an exit code alone",
                &one,
                json!({"phase": "Failed", "containerStatuses": [ended(7, "")]}),
                false,
                ["0/1", "ExitCode:7", "0"],
            ),
            ("evicted", &one, json!({"phase": "Failed", "reason": "Evicted"}), false, ["0/1", "Evicted", "0"]),
            (
                "going",
                &one,
                json!({"phase": "Running", "containerStatuses": [running]}),
                true,
                ["1/1", "Terminating", "0"],
            ),
            (
                "going though finished",
                &one,
                json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}),
                true,
                ["0/1", "Completed", "0"],
            ),
            (
                "lost",
                &one,
                json!({"phase": "Running", "reason": "NodeLost", "containerStatuses": [running]}),
                true,
                ["1/1", "Unknown", "0"],
            ),
            (
                "gated",
                &one,
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
                false,
                ["0/1", "SchedulingGated", "0"],
            ),
            (
                "first of two to initialize",
                &with_init,
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
                false,
                ["0/1", "Init:0/2", "0"],
            ),
            (
                "second of two to initialize",
                &with_init,
                json!({"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]}),
                false,
                ["0/1", "Init:1/2", "0"],
            ),
            (
                "initializing fails",
                &with_init,
                json!({"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                false,
                ["0/1", "Init:Error", "2"],
            ),
            (
                "initializing crashes",
                &with_init,
                json!({"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
                false,
                ["0/1", "Init:CrashLoopBackOff", "2"],
            ),
            (
                "a sidecar counts",
                &with_sidecar,
                json!({"phase": "Running", "containerStatuses": [running],
                    "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "state": {"running": {}}}]}),
                false,
                ["2/2", "Running", "0"],
            ),
            (
                "one completed, one running and ready",
                &json!({"containers": [{"name": "c"}, {"name": "d"}]}),
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [ended(0, "Completed"), running]}),
                false,
                ["1/2", "Running", "0"],
            ),
        ] {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
            if deleting {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            let now = "2026-01-01T00:01:00Z".parse().unwrap();
            let cells: Vec<_> = COLUMNS[1..4].iter().map(|column| column.value(&pod, now)).collect();
            assert_eq!(cells, expected, "{case}");
        }
    }

    #[test]
    fn wide_columns() {
        let pod = json!({"spec": {"nodeName": "n", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "a", "status": "True"}]}});
        let cells: Vec<_> = COLUMNS[5..].iter().map(|column| column.value(&pod, Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(cells, ["10.0.0.1", "n", "<none>", "1/2"]);
        assert!(COLUMNS[5..].iter().all(|column| column.priority == 1));
    }
}
