//! Measures scheduling cycles without an API: how many pods a second get a node, with every node considered.
//!
//! `cargo run --release -p agents-scheduler --example cycles -- [nodes] [pods]`

use std::time::{Duration, Instant};

use agents_scheduler::core::{Core, Decision};
use agents_scheduler::plan::Planner;
use agents_scheduler::plugins;
use sdk_api::{GroupResource, Object};
use serde_json::{Value, json};

fn node(n: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{n}"), "labels": {
            "kubernetes.io/hostname": format!("node-{n}"), "topology.kubernetes.io/zone": format!("zone-{}", n % 3)}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "100Gi"}}})
}

fn pod(kind: &str, n: usize) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "n", "name": format!("p-{n}"), "uid": format!("uid-{n}"), "labels": {"app": "web"}},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "nginx:1",
            "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]}});
    match kind {
        "plain" => {}
        "one owner" => {
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                "uid": "owner", "controller": true}]);
        }
        "anti-affinity" => {
            pod["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]}});
        }
        "spread" => {
            pod["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "web"}}}]);
        }
        _ => pod["metadata"]["labels"]["own"] = n.to_string().into(),
    }
    pod
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let (nodes, pods) = (arguments.next().unwrap_or(5_000), arguments.next().unwrap_or(10_000));
    let (of_nodes, of_pods) = (GroupResource::new("", "nodes"), GroupResource::new("", "pods"));
    for kind in ["plain", "one owner", "anti-affinity", "spread", "all different"] {
        let count = if kind == "anti-affinity" { pods.min(nodes) } else { pods };
        let mut core = Core::new("default-scheduler", Planner::new(plugins::filters(), plugins::scores(), 1), 1);
        for n in 0..nodes {
            let object = Object::from_tree(&of_nodes, node(n));
            core.apply(object.key(), Some(&object), Duration::ZERO);
        }
        let documents: Vec<Object> = (0..count).map(|n| Object::from_tree(&of_pods, pod(kind, n))).collect();
        let start = Instant::now();
        for object in &documents {
            core.apply(object.key(), Some(object), Duration::ZERO);
        }
        let read = start.elapsed();
        let start = Instant::now();
        let mut bound = 0;
        while let Some(decision) = core.decide(Duration::ZERO) {
            bound += usize::from(matches!(decision, Decision::Bind { .. }));
        }
        let took = start.elapsed();
        println!(
            "{kind:>14}: {bound} of {count} pods on {nodes} nodes, {:.1} us a cycle, {:.0} pods/s; reading {:.1} us a pod",
            took.as_micros() as f64 / count as f64,
            count as f64 / took.as_secs_f64(),
            read.as_micros() as f64 / count as f64,
        );
    }
}
