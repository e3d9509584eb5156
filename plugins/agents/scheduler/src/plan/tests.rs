//! Tables of `plan`.

use sdk_testkit::Build;
use serde_json::{Value, json};

use super::*;
use crate::plugins::{self, testing};

fn planner(seed: u64) -> Planner {
    Planner::new(plugins::filters(), plugins::scores(), seed)
}

/// The name of the node that a pod gets, or the message.
fn schedule(planner: &mut Planner, cluster: &mut Cluster, pod: Build) -> Result<String, String> {
    let pod = Pod::read(&pod.object()).unwrap();
    let class = cluster.intern(pod.class.clone());
    match planner.schedule(&pod, &class, cluster) {
        Ok(node) => Ok(cluster.nodes.name[node as usize].to_string()),
        Err(diagnosis) => Err(diagnosis.to_string()),
    }
}

fn pod(name: &str, cpu: &str) -> Build {
    let requests = json!({"cpu": cpu});
    Build::pod("n", name).set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
}

#[test]
fn every_node_counts_in_the_answer() {
    let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
    let on = |term: Value| {
        let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        pod("p", "1").set(path, json!([{"matchFields": [term]}]))
    };
    let named = |name: &str| on(json!({"key": "metadata.name", "operator": "In", "values": [name]}));
    let nodes = || {
        [
            Build::node("a"),
            Build::node("b").set("spec.taints", taint.clone()),
            Build::node("c").set("spec.unschedulable", json!(true)),
        ]
    };
    for (case, pod, answer) in [
        ("the one that is left", pod("p", "1"), Ok("a")),
        (
            "a reason for each",
            pod("p", "5"),
            Err("0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), \
                 1 node(s) were unschedulable."),
        ),
        ("a node by name", named("a"), Ok("a")),
        (
            "a tainted one by name",
            named("b"),
            Err("0/3 nodes are available: 1 node(s) had untolerated taint(s), \
                 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."),
        ),
        (
            "an unknown one by name",
            named("z"),
            Err("0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."),
        ),
        (
            "a selector",
            pod("p", "1").set("spec.nodeSelector", json!({"disk": "ssd"})),
            Err("0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
                 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."),
        ),
    ] {
        let answer = answer.map(str::to_owned).map_err(str::to_owned);
        let mut cluster = testing::cluster(nodes());
        let mut planner = planner(1);
        assert_eq!(schedule(&mut planner, &mut cluster, pod.clone()), answer, "{case}");
        assert_eq!(schedule(&mut planner, &mut cluster, pod), answer, "{case}, from what is kept");
    }
    let empty = schedule(&mut planner(1), &mut testing::cluster([]), pod("p", "1"));
    assert_eq!(empty, Err("no nodes available to schedule pods".into()));
}

/// What is kept between cycles must never show: after every change, a planner that remembers answers like one that
/// has just been made.
#[test]
fn what_is_kept_answers_like_a_fresh_look() {
    let mut random = Random::new(42);
    let mut cluster = testing::cluster((0..12).map(|n| {
        Build::node(&format!("n{n}")).label("topology.kubernetes.io/zone", if n % 2 == 0 { "a" } else { "b" })
    }));
    let set = Build::replica_set("n", "web", 9);
    let mut keeps = planner(0);
    for step in 0..600 {
        let name = format!("p{step}");
        let cpu = ["100m", "500m", "1", "3"][random.below(4)];
        let mut one = pod(&name, cpu);
        if random.below(3) == 0 {
            one = one.label("app", "web").controlled_by(&set);
        }
        if random.below(4) == 0 {
            let term =
                json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "lone"}}}]);
            let path = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
            one = one.label("app", "lone").set_at(&path, term);
        }
        let mut fresh = planner(0);
        fresh.random = keeps.random.clone();
        let expected = schedule(&mut fresh, &mut cluster, one.clone());
        let got = schedule(&mut keeps, &mut cluster, one.clone());
        assert_eq!(got, expected, "step {step}");
        match got {
            Ok(node) if random.below(4) > 0 => testing::place(&mut cluster, one.on_node(&node)),
            _ => {
                let gone = format!("uid-p{}", random.below(step + 1));
                cluster.unplace(&gone);
            }
        }
        if random.below(10) == 0 {
            let name = format!("n{}", random.below(14));
            let node = Build::node(&name).set("spec.unschedulable", json!(random.below(2) == 0));
            match random.below(4) {
                0 => drop(cluster.remove_node(&name)),
                _ => drop(cluster.set_node(crate::node::Node::read(&node.object()).unwrap())),
            }
        }
    }
}

#[test]
fn nominated_pods_keep_their_room() {
    let mut cluster = testing::cluster([Build::node("a")]);
    let first = Pod::read(&pod("first", "3").set("spec.priority", json!(10)).object()).unwrap();
    let class = cluster.intern(first.class.clone());
    cluster.nominate(&first.uid, Some(crate::cluster::Nominated { key: first.key.clone(), class, node: "a".into() }));
    let mut planner = planner(1);
    let lower = schedule(&mut planner, &mut cluster, pod("lower", "2"));
    assert_eq!(lower, Err("0/1 nodes are available: 1 Insufficient cpu.".into()));
    assert_eq!(schedule(&mut planner, &mut cluster, pod("small", "1")), Ok("a".into()));
    let higher = pod("higher", "2").set("spec.priority", json!(20));
    assert_eq!(schedule(&mut planner, &mut cluster, higher), Ok("a".into()));
    assert!(cluster.pod("uid-first").is_none(), "it was there only to look");
}

#[test]
fn pods_of_one_owner_go_to_different_nodes() {
    let mut cluster = testing::cluster((0..4).map(|n| Build::node(&format!("n{n}"))));
    let set = Build::replica_set("n", "web", 4);
    let mut planner = planner(3);
    for n in 0..4 {
        let one = pod(&format!("w{n}"), "10m").controlled_by(&set);
        let node = schedule(&mut planner, &mut cluster, one.clone()).unwrap();
        testing::place(&mut cluster, one.on_node(&node));
    }
    assert!(cluster.nodes.placed.iter().all(|pods| pods.len() == 1));
}
