//! Objects of kinds with a `ttl` go when nobody has written them for so long.

use std::sync::Arc;
use std::time::Duration;

use kernel_registry::{
    Caller, Change, FieldValidation, KindTable, PatchFormat, Registry, Setup, Warnings, WatchItem, WatchRequest,
};
use kernel_store::{Limits, MemoryStore, Store};
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Event};
use sdk_client::Subject;
use sdk_plugin::Kind;
use sdk_testkit::{ManualClock, settle};
use serde_json::json;

const TTL: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn registry(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>) -> Arc<Registry> {
    let table = KindTable::new([Kind::plain::<Event>().ttl(TTL), Kind::plain::<ConfigMap>()]).unwrap();
    Arc::new(Registry::new(Setup { store: store.clone(), table, admission: Vec::new(), clock: clock.clone(), seed: 7 }))
}

fn kind(registry: &Registry, plural: &str) -> Arc<Kind> {
    registry.table().rows().iter().find(|kind| kind.plural == plural).cloned().unwrap()
}

async fn create(registry: &Registry, plural: &str, name: &str) {
    let (user, warnings) = (Subject::new("tester", &[]), Warnings::default());
    let caller = Caller {
        user: &user,
        warnings: &warnings,
        dry_run: false,
        field_validation: FieldValidation::Ignore,
        manager: "",
    };
    let kind = kind(registry, plural);
    let body = json!({"apiVersion": "v1", "kind": kind.gvk.kind, "metadata": {"name": name, "namespace": "n"}});
    registry.create(&caller, &kind, "n", body.into()).await.unwrap();
}

async fn touch(registry: &Registry, name: &str) {
    let (user, warnings) = (Subject::new("tester", &[]), Warnings::default());
    let caller = Caller {
        user: &user,
        warnings: &warnings,
        dry_run: false,
        field_validation: FieldValidation::Ignore,
        manager: "",
    };
    let patch = Change::Patch(PatchFormat::Merge(json!({"reason": "Again"})));
    registry.update(&caller, &kind(registry, "events"), ("n", name, ""), patch).await.unwrap();
}

fn names(store: &MemoryStore, registry: &Registry, plural: &str) -> Vec<String> {
    let resource = kind(registry, plural).group_resource();
    let query = kernel_store::ListQuery { resource, namespace: None, at: None, after: None, limit: 0 };
    store.list(&query).unwrap().objects.iter().map(|object| object.name().to_owned()).collect()
}

#[tokio::test]
async fn what_nobody_writes_expires_and_is_told() {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::new(clock.clone(), Limits::default()));
    let first = registry(&store, &clock);
    create(&first, "events", "before-the-start").await;
    clock.advance(10 * MINUTE);
    let expiring = tokio::spawn(first.clone().expire());
    create(&first, "events", "a").await;
    create(&first, "events", "b").await;
    create(&first, "configmaps", "c").await;
    let request = WatchRequest { initial_events: false, ..WatchRequest::default() };
    let mut watching = first.watch(&kind(&first, "events"), "n", &request).await.unwrap();
    clock.run_for(49 * MINUTE).await;
    assert_eq!(names(&store, &first, "events"), ["a", "b", "before-the-start"]);
    assert_eq!(clock.sleepers(), 1, "it sleeps until one is due");
    clock.run_for(MINUTE).await;
    settle().await;
    assert_eq!(names(&store, &first, "events"), ["a", "b"]);
    let WatchItem::Deleted(gone) = watching.next().await.unwrap() else { panic!("it is told") };
    assert_eq!((gone.name(), gone.revision()), ("before-the-start", store.revision()));

    touch(&first, "a").await;
    clock.run_for(10 * MINUTE).await;
    settle().await;
    assert_eq!(names(&store, &first, "events"), ["a"], "the last write counts");

    // A new start finds out how old everything is.
    expiring.abort();
    clock.advance(40 * MINUTE);
    let second = registry(&store, &clock);
    let expiring = tokio::spawn(second.clone().expire());
    settle().await;
    assert_eq!(names(&store, &second, "events"), ["a"]);
    clock.run_for(10 * MINUTE).await;
    settle().await;
    assert_eq!(names(&store, &second, "events"), Vec::<String>::new());
    assert_eq!(names(&store, &second, "configmaps"), ["c"], "kinds without a ttl stay");
    assert_eq!(clock.sleepers(), 0, "nothing is due, nobody sleeps");
    expiring.abort();
}
