//! `/stats/summary` and `/metrics`: the little that is measured so far.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::Response;
use http_body_util::{BodyExt, Full};
use sdk_api::time::rfc3339;
use sdk_plugin::node::{ContainerState, ContainerStats};
use serde_json::{Value, json};

use crate::running::Node;
use crate::server::{Body, NodeServer, json as json_answer};

/// The summary of the first node here; the others' pods are in it too, since they share the machine.
pub(crate) async fn summary(server: &NodeServer) -> Response<Body> {
    let mut pods = vec![];
    let mut name = String::new();
    for node in server.nodes() {
        if name.is_empty() {
            name.clone_from(&node.settings.node_name);
        }
        match node.runtime().stats().await {
            Ok(stats) => pods.extend(of_pods(&node, stats)),
            Err(error) => tracing::debug!(%error, "The runtime gave no statistics."),
        }
    }
    json_answer(&json!({"node": {"nodeName": name}, "pods": pods}))
}

fn of_pods(node: &Node, stats: Vec<ContainerStats>) -> Vec<Value> {
    let mut by_pod: BTreeMap<String, Vec<ContainerStats>> = BTreeMap::new();
    // Containers that have ended use nothing, and have no time.
    for stat in stats.into_iter().filter(|stat| stat.time.is_some()) {
        by_pod.entry(stat.pod_uid.clone()).or_default().push(stat);
    }
    let describe = |(uid, stats): (String, Vec<ContainerStats>)| {
        let pod = node.slot(&uid)?.pod()?;
        let one = |stat: &ContainerStats| {
            let time = stat.time.map(rfc3339);
            json!({
                "name": stat.name,
                "cpu": {"time": time, "usageCoreNanoSeconds": stat.cpu_usage_nanos},
                "memory": {"time": time, "workingSetBytes": stat.memory_working_set_bytes},
            })
        };
        let reference = json!({"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": uid});
        Some(json!({"podRef": reference, "containers": stats.iter().map(one).collect::<Vec<_>>()}))
    };
    by_pod.into_iter().filter_map(describe).collect()
}

pub(crate) fn metrics(server: &NodeServer) -> Response<Body> {
    let (mut pods, mut containers) = (0, BTreeMap::<&str, usize>::new());
    for node in server.nodes() {
        for slot in node.slots() {
            let state = slot.state();
            pods += usize::from(state.observed.sandbox().is_some_and(|sandbox| sandbox.ready));
            for run in &state.observed.containers {
                let name = match run.state {
                    ContainerState::Created => "created",
                    ContainerState::Running => "running",
                    ContainerState::Exited => "exited",
                    ContainerState::Unknown => "unknown",
                };
                *containers.entry(name).or_default() += 1;
            }
        }
    }
    let mut out = String::from(
        "# HELP kubelet_running_pods Number of pods that have a running pod sandbox\n# TYPE kubelet_running_pods gauge\n",
    );
    let _ = writeln!(out, "kubelet_running_pods {pods}");
    out.push_str("# HELP kubelet_running_containers Number of containers currently running\n");
    out.push_str("# TYPE kubelet_running_containers gauge\n");
    for (state, count) in containers {
        let _ = writeln!(out, "kubelet_running_containers{{container_state=\"{state}\"}} {count}");
    }
    let mut response = Response::new(Full::new(out.into()).boxed());
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
