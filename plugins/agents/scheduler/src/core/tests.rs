//! Tables of `core`.

use sdk_testkit::Build;
use serde_json::json;

use super::*;
use crate::plugins;

struct World {
    core: Core,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let planner = Planner::new(plugins::filters(), plugins::scores(), 1);
        Self { core: Core::new("default-scheduler", planner, 1), now: Duration::ZERO }
    }

    fn see(&mut self, build: Build) {
        let object = build.object();
        self.core.apply(object.key(), Some(&object), self.now);
    }

    fn gone(&mut self, build: Build) {
        self.core.apply(build.object().key(), None, self.now);
    }

    /// All decisions that are due: `pod>node`, `pod: message`.
    fn decide(&mut self) -> Vec<String> {
        let decisions = std::iter::from_fn(|| self.core.decide(self.now));
        decisions
            .map(|decision| match decision {
                Decision::Bind { pod, node } => format!("{}>{node}", pod.key.name),
                Decision::Pend { pod, message, room } => match room {
                    None => format!("{}: {message}", pod.key.name),
                    Some(room) => {
                        let victims: Vec<_> = room.victims.iter().map(|v| v.key.name.to_string()).collect();
                        format!("{}: {} instead of {}", pod.key.name, room.node, victims.join(" "))
                    }
                },
            })
            .collect()
    }

    fn bound(&mut self, build: Build, result: Result<(), Status>) {
        let pod = Pod::read(&build.object()).unwrap();
        self.core.bound(&pod, &result, self.now);
    }
}

fn pod(name: &str, cpu: &str) -> Build {
    let requests = json!({"cpu": cpu});
    Build::pod("n", name).set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
}

fn node(name: &str, cpu: &str) -> Build {
    Build::node(name).set("status.allocatable.cpu", json!(cpu))
}

const NO_CPU: &str = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                      1 No preemption victims found for incoming pod.";
const TOO_SMALL: &str = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                         1 Preemption is not helpful for scheduling.";

#[test]
fn an_assumed_pod_takes_its_room_before_anybody_says_so() {
    let mut world = World::new();
    world.see(node("a", "2"));
    world.see(pod("one", "2"));
    world.see(pod("two", "2"));
    assert_eq!(world.decide(), ["one>a".to_owned(), format!("two: {NO_CPU}")]);
    world.bound(pod("one", "2"), Ok(()));
    world.see(pod("one", "2").on_node("a"));
    assert_eq!(world.decide(), Vec::<String>::new(), "its confirmation is no news");
    world.gone(pod("one", "2"));
    assert_eq!(world.decide(), ["two>a"], "its end is");
}

#[test]
fn a_failed_binding_gives_the_room_back_and_is_tried_again() {
    let mut world = World::new();
    world.see(node("a", "2"));
    world.see(pod("one", "2"));
    assert_eq!(world.decide(), ["one>a"]);
    world.bound(pod("one", "2"), Err(Status::unavailable("busy")));
    assert_eq!(world.core.cluster().nodes.cpu.used, [0]);
    assert_eq!(world.decide(), Vec::<String>::new(), "it backs off");
    world.now = Duration::from_secs(1);
    assert_eq!(world.decide(), ["one>a"]);
    world.see(pod("one", "2").on_node("a"));
    world.bound(pod("one", "2"), Err(Status::timeout("late answer")));
    assert_eq!(world.core.cluster().nodes.cpu.used, [2000], "it was seen there, whatever the answer");
    world.see(pod("two", "1"));
    world.decide();
    world.see(node("b", "2"));
    world.now = Duration::from_secs(20);
    assert_eq!(world.decide(), ["two>b"]);
    world.bound(pod("two", "1"), Err(Status::not_found(&GroupResource::new("", "pods"), "two")));
    world.now = Duration::from_secs(60);
    assert_eq!(world.decide(), Vec::<String>::new(), "a pod that is gone is dropped");
}

#[test]
fn only_what_may_help_has_a_pod_tried_again() {
    let mut world = World::new();
    world.see(node("a", "1"));
    world.see(pod("big", "2"));
    assert_eq!(world.decide(), [format!("big: {TOO_SMALL}")]);
    world.now = Duration::from_secs(60);
    world.see(node("a", "1").condition("Ready", "True", "Heartbeat"));
    world.see(node("a", "1").label("x", "y"));
    assert_eq!(world.decide(), Vec::<String>::new());
    world.see(node("a", "3"));
    assert_eq!(world.decide(), ["big>a"]);
}

#[test]
fn pods_that_are_none_of_its_business_are_left_alone() {
    let mut world = World::new();
    world.see(node("a", "4"));
    world.see(pod("other", "1").set("spec.schedulerName", json!("other-scheduler")));
    world.see(pod("leaving", "1").deleting("2026-01-01T00:00:00Z"));
    world.see(pod("done", "1").phase("Succeeded"));
    world.see(pod("there", "1").on_node("a"));
    world.see(pod("gated", "1").set("spec.schedulingGates", json!([{"name": "g"}])));
    assert_eq!(world.decide(), Vec::<String>::new());
    assert_eq!(world.core.cluster().nodes.cpu.used, [1000]);
    world.see(pod("there", "1").on_node("a").phase("Failed"));
    assert_eq!(world.core.cluster().nodes.cpu.used, [0], "a finished pod takes no room");
    world.see(pod("gated", "1"));
    assert_eq!(world.decide(), ["gated>a"]);
}

#[test]
fn a_pod_deleted_while_its_binding_failed_is_not_tried_again() {
    let mut world = World::new();
    world.see(node("a", "2"));
    world.see(pod("p", "1"));
    assert_eq!(world.decide(), ["p>a"]);
    world.see(pod("p", "1").deleting("2026-01-01T00:00:00Z"));
    world.bound(pod("p", "1"), Err(Status::unavailable("busy")));
    world.now = Duration::from_secs(60);
    assert_eq!(world.decide(), Vec::<String>::new());
}

#[test]
fn a_nomination_that_is_taken_back_holds_no_room() {
    let mut world = World::new();
    world.see(node("a", "2"));
    let high = pod("high", "4").set("spec.priority", json!(9));
    world.see(high.clone().set("status.nominatedNodeName", json!("a")));
    world.decide();
    world.see(high);
    world.see(pod("low", "2"));
    assert_eq!(world.decide(), ["low>a"]);
}

#[test]
fn without_nodes_pods_wait_for_the_first() {
    let mut world = World::new();
    world.see(pod("p", "1"));
    assert_eq!(world.decide(), ["p: no nodes available to schedule pods"]);
    world.now = Duration::from_secs(5);
    world.see(node("a", "4"));
    assert_eq!(world.decide(), ["p>a"]);
}

#[test]
fn a_name_that_is_used_again_is_another_pod() {
    let mut world = World::new();
    world.see(node("a", "2"));
    world.see(pod("p", "1").uid("first").on_node("a"));
    world.see(pod("p", "2").uid("second"));
    assert_eq!(world.decide(), ["p>a"]);
    assert_eq!(world.core.cluster().nodes.cpu.used, [2000]);
}

#[test]
fn room_is_made_for_the_more_important() {
    let mut world = World::new();
    world.see(node("a", "2"));
    let low = pod("low", "2").on_node("a");
    world.see(low.clone());
    let high = pod("high", "2").set("spec.priority", json!(9));
    world.see(high.clone());
    assert_eq!(world.decide(), ["high: a instead of low"]);
    world.see(high.set("status.nominatedNodeName", json!("a")));
    world.see(pod("next", "1"));
    world.now = Duration::from_secs(2);
    world.see(low.clone().deleting("2026-01-01T00:00:00Z"));
    world.gone(low);
    let decisions = world.decide();
    assert!(decisions.contains(&"high>a".to_owned()), "{decisions:?}");
    assert!(!decisions.contains(&"next>a".to_owned()), "the room is kept for whom it was made: {decisions:?}");
}
