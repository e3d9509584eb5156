//! The harness against the server in memory.

use std::sync::Mutex;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret};
use sdk_api::{Reason, Status};
use sdk_client::{DeleteOptions, Patch, Verb};
use sdk_plugin::controller::Typed;
use sdk_plugin::{Controller, EventNote, EventType, PlannedWrite, WriteNote};
use sdk_testkit::cache::{is_namespaced, resource_of};
use sdk_testkit::{Build, FakeApi, ManualClock, settle, until};
use serde_json::json;

use super::*;

/// The kinds of these tests; `add` makes one appear.
#[derive(Default)]
struct Kinds {
    resources: Mutex<Vec<GroupResource>>,
    turn: tokio::sync::watch::Sender<u64>,
}

impl Kinds {
    fn of(resources: &[GroupResource]) -> Arc<Self> {
        Arc::new(Self { resources: Mutex::new(resources.to_vec()), turn: tokio::sync::watch::Sender::new(0) })
    }

    fn remove(&self, resource: &GroupResource) {
        self.resources.lock().unwrap().retain(|other| other != resource);
        self.turn.send_modify(|turn| *turn += 1);
    }

    fn add(&self, resource: &GroupResource) {
        self.resources.lock().unwrap().push(resource.clone());
        self.turn.send_modify(|turn| *turn += 1);
    }
}

impl Catalogue for Kinds {
    fn resources(&self) -> Vec<GroupResource> {
        self.resources.lock().unwrap().clone()
    }

    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)> {
        Some((resource_of(api_version, kind), is_namespaced(kind)))
    }

    fn changed(&self) -> futures::future::BoxFuture<'static, ()> {
        let mut turn = self.turn.subscribe();
        Box::pin(async move {
            let _ = turn.changed().await;
        })
    }
}

struct World {
    clock: Arc<ManualClock>,
    api: FakeApi,
    informers: Informers,
    kinds: Arc<Kinds>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn world_of(api: FakeApi, clock: Arc<ManualClock>, controllers: Vec<Arc<dyn DynController>>) -> World {
    let informers = Informers::new(api.admin(), clock.clone());
    let kinds = Kinds::of(&[pods(), maps()]);
    let harness = Harness {
        clients: api.clients(),
        informers: informers.clone(),
        clock: clock.clone(),
        catalogue: kinds.clone(),
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(harness.run(controllers, stop.clone()));
    World { clock, api, informers, kinds, stop, task }
}

fn world<C: Controller>(controller: C) -> World {
    let clock = ManualClock::new();
    world_of(FakeApi::new(clock.clone()), clock, vec![Arc::new(Typed(controller))])
}

fn pods() -> GroupResource {
    GroupResource::of::<Pod>()
}

fn maps() -> GroupResource {
    GroupResource::of::<ConfigMap>()
}

/// Keeps as many pods as a ConfigMap's `data.count` says.
struct Keeper;

fn note(map: &ConfigMap, reason: &str, message: &str) -> Option<EventNote> {
    let regarding = json!({"kind": "ConfigMap", "namespace": map.metadata.namespace, "name": map.metadata.name});
    Some(EventNote { regarding, kind: EventType::Normal, reason: reason.into(), message: message.into() })
}

impl Controller for Keeper {
    type Object = ConfigMap;
    const NAME: &'static str = "keeper";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::controlled::<Pod, ConfigMap>()]
    }

    fn plan(&self, view: &View<'_>, map: &ConfigMap) -> Plan {
        let uid = map.metadata.uid.clone().unwrap_or_default();
        let wanted: usize = map.data.as_ref().map_or(0, |data| data["count"].parse().unwrap());
        let mut have = view.owned_by::<Pod>(&uid);
        have.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        let mut plan = Plan::nothing();
        for _ in have.len()..wanted {
            let body = json!({"apiVersion": "v1", "kind": "Pod", "spec": {},
                "metadata": {"generateName": "p-", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap",
                    "name": map.metadata.name, "uid": uid, "controller": true}]}});
            plan = plan.write(PlannedWrite::Create {
                resource: pods(),
                namespace: "n".into(),
                body,
                note: WriteNote {
                    success: note(map, "Made", "Created pod: {name}"),
                    failure: note(map, "Failed", "Error creating: {error}"),
                },
            });
        }
        for pod in have.iter().skip(wanted) {
            let key = Key::new(&pods(), "n", pod.metadata.name.as_deref().unwrap());
            plan = plan.delete(key, DeleteOptions::of_uid(pod.metadata.uid.as_deref().unwrap()));
        }
        plan
    }
}

fn counting(name: &str, count: usize) -> Build {
    Build::of::<ConfigMap>("n", name).set("data.count", count.to_string().into())
}

#[tokio::test]
async fn a_hundred_pods_take_a_hundred_creations() {
    let world = world(Keeper);
    world.api.seed(counting("a", 100));
    until("100 pods", || world.api.objects(&pods(), "n").len() == 100).await;
    settle().await;
    assert_eq!(world.api.count(Verb::Create, &pods()), 100);
    let writer = &world.api.writes()[0].subject.name;
    assert_eq!(writer, "system:serviceaccount:kube-system:keeper-controller");
    assert_eq!(world.clock.sleepers(), 0, "nobody polls");
}

#[tokio::test]
async fn a_frozen_cache_never_creates_too_many() {
    let world = world(Keeper);
    world.api.freeze(&pods());
    let map = world.api.seed(counting("a", 3));
    until("3 pods", || world.api.objects(&pods(), "n").len() == 3).await;
    // Every change of the map asks for a plan, and the cache of pods is still empty.
    for n in 0..5 {
        let patch = Patch::merge(json!({"data": {"n": n.to_string()}}));
        world.api.admin().patch(map.key(), "", patch).await.unwrap();
        settle().await;
    }
    world.clock.run_for(Duration::from_secs(60)).await;
    assert_eq!(world.api.count(Verb::Create, &pods()), 3);
    world.api.thaw(&pods());
    settle().await;
    assert_eq!(world.api.count(Verb::Create, &pods()), 3);
    let patch = Patch::merge(json!({"data": {"count": "5"}}));
    world.api.admin().patch(map.key(), "", patch).await.unwrap();
    until("5 pods", || world.api.count(Verb::Create, &pods()) == 5).await;
}

#[tokio::test]
async fn a_frozen_cache_never_deletes_too_many() {
    let world = world(Keeper);
    let map = world.api.seed(counting("a", 4));
    until("4 pods", || world.informers.opened(&pods()).is_some_and(|i| i.list("").len() == 4)).await;
    world.api.freeze(&pods());
    for count in ["2", "2", "2"] {
        let patch = Patch::merge(json!({"data": {"count": count, "x": world.api.revision().to_string()}}));
        world.api.admin().patch(map.key(), "", patch).await.unwrap();
        settle().await;
    }
    world.api.thaw(&pods());
    settle().await;
    assert_eq!(world.api.objects(&pods(), "n").len(), 2);
    let deletions = world.api.writes().iter().filter(|write| write.verb == Verb::Delete).count();
    assert_eq!(deletions, 2);
}

#[tokio::test]
async fn a_used_up_quota_costs_few_calls_and_is_told_once_counted() {
    let world = world(Keeper);
    let clock = world.clock.clone();
    world.api.intercept(|_, request| {
        let is_pod = request.verb == Verb::Create && request.target.resource == pods();
        is_pod.then(|| Status::forbidden(&pods(), "", "exceeded quota"))
    });
    world.api.seed(counting("a", 500));
    settle().await;
    let tries = || world.api.writes().iter().filter(|write| write.key.resource == pods()).count();
    assert_eq!(tries(), 1, "the first batch is one");
    clock.run_for(Duration::from_millis(5 + 10 + 20)).await;
    assert_eq!(tries(), 4);
    let events = world.api.objects(&GroupResource::of::<Event>(), "n");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].tree()["message"], "Error creating: pods is forbidden: exceeded quota");
    assert_eq!(events[0].tree()["count"], 4);
    assert_eq!(events[0].tree()["source"]["component"], "keeper-controller");
}

#[tokio::test]
async fn batches_grow_until_one_fails() {
    let world = world(Keeper);
    // The calls of batches 1, 2 and 4 pass, the first of 8 fails: its other seven pass. The frozen cache keeps the next
    // plan back.
    let seen = Arc::new(Mutex::new(0));
    world.api.intercept(move |_, request| {
        if request.verb != Verb::Create || request.target.resource != pods() {
            return None;
        }
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        (*seen == 8).then(|| Status::new(500, Reason::InternalError, "no"))
    });
    world.api.freeze(&pods());
    world.api.seed(counting("a", 100));
    settle().await;
    assert_eq!(world.api.count(Verb::Create, &pods()), 1 + 2 + 4 + 7);
    world.api.thaw(&pods());
    world.clock.run_for(Duration::from_millis(5)).await;
    assert_eq!(world.api.count(Verb::Create, &pods()), 100, "the second plan counts what the first made");
}

#[tokio::test]
async fn success_is_told_with_the_name() {
    let world = world(Keeper);
    world.api.seed(counting("a", 1));
    settle().await;
    let pod = world.api.objects(&pods(), "n")[0].name().to_owned();
    let events = world.api.objects(&GroupResource::of::<Event>(), "n");
    assert_eq!(events[0].tree()["message"], format!("Created pod: {pod}"));
}

#[tokio::test]
async fn a_deletion_that_comes_too_late_is_no_failure() {
    let world = world(Keeper);
    let map = world.api.seed(counting("a", 2));
    until("2 pods", || world.informers.opened(&pods()).is_some_and(|i| i.list("").len() == 2)).await;
    settle().await;
    world.api.freeze(&pods());
    for pod in world.api.objects(&pods(), "n") {
        world.api.remove(pod.key());
    }
    world.api.admin().patch(map.key(), "", Patch::merge(json!({"data": {"count": "0"}}))).await.unwrap();
    settle().await;
    world.api.thaw(&pods());
    world.clock.run_for(Duration::from_secs(1)).await;
    let told = world.api.objects(&GroupResource::of::<Event>(), "n");
    assert!(told.iter().all(|event| event.tree()["reason"] == "Made"));
    assert_eq!(world.clock.sleepers(), 0);
}

/// Wishes to be looked at again, and copies a Secret's data; conflicts, retries and confirmations.
struct Copier;

impl Controller for Copier {
    type Object = ConfigMap;
    const NAME: &'static str = "copier";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::reads::<Secret>()]
    }

    fn plan(&self, view: &View<'_>, map: &ConfigMap) -> Plan {
        let data = map.data.clone().unwrap_or_default();
        let key = Key::new(&maps(), "n", map.metadata.name.as_deref().unwrap());
        let wait = |name: &str| data.get(name).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        match data["do"].as_str() {
            "tick" => Plan::look_again_in(wait("every").unwrap()).patch(
                key,
                "",
                Patch::merge(json!({"data": {"at": view.now.to_string()}})),
            ),
            "panic" => panic!("as ordered"),
            "retry" => Plan { retry: Some("not ready".into()), ..Plan::nothing() },
            "tell" if data.contains_key("told") => Plan::nothing(),
            "tell" => match view.cache.last_failure() {
                None => self.plan_gone(view, &Key::new(&maps(), "n", "secret")),
                Some(failure) => {
                    Plan::nothing().patch(key, "", Patch::merge(json!({"data": {"told": failure.message}})))
                }
            },
            "confirm" => {
                let secret = Key::of::<Secret>("n", "s");
                let done = Patch::merge(json!({"data": {"do": "rest"}}));
                Plan::nothing().confirm_alive(secret, "uid-s").patch(key, "", done)
            }
            _ => Plan::nothing(),
        }
    }

    fn plan_gone(&self, _view: &View<'_>, key: &Key) -> Plan {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": &*key.name}});
        Plan::nothing().write(PlannedWrite::Create {
            resource: GroupResource::of::<Secret>(),
            namespace: "n".into(),
            body,
            note: WriteNote::default(),
        })
    }
}

fn doing(what: &str) -> Build {
    Build::of::<ConfigMap>("n", "m").set("data.do", what.into())
}

#[tokio::test]
async fn wishes_to_look_again_are_kept() {
    let world = world(Copier);
    let map = world.api.seed(doing("tick").set("data.every", "10".into()));
    settle().await;
    assert_eq!(world.api.tree(map.key())["data"]["at"], "2026-01-01T00:00:00Z");
    world.clock.run_for(Duration::from_secs(25)).await;
    assert_eq!(world.api.tree(map.key())["data"]["at"], "2026-01-01T00:00:20Z");
}

#[tokio::test]
async fn a_plan_that_panics_or_is_not_ready_backs_off_alone() {
    for what in ["panic", "retry"] {
        let world = world(Copier);
        let map = world.api.seed(doing(what));
        settle().await;
        assert_eq!(world.clock.next_wake(), Some(Duration::from_millis(5)), "{what}");
        world.api.admin().patch(map.key(), "", Patch::merge(json!({"data": {"do": "rest"}}))).await.unwrap();
        world.clock.run_for(Duration::from_secs(1)).await;
        assert_eq!(world.clock.sleepers(), 0, "{what}");
    }
}

#[tokio::test]
async fn nothing_is_done_unless_a_live_read_confirms() {
    let world = world(Copier);
    let map = world.api.seed(doing("confirm"));
    world.api.seed(Build::of::<Secret>("n", "s").uid("another"));
    world.clock.run_for(Duration::from_millis(50)).await;
    assert_eq!(world.api.tree(map.key())["data"]["do"], "confirm");
    world.api.seed(Build::of::<Secret>("n", "s").deleting("2026-01-01T00:00:00Z").finalizer("x"));
    world.clock.run_for(Duration::from_millis(500)).await;
    assert_eq!(world.api.tree(map.key())["data"]["do"], "confirm");
    world.api.seed(Build::of::<Secret>("n", "s"));
    world.clock.run_for(Duration::from_secs(5)).await;
    assert_eq!(world.api.tree(map.key())["data"]["do"], "rest");
}

#[tokio::test]
async fn a_plan_learns_how_the_last_one_failed() {
    let world = world(Copier);
    let map = world.api.seed(doing("tell"));
    world.api.fail_next(Verb::Create, &GroupResource::of::<Secret>(), Status::internal("no"));
    world.clock.run_for(Duration::from_secs(1)).await;
    assert_eq!(world.api.tree(map.key())["data"]["told"], "Internal error occurred: no");
    assert_eq!(world.clock.sleepers(), 0);
}

#[tokio::test]
async fn gone_objects_are_planned_as_gone() {
    let world = world(Copier);
    let map = world.api.seed(doing("rest"));
    settle().await;
    world.api.remove(map.key());
    let secrets = GroupResource::of::<Secret>();
    until("the secret", || world.api.objects(&secrets, "n").len() == 1).await;
}

#[tokio::test]
async fn stopping_ends_all_tasks() {
    let world = world(Keeper);
    world.api.seed(counting("a", 10));
    settle().await;
    world.stop.cancel();
    world.task.await.unwrap();
    let count = world.api.count(Verb::Create, &pods());
    world.api.seed(counting("b", 10));
    settle().await;
    assert_eq!(world.api.count(Verb::Create, &pods()), count);
}

/// Writes down every key of everything.
struct Follower(Mutex<HashSet<Key>>);

impl DynController for Follower {
    fn name(&self) -> &'static str {
        "follower"
    }

    fn resource(&self) -> Option<GroupResource> {
        None
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::everything(|_, object| vec![object.key().clone()])]
    }

    fn plan(&self, _: &View<'_>, key: &Key, object: Option<&Arc<Object>>) -> Plan {
        let mut seen = self.0.lock().unwrap();
        if object.is_some() {
            seen.insert(key.clone())
        } else {
            seen.remove(key)
        };
        Plan::nothing()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[tokio::test]
async fn kinds_that_appear_are_followed() {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let follower = Arc::new(Follower(Mutex::default()));
    let world = world_of(api.clone(), clock, vec![follower.clone()]);
    let pod = api.seed(Build::pod("n", "a"));
    let secret = api.seed(Build::of::<Secret>("n", "s"));
    settle().await;
    assert_eq!(*follower.0.lock().unwrap(), HashSet::from([pod.key().clone()]));
    world.kinds.add(&GroupResource::of::<Secret>());
    settle().await;
    assert!(follower.0.lock().unwrap().contains(secret.key()));
    api.remove(pod.key());
    settle().await;
    assert!(!follower.0.lock().unwrap().contains(pod.key()));

    // A kind that goes and comes again is followed anew.
    let secrets = GroupResource::of::<Secret>();
    world.kinds.remove(&secrets);
    settle().await;
    assert!(world.informers.opened(&secrets).is_none());
    world.kinds.add(&secrets);
    let second = api.seed(Build::of::<Secret>("n", "t"));
    settle().await;
    assert!(follower.0.lock().unwrap().contains(second.key()));
}
