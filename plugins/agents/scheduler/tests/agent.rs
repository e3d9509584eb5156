//! The scheduler against an API server in memory.

use std::sync::Arc;
use std::time::Duration;

use agents_scheduler::{Scheduler, Settings};
use sdk_api::k8s_openapi::api::core::v1::{Event, Node, Pod};
use sdk_api::{GroupResource, Key, Status};
use sdk_client::{Clients, Verb};
use sdk_plugin::{Agent, Context};
use sdk_testkit::{Build, FakeApi, ManualClock, settle, until};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct World {
    api: FakeApi,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), String>>,
}

fn start(api: &FakeApi, clock: &Arc<ManualClock>) -> (CancellationToken, tokio::task::JoinHandle<Result<(), String>>) {
    let scheduler = Scheduler::new(Settings::default());
    let stop = CancellationToken::new();
    let context = Context {
        client: api.client(&scheduler.identity()),
        clients: Arc::new(api.clone()),
        clock: clock.clone(),
        stop: stop.clone(),
    };
    (stop, tokio::spawn(async move { scheduler.run(context).await }))
}

impl World {
    fn new(nodes: impl IntoIterator<Item = Build>) -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        for node in nodes {
            api.seed(node);
        }
        let (stop, running) = start(&api, &clock);
        Self { api, clock, stop, running }
    }

    fn node_of(&self, pod: &str) -> Option<String> {
        let object = self.api.object(&Key::of::<Pod>("n", pod))?;
        object.tree()["spec"]["nodeName"].as_str().map(str::to_owned)
    }

    async fn bound(&self, pod: &str) -> String {
        until(&format!("{pod} is bound"), || self.node_of(pod).is_some()).await;
        self.node_of(pod).unwrap()
    }

    /// `reason: message` of the events about a pod.
    fn events(&self, pod: &str) -> Vec<String> {
        let events = self.api.objects(&GroupResource::of::<Event>(), "n");
        let about = events.iter().map(|event| event.tree().clone()).filter(|e| e["involvedObject"]["name"] == pod);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        about.map(|event| format!("{}: {}", text(&event["reason"]), text(&event["message"]))).collect()
    }

    fn condition(&self, pod: &str) -> Value {
        let tree = self.api.tree(&Key::of::<Pod>("n", pod));
        let conditions = tree["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "PodScheduled").unwrap_or_default()
    }
}

fn pod(name: &str, cpu: &str) -> Build {
    let requests = json!({"cpu": cpu});
    Build::pod("n", name).set("spec.containers", json!([{"name": "c", "resources": {"requests": requests}}]))
}

#[tokio::test]
async fn pods_are_bound_and_told_of() {
    let world = World::new([Build::node("node-1")]);
    world.api.seed(pod("web", "1"));
    assert_eq!(world.bound("web").await, "node-1");
    until("the event is there", || !world.events("web").is_empty()).await;
    assert_eq!(world.events("web"), ["Scheduled: Successfully assigned n/web to node-1"]);
    let write = world.api.writes().into_iter().find(|write| write.subresource == "binding").unwrap();
    assert_eq!(
        (write.subject.name.as_str(), &write.body["target"]["name"]),
        ("system:kube-scheduler", &json!("node-1"))
    );
    assert_eq!(write.body["metadata"]["uid"], "uid-web");
    settle().await;
    assert_eq!(world.clock.sleepers(), 0, "nobody polls");
    world.stop.cancel();
    world.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_so_and_is_bound_when_it_can_be() {
    let world = World::new([Build::node("node-1")]);
    world.api.seed(pod("big", "6"));
    let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                   1 Preemption is not helpful for scheduling.";
    until("its condition says so", || world.condition("big")["message"] == message).await;
    let condition = world.condition("big");
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Unschedulable")));
    until("an event says so", || world.events("big") == [format!("FailedScheduling: {message}")]).await;
    let patches = world.api.count(Verb::Patch, &GroupResource::of::<Pod>());
    world.clock.run_for(Duration::from_secs(600)).await;
    assert_eq!(world.api.count(Verb::Patch, &GroupResource::of::<Pod>()), patches, "time alone changes nothing");
    world.api.seed(Build::node("node-2").set("status.allocatable.cpu", json!("8")));
    assert_eq!(world.bound("big").await, "node-2");
}

#[tokio::test]
async fn a_binding_that_fails_is_tried_again_after_a_pause() {
    let world = World::new([Build::node("node-1")]);
    world.api.fail_next(Verb::Create, &GroupResource::of::<Pod>(), Status::unavailable("busy"));
    world.api.seed(pod("web", "1"));
    settle().await;
    assert_eq!(world.node_of("web"), None);
    world.clock.run_for(Duration::from_secs(1)).await;
    assert_eq!(world.bound("web").await, "node-1");
}

#[tokio::test]
async fn a_new_scheduler_knows_what_the_last_one_did() {
    let mut world = World::new([Build::node("node-1")]);
    world.api.seed(pod("one", "3"));
    world.bound("one").await;
    world.stop.cancel();
    (&mut world.running).await.unwrap().unwrap();
    world.api.seed(pod("two", "3"));
    (world.stop, world.running) = start(&world.api, &world.clock);
    until("it has no room", || world.condition("two")["status"] == "False").await;
    world.api.remove(&Key::of::<Pod>("n", "one"));
    assert_eq!(world.bound("two").await, "node-1");
}

#[tokio::test]
async fn nothing_is_missed_while_watches_end_and_expire() {
    let world = World::new([Build::node("node-1").set("status.allocatable.cpu", json!("100"))]);
    let (pods, nodes) = (GroupResource::of::<Pod>(), GroupResource::of::<Node>());
    for n in 0..30 {
        match n % 3 {
            0 => world.api.drop_watches(&pods),
            1 => world.api.compact(&pods),
            _ => world.api.compact(&nodes),
        }
        world.api.seed(pod(&format!("p{n}"), "1"));
    }
    // A watch that ended without an event pauses before the next.
    for _ in 0..20 {
        world.clock.run_for(Duration::from_secs(30)).await;
    }
    for n in 0..30 {
        assert_eq!(world.bound(&format!("p{n}")).await, "node-1");
    }
}

#[tokio::test]
async fn the_more_important_pod_takes_the_room() {
    let world = World::new([Build::node("node-1")]);
    world.api.seed(pod("low", "3"));
    world.bound("low").await;
    world.api.seed(pod("high", "3").set("spec.priority", json!(1000)));
    let low = Key::of::<Pod>("n", "low");
    until("the victim is being deleted", || world.api.object(&low).is_none_or(|pod| pod.meta().is_deleting())).await;
    until("it is nominated", || {
        world.api.tree(&Key::of::<Pod>("n", "high"))["status"]["nominatedNodeName"] == "node-1"
    })
    .await;
    if let Some(victim) = world.api.object(&low) {
        let conditions = victim.tree()["status"]["conditions"].clone();
        assert!(conditions.as_array().unwrap().iter().any(|c| c["type"] == "DisruptionTarget"), "{conditions}");
        world.api.remove(&low);
    }
    world.clock.run_for(Duration::from_secs(10)).await;
    assert_eq!(world.bound("high").await, "node-1");
    until("its end is told", || world.events("low").iter().any(|event| event.starts_with("Preempted: "))).await;
}

#[tokio::test]
async fn room_that_could_not_be_made_is_looked_for_again() {
    let world = World::new([Build::node("node-1")]);
    world.api.seed(pod("low", "3"));
    world.bound("low").await;
    world.api.fail_next(Verb::Delete, &GroupResource::of::<Pod>(), Status::unavailable("busy"));
    world.api.seed(pod("high", "3").set("spec.priority", json!(1000)));
    let low = Key::of::<Pod>("n", "low");
    settle().await;
    world.clock.run_for(Duration::from_secs(10)).await;
    until("the victim is being deleted", || world.api.object(&low).is_none_or(|pod| pod.meta().is_deleting())).await;
}

#[tokio::test]
async fn a_thousand_replicas_spread_evenly() {
    let world = World::new((0..10).map(|n| {
        Build::node(&format!("node-{n}"))
            .set("status.allocatable", json!({"cpu": "64", "memory": "256Gi", "pods": "200"}))
    }));
    let set = Build::replica_set("n", "web", 1000);
    for n in 0..1000 {
        world.api.seed(pod(&format!("web-{n}"), "10m").label("app", "web").controlled_by(&set));
    }
    let pods = GroupResource::of::<Pod>();
    until("all are bound", || world.api.writes().iter().filter(|w| w.subresource == "binding").count() == 1000).await;
    let mut counts = std::collections::BTreeMap::new();
    for object in world.api.objects(&pods, "n") {
        *counts.entry(object.tree()["spec"]["nodeName"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| *count == 100), "{counts:?}");
}
