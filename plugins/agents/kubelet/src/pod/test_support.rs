//! Builders for the tests of pods.

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_plugin::node::{Container, ContainerState, Sandbox};
use serde_json::{Value, json};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn container(name: &str) -> Value {
    json!({"name": name, "image": "image:1"})
}

pub(crate) fn pod(spec: Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "ns", "uid": "uid", "generation": 1});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

pub(crate) fn sandbox(id: &str, attempt: u32, ready: bool) -> Sandbox {
    Sandbox {
        id: id.into(),
        pod_uid: "uid".into(),
        pod_name: "p".into(),
        pod_namespace: "ns".into(),
        attempt,
        ready,
        created: at(i64::from(attempt)),
        labels: Default::default(),
        annotations: Default::default(),
        ips: vec!["10.0.0.5".into()],
    }
}

/// A run in sandbox `s0` with the ID `{name}{attempt}`; `state` is `running`, `created` or `exited CODE`.
pub(crate) fn run(name: &str, attempt: u32, state: &str) -> Container {
    let code = state.strip_prefix("exited ").map(|code| code.parse().unwrap());
    let state = match state {
        "running" => ContainerState::Running,
        "created" => ContainerState::Created,
        _ => ContainerState::Exited,
    };
    Container {
        id: format!("{name}{attempt}"),
        sandbox_id: "s0".into(),
        name: name.into(),
        attempt,
        state,
        created: at(i64::from(attempt) * 10),
        started: (state != ContainerState::Created).then(|| at(i64::from(attempt) * 10 + 1)),
        finished: code.map(|_| at(i64::from(attempt) * 10 + 5)),
        exit_code: code.unwrap_or(0),
        reason: String::new(),
        message: String::new(),
        image: "image:1".into(),
        image_ref: "sha256:1".into(),
        labels: Default::default(),
        annotations: Default::default(),
        log_path: String::new(),
    }
}
