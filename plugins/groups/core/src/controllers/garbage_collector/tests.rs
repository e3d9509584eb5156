//! The garbage collector at work against the server in memory.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use sdk_api::k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use sdk_client::{DeleteOptions, Propagation, Verb};
use sdk_controller::{Catalogue, Harness, Informers};
use sdk_testkit::cache::{is_namespaced, resource_of};
use sdk_testkit::{Build, FakeApi, ManualClock, settle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Default)]
struct Kinds(Mutex<Vec<GroupResource>>, Arc<Notify>);

impl Catalogue for Kinds {
    fn resources(&self) -> Vec<GroupResource> {
        self.0.lock().unwrap().clone()
    }

    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)> {
        let resource = resource_of(api_version, kind);
        self.0.lock().unwrap().contains(&resource).then(|| (resource, is_namespaced(kind)))
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.1.clone().notified_owned())
    }
}

struct World {
    clock: Arc<ManualClock>,
    api: FakeApi,
    kinds: Arc<Kinds>,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    fn start() -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let kinds = Arc::new(Kinds(
            Mutex::new(vec![
                GroupResource::of::<ConfigMap>(),
                GroupResource::of::<Deployment>(),
                GroupResource::of::<Node>(),
                GroupResource::of::<Pod>(),
                GroupResource::of::<ReplicaSet>(),
            ]),
            Arc::default(),
        ));
        let informers = Informers::new(api.admin(), clock.clone());
        let harness = Harness { clients: api.clients(), informers, clock: clock.clone(), catalogue: kinds.clone() };
        let stop = CancellationToken::new();
        tokio::spawn(harness.run(vec![Arc::new(GarbageCollector)], stop.clone()));
        Self { clock, api, kinds, _stop: stop.drop_guard() }
    }

    async fn settle(&self) {
        settle().await;
        self.clock.run_for(Duration::from_secs(1)).await;
    }

    async fn delete(&self, object: &Object, propagation: Propagation) {
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        self.api.admin().delete(object.key(), options).await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        let kinds = [
            GroupResource::of::<ConfigMap>(),
            GroupResource::of::<Deployment>(),
            GroupResource::of::<Node>(),
            GroupResource::of::<Pod>(),
            GroupResource::of::<ReplicaSet>(),
        ];
        let all = kinds.iter().flat_map(|kind| self.api.objects(kind, ""));
        let mut names: Vec<_> = all.map(|object| object.name().to_owned()).collect();
        names.sort();
        names
    }
}

fn map(name: &str) -> Build {
    Build::of::<ConfigMap>("n", name)
}

/// A deployment `d`, its set `s`, and two pods `p1` and `p2`.
fn family(world: &World) -> [Arc<Object>; 4] {
    let deployment = Build::deployment("n", "d", 2);
    let set = Build::replica_set("n", "s", 2).controlled_by(&deployment);
    let pod = |name: &str| Build::pod("n", name).controlled_by(&set);
    let (p1, p2) = (pod("p1"), pod("p2"));
    [deployment, set, p1, p2].map(|build| world.api.seed(build))
}

#[tokio::test]
async fn in_the_background_dependents_follow_their_owner() {
    let world = World::start();
    let [deployment, ..] = family(&world);
    world.settle().await;
    assert_eq!(world.names().len(), 4);
    world.delete(&deployment, Propagation::Background).await;
    world.settle().await;
    assert!(world.names().is_empty(), "{:?}", world.names());
    assert_eq!(world.clock.sleepers(), 0);
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let world = World::start();
    let [deployment, set, p1, _] = family(&world);
    // A pod on a node takes its time.
    let mut tree = (**p1.tree()).clone();
    tree["spec"]["nodeName"] = "x".into();
    world.api.seed(tree);
    world.settle().await;
    world.delete(&deployment, Propagation::Foreground).await;
    world.settle().await;
    assert_eq!(world.names(), ["d", "p1", "s"]);
    assert!(world.api.object(set.key()).unwrap().meta().is_deleting());
    world.api.remove(p1.key());
    world.settle().await;
    assert!(world.names().is_empty(), "{:?}", world.names());
}

#[tokio::test]
async fn orphans_lose_their_reference_before_their_owner_goes() {
    let world = World::start();
    let [_, set, p1, p2] = family(&world);
    world.settle().await;
    world.delete(&set, Propagation::Orphan).await;
    world.settle().await;
    assert_eq!(world.names(), ["d", "p1", "p2"]);
    for pod in [p1, p2] {
        assert!(world.api.object(pod.key()).unwrap().meta().owner_references.is_empty());
    }
    let deletions = world.api.writes().iter().filter(|write| write.verb == Verb::Delete).count();
    assert_eq!(deletions, 1, "the one of the test");
}

#[tokio::test]
async fn owners_are_known_by_their_uid() {
    let world = World::start();
    world.api.seed(map("owner").uid("old"));
    world.api.seed(map("child").owner("v1", "ConfigMap", "owner", "old", false));
    world.settle().await;
    world.api.remove(&Key::of::<ConfigMap>("n", "owner"));
    world.api.seed(map("owner").uid("new"));
    world.api.seed(map("grandchild").owner("v1", "ConfigMap", "owner", "new", false));
    world.settle().await;
    assert_eq!(world.names(), ["grandchild", "owner"]);
}

#[tokio::test]
async fn one_solid_owner_is_enough() {
    let world = World::start();
    let gone = world.api.seed(map("gone"));
    let child = map("child").owner("v1", "ConfigMap", "gone", "uid-gone", true).owner(
        "v1",
        "ConfigMap",
        "stays",
        "uid-stays",
        true,
    );
    world.api.seed(map("stays"));
    let child = world.api.seed(child);
    world.settle().await;
    world.delete(&gone, Propagation::Foreground).await;
    world.settle().await;
    assert_eq!(world.names(), ["child", "stays"]);
    let owners = &world.api.object(child.key()).unwrap().meta().owner_references.clone();
    assert_eq!((owners.len(), owners[0].uid.as_str()), (1, "uid-stays"));
}

#[tokio::test]
async fn only_those_that_block_are_waited_for() {
    let world = World::start();
    let owner = world.api.seed(map("owner"));
    world.api.seed(map("loose").owner("v1", "ConfigMap", "owner", "uid-owner", false).finalizer("x/y"));
    world.settle().await;
    world.delete(&owner, Propagation::Foreground).await;
    world.settle().await;
    assert_eq!(world.names(), ["loose"], "the owner is gone, the other waits for its finalizer");
    assert!(world.api.object(&Key::of::<ConfigMap>("n", "loose")).unwrap().meta().is_deleting());
}

#[tokio::test]
async fn scopes_are_respected() {
    let world = World::start();
    world.api.seed(Build::node("node"));
    world.api.seed(map("of-node").owner("v1", "Node", "node", "uid-node", false));
    world.api.seed(map("of-lost-node").owner("v1", "Node", "lost", "uid-lost", false));
    world.api.seed(Build::node("misplaced").owner("v1", "ConfigMap", "of-node", "uid-of-node", false));
    world.api.seed(Build::of::<ConfigMap>("m", "elsewhere").owner("v1", "ConfigMap", "of-node", "uid-of-node", false));
    world.api.seed(map("unknown-kind").owner("example.com/v1", "Thing", "t", "uid-t", false));
    world.settle().await;
    assert_eq!(world.names(), ["misplaced", "node", "of-node", "unknown-kind"]);
    let events = world.api.objects(&GroupResource::of::<Event>(), "default");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].tree()["reason"], "OwnerRefInvalidNamespace");
}

/// A kind may come, and an owner of it go, before the collector has listed the kind: no event ever names that owner.
#[tokio::test]
async fn an_owner_that_went_before_its_kind_was_known_takes_its_child() {
    let world = World::start();
    world.settle().await;
    world.api.seed(map("kept").owner("example.com/v1", "Thing", "t", "uid-t", false));
    world.settle().await;
    assert_eq!(world.names(), ["kept"], "nobody knows whether the owner is there");
    world.kinds.0.lock().unwrap().push(resource_of("example.com/v1", "Thing"));
    world.kinds.1.notify_waiters();
    world.clock.run_for(Duration::from_secs(10)).await;
    assert_eq!(world.names(), Vec::<String>::new());
}

#[tokio::test]
async fn an_owner_that_the_cache_has_not_seen_saves_its_child() {
    let world = World::start();
    world.settle().await;
    world.api.freeze(&GroupResource::of::<ReplicaSet>());
    let set = world.api.seed(Build::replica_set("n", "s", 1));
    world.api.seed(Build::pod("n", "p").owner("apps/v1", "ReplicaSet", "s", "uid-s", true));
    world.settle().await;
    assert_eq!(world.names(), ["p", "s"]);
    assert_eq!(world.api.count(Verb::Delete, &GroupResource::of::<Pod>()), 0);
    world.api.thaw(&GroupResource::of::<ReplicaSet>());
    world.settle().await;
    world.delete(&set, Propagation::Background).await;
    world.settle().await;
    assert!(world.names().is_empty());
}

#[tokio::test]
async fn circles_do_not_wait_for_themselves() {
    let world = World::start();
    let a = world.api.seed(map("a").owner("v1", "ConfigMap", "b", "uid-b", true));
    world.api.seed(map("b").owner("v1", "ConfigMap", "a", "uid-a", true));
    world.settle().await;
    world.delete(&a, Propagation::Foreground).await;
    world.settle().await;
    assert!(world.names().is_empty(), "{:?}", world.names());
}
