//! What the API promises of resourceVersion, lists, watches, updates and deletions, on the memory store.

use std::sync::Arc;

use kernel_registry::{
    Caller, Change, DeleteRequest, FieldValidation, KindTable, ListRequest, PatchFormat, Registry, RevisionMatch,
    Setup, Warnings, WatchItem, WatchRequest,
};
use kernel_store::{Limits, MemoryStore};
use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use sdk_api::{FieldSelector, LabelSelector, Object, Status, SystemClock};
use sdk_client::{Propagation, Subject};
use sdk_plugin::Kind;
use serde_json::{Value, json};

struct Api {
    registry: Arc<Registry>,
    user: Subject,
    warnings: Warnings,
}

impl Api {
    fn new() -> Self {
        let clock = Arc::new(SystemClock::default());
        let table = KindTable::new([
            Kind::plain::<ConfigMap>(),
            Kind::plain::<Namespace>(),
            Kind::plain::<Lease>().revision_required().generation(),
        ])
        .unwrap();
        let store = Arc::new(MemoryStore::new(clock.clone(), Limits::default()));
        let registry = Registry::new(Setup { store, table, admission: Vec::new(), clock, seed: 7 });
        Self { registry: Arc::new(registry), user: Subject::new("tester", &[]), warnings: Warnings::default() }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            user: &self.user,
            warnings: &self.warnings,
            dry_run: false,
            field_validation: FieldValidation::Warn,
            manager: "tester",
        }
    }

    fn kind(&self, plural: &str) -> Arc<Kind> {
        let table = self.registry.table();
        table.rows().iter().find(|kind| kind.plural == plural).cloned().unwrap()
    }

    async fn create(&self, body: Value) -> Result<Arc<Object>, Status> {
        self.registry.create(&self.caller(), &self.kind("configmaps"), "n", body.into()).await
    }

    async fn update(&self, plural: &str, name: &str, change: Change) -> Result<Arc<Object>, Status> {
        let kind = self.kind(plural);
        Ok(self.registry.update(&self.caller(), &kind, ("n", name, ""), change).await?.object)
    }

    async fn merge(&self, name: &str, patch: Value) -> Result<Arc<Object>, Status> {
        self.update("configmaps", name, Change::Patch(PatchFormat::Merge(patch))).await
    }

    async fn get(&self, name: &str) -> Result<Arc<Object>, Status> {
        self.registry.get(&self.kind("configmaps"), "n", name, "", None).await
    }

    async fn list(&self, request: ListRequest) -> Result<kernel_registry::ObjectPage, Status> {
        self.registry.list(&self.kind("configmaps"), "n", &request).await
    }

    async fn delete(&self, name: &str, request: DeleteRequest) -> Result<kernel_registry::Deletion, Status> {
        self.registry.delete(&self.caller(), &self.kind("configmaps"), "n", name, &request).await
    }
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn rv(object: &Object) -> String {
    object.meta().resource_version.clone()
}

#[tokio::test]
async fn a_creation_is_completed_by_the_system() {
    let api = Api::new();
    let made = api.create(map("a")).await.unwrap();
    let tree = made.tree();
    assert_eq!((tree["kind"].as_str(), tree["apiVersion"].as_str()), (Some("ConfigMap"), Some("v1")));
    assert_eq!(made.uid().len(), 36);
    assert_eq!(rv(&made), made.revision().to_string());
    assert!(made.meta().creation_timestamp.is_some());
    assert_eq!(rv(&api.get("a").await.unwrap()), rv(&made));
    assert_eq!(api.create(map("a")).await.unwrap_err().message, "configmaps \"a\" already exists");
    let generated = api.create(json!({"metadata": {"generateName": "g-"}})).await.unwrap();
    assert!(generated.name().starts_with("g-") && generated.name().len() == 7);
}

#[tokio::test]
async fn bad_creations_are_refused_with_upstreams_words() {
    let api = Api::new();
    for (body, code, words) in [
        (json!({"metadata": {"name": "A"}}), 422, "metadata.name: Invalid value"),
        (json!({"metadata": {}}), 422, "name or generateName is required"),
        (json!({"metadata": {"name": "a", "namespace": "other"}}), 400, "does not match the namespace sent"),
        (json!({"metadata": {"name": "a", "resourceVersion": "5"}}), 400, "resourceVersion should not be set"),
        (json!({"metadata": {"name": "a"}, "data": {"k": 1}}), 400, "cannot unmarshal number"),
        (json!({"kind": "Secret", "metadata": {"name": "a"}}), 400, "cannot be handled as a ConfigMap"),
        (json!({"apiVersion": "v2", "metadata": {"name": "a"}}), 400, "does not match the expected API version"),
        (json!([]), 400, "not an object"),
    ] {
        let status = api.create(body.clone()).await.unwrap_err();
        assert_eq!(status.code, code, "{body}: {status}");
        assert!(status.message.contains(words), "{body}: {status}");
    }
    assert_eq!(api.list(ListRequest::default()).await.unwrap().objects.len(), 0, "nothing was stored");
}

#[tokio::test]
async fn unknown_fields_warn_or_refuse_as_asked() {
    let api = Api::new();
    let body = json!({"metadata": {"name": "a"}, "colour": "blue"});
    let made = api.create(body.clone()).await.unwrap();
    assert_eq!(api.warnings.take(), ["unknown field \"colour\""]);
    assert_eq!(made.tree().get("colour"), None);
    let strict = Caller { field_validation: FieldValidation::Strict, ..api.caller() };
    let status = api.registry.create(&strict, &api.kind("configmaps"), "n", body.into()).await.unwrap_err();
    assert!(status.message.contains("strict decoding error: unknown field \"colour\""), "{status}");

    // What a patch makes is refused as invalid, not as malformed.
    api.create(map("b")).await.unwrap();
    let place = ("n", "b", "");
    for (patch, shown) in [
        (PatchFormat::Strategic(json!({"colour": "red"})), "\"map[colour:red]\""),
        (PatchFormat::Merge(json!({"colour": "red"})), "\\\"colour\\\":\\\"red\\\""),
    ] {
        let change = Change::Patch(patch);
        let status =
            api.registry.update(&strict, &api.kind("configmaps"), place, change).await.map(|_| ()).unwrap_err();
        assert_eq!(status.code, 422, "{status}");
        assert!(status.message.contains(shown), "{status}");
        assert!(status.message.ends_with("strict decoding error: unknown field \"colour\""), "{status}");
    }
    let other = Change::Patch(PatchFormat::Merge(json!({"metadata": {"uid": "other"}})));
    let status = api.registry.update(&strict, &api.kind("configmaps"), place, other).await.map(|_| ()).unwrap_err();
    assert_eq!(
        status.message,
        "ConfigMap \"b\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable"
    );
}

#[tokio::test]
async fn updates_are_guarded_by_revision_and_uid() {
    let api = Api::new();
    let made = api.create(map("a")).await.unwrap();
    let mut body = Value::clone(made.tree());
    body["data"]["a"] = json!("2");
    let second = api.update("configmaps", "a", Change::Replace(body.clone().into())).await.unwrap();
    assert!(second.revision() > made.revision());
    // Stale.
    let status = api.update("configmaps", "a", Change::Replace(body.clone().into())).await.unwrap_err();
    assert!(status.is_conflict() && status.message.contains("the object has been modified"), "{status}");
    // A change that changes nothing keeps the revision.
    let same = api.merge("a", json!({"data": {"a": "2"}})).await.unwrap();
    assert_eq!(same.revision(), second.revision());
    // Without a revision a kind that allows it is overwritten.
    let third = api.update("configmaps", "a", Change::Replace(map("a").into())).await.unwrap();
    assert_eq!((third.uid(), third.tree()["data"]["a"].as_str()), (made.uid(), Some("1")));
    // The wrong incarnation.
    let stranger = json!({"metadata": {"name": "a", "uid": "x"}});
    assert_eq!(api.update("configmaps", "a", Change::Replace(stranger.into())).await.unwrap_err().code, 409);
    let status = api.merge("a", json!({"metadata": {"resourceVersion": "1"}})).await.unwrap_err();
    assert_eq!(status.code, 409, "a patch with a stale revision");
    assert_eq!(api.update("configmaps", "b", Change::Replace(map("b").into())).await.unwrap_err().code, 404);
    // A kind that demands a revision.
    let lease = json!({"metadata": {"name": "l"}, "spec": {}});
    api.registry.create(&api.caller(), &api.kind("leases"), "n", lease.clone().into()).await.unwrap();
    let status = api.update("leases", "l", Change::Replace(lease.into())).await.unwrap_err();
    assert!(
        status.message.contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{status}"
    );
}

#[tokio::test]
async fn concurrent_writers_lose_nothing() {
    let api = Arc::new(Api::new());
    let made = api.create(map("a")).await.unwrap();
    let patches = (0..50).map(|i| {
        let api = api.clone();
        tokio::spawn(async move { api.merge("a", json!({"data": {format!("k{i}"): "x"}})).await })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap().unwrap();
    }
    let data = api.get("a").await.unwrap().tree()["data"].as_object().unwrap().len();
    assert_eq!(data, 51, "all patches survive");
    let current = Value::clone(api.get("a").await.unwrap().tree());
    assert_ne!(current["metadata"]["resourceVersion"].as_str(), Some(rv(&made).as_str()));
    let puts = (0..50).map(|i| {
        let (api, mut body) = (api.clone(), current.clone());
        body["data"]["put"] = json!(i.to_string());
        tokio::spawn(async move { api.update("configmaps", "a", Change::Replace(body.into())).await.is_ok() })
    });
    let mut wins = 0;
    for put in puts.collect::<Vec<_>>() {
        wins += usize::from(put.await.unwrap());
    }
    assert_eq!(wins, 1, "of puts from one revision exactly one wins");
}

#[tokio::test]
async fn pages_are_one_snapshot() {
    let api = Api::new();
    for i in 0..10 {
        let body = json!({"metadata": {"name": format!("m{i}"), "labels": {"even": (i % 2 == 0).to_string()}}});
        api.create(body).await.unwrap();
    }
    let first = api.list(ListRequest { limit: 4, ..Default::default() }).await.unwrap();
    assert_eq!((first.objects.len(), first.remaining), (4, Some(6)));
    api.create(map("m45")).await.unwrap();
    api.delete("m9", DeleteRequest::default()).await.unwrap();
    let mut names: Vec<String> = first.objects.iter().map(|object| object.name().to_owned()).collect();
    let mut token = first.continue_token.clone();
    while !token.is_empty() {
        let page = api.list(ListRequest { limit: 4, continue_token: token, ..Default::default() }).await.unwrap();
        assert_eq!(page.revision, first.revision);
        names.extend(page.objects.iter().map(|object| object.name().to_owned()));
        token = page.continue_token;
    }
    assert_eq!(names, (0..10).map(|i| format!("m{i}")).collect::<Vec<_>>());
    // Selected pages omit nothing.
    let labels = LabelSelector::parse("even=true").unwrap();
    let (mut even, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListRequest { labels: labels.clone(), limit: 2, continue_token: token, ..Default::default() };
        let page = api.list(request).await.unwrap();
        even.extend(page.objects.iter().map(|object| object.name().to_owned()));
        token = page.continue_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(even, ["m0", "m2", "m4", "m6", "m8"]);
    for bad in [
        "x",
        "e30",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwicmVzb3VyY2UiOiJzZWNyZXRzIiwibmFtZXNwYWNlIjoibiIsIm5hbWUiOiJhIn0",
    ] {
        let request = ListRequest { limit: 4, continue_token: bad.into(), ..Default::default() };
        assert_eq!(api.list(request).await.unwrap_err().code, 400, "{bad}");
    }
    let request = ListRequest { continue_token: first.continue_token.clone(), revision: Some(5), ..Default::default() };
    assert_eq!(api.list(request).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn lists_at_a_revision_are_exact_or_gone() {
    let api = Api::new();
    let made = api.create(map("a")).await.unwrap();
    let then = made.revision();
    api.merge("a", json!({"data": {"a": "2"}})).await.unwrap();
    api.create(map("b")).await.unwrap();
    let exact = |revision| ListRequest {
        revision: Some(revision),
        revision_match: Some(RevisionMatch::Exact),
        ..Default::default()
    };
    let page = api.list(exact(then)).await.unwrap();
    assert_eq!((page.revision, page.objects.len()), (then, 1));
    assert_eq!(page.objects[0].tree()["data"]["a"], "1");
    api.registry.store().compact(then + 2);
    assert_eq!(api.list(exact(then)).await.unwrap_err().code, 410);
}

#[tokio::test]
async fn revisions_ahead_time_out() {
    let api = Api::new();
    api.create(map("a")).await.unwrap();
    let request = ListRequest { revision: Some(99), ..Default::default() };
    let status = api.list(request).await.unwrap_err();
    assert_eq!(
        (status.code, status.details.unwrap().causes[0].reason.clone()),
        (504, "ResourceVersionTooLarge".into())
    );
}

#[tokio::test]
async fn field_selectors_are_known_fields_only() {
    let api = Api::new();
    api.create(map("a")).await.unwrap();
    api.create(map("b")).await.unwrap();
    let by = |text: &str| ListRequest { fields: FieldSelector::parse(text).unwrap(), ..Default::default() };
    assert_eq!(api.list(by("metadata.name=a")).await.unwrap().objects.len(), 1);
    assert_eq!(api.list(by("metadata.name!=a")).await.unwrap().objects[0].name(), "b");
    let status = api.list(by("data.a=1")).await.unwrap_err();
    assert_eq!(status.code, 400);
    let words = "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
    assert_eq!(status.message, words);
}

#[tokio::test]
async fn watches_tell_everything_once_in_order() {
    let api = Api::new();
    let made = api.create(map("a")).await.unwrap();
    let kind = api.kind("configmaps");
    let labels = LabelSelector::parse("in=yes").unwrap();
    let request = WatchRequest { initial_events: true, ..Default::default() };
    let mut all = api.registry.watch(&kind, "n", &request).await.unwrap();
    let request = WatchRequest { revision: Some(made.revision()), labels, ..Default::default() };
    let mut selected = api.registry.watch(&kind, "", &request).await.unwrap();
    let entered = api.merge("a", json!({"metadata": {"labels": {"in": "yes"}}})).await.unwrap();
    let stayed = api.merge("a", json!({"data": {"a": "2"}})).await.unwrap();
    let left = api.merge("a", json!({"metadata": {"labels": null}})).await.unwrap();
    let gone = api.delete("a", DeleteRequest::default()).await.unwrap().object;
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(match all.next().await.unwrap() {
            WatchItem::Added(object) => ("added", object.revision()),
            WatchItem::Modified(object) => ("modified", object.revision()),
            WatchItem::Deleted(object) => ("deleted", object.revision()),
            WatchItem::InitialEnd(revision) => ("end", revision),
            WatchItem::End => unreachable!("the kind stays"),
        });
    }
    assert_eq!(
        told,
        [
            ("added", made.revision()),
            ("end", made.revision()),
            ("modified", entered.revision()),
            ("modified", stayed.revision()),
            ("modified", left.revision()),
            ("deleted", gone.revision()),
        ]
    );
    assert!(
        matches!(selected.next().await.unwrap(), WatchItem::Added(object) if object.revision() == entered.revision())
    );
    assert!(
        matches!(selected.next().await.unwrap(), WatchItem::Modified(object) if object.revision() == stayed.revision())
    );
    let WatchItem::Deleted(object) = selected.next().await.unwrap() else { panic!("leaving is a deletion") };
    assert_eq!((object.revision(), object.tree()["metadata"]["labels"]["in"].as_str()), (left.revision(), Some("yes")));
    assert_eq!(object.tree()["metadata"]["resourceVersion"], left.revision().to_string());
    // Too old.
    api.registry.store().compact(left.revision());
    let request = WatchRequest { revision: Some(made.revision()), ..Default::default() };
    let mut late = api.registry.watch(&kind, "n", &request).await.unwrap();
    assert_eq!(late.next().await.unwrap_err().code, 410);
}

#[tokio::test]
async fn deletions_wait_for_finalizers() {
    let api = Api::new();
    let body = json!({"metadata": {"name": "a", "finalizers": ["x.io/f"]}});
    let made = api.create(body).await.unwrap();
    let wrong = DeleteRequest { uid: Some("other".into()), ..Default::default() };
    assert_eq!(api.delete("a", wrong).await.err().unwrap().code, 409);
    let marked = api.delete("a", DeleteRequest::default()).await.unwrap();
    assert!(!marked.gone && marked.object.meta().is_deleting());
    // Again: nothing changes.
    let again = api.delete("a", DeleteRequest::default()).await.unwrap();
    assert_eq!(again.object.revision(), marked.object.revision());
    let status = api.merge("a", json!({"metadata": {"finalizers": ["x.io/f", "x.io/g"]}})).await.unwrap_err();
    assert!(status.message.contains("no new finalizers can be added"), "{status}");
    let last = api.merge("a", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert!(last.revision() > marked.object.revision());
    assert_eq!(api.get("a").await.unwrap_err().code, 404);
    let next = api.create(map("a")).await.unwrap();
    assert_ne!(next.uid(), made.uid());
    let orphan = DeleteRequest { propagation: Some(Propagation::Orphan), ..Default::default() };
    let held = api.delete("a", orphan).await.unwrap();
    assert_eq!(held.object.meta().finalizers, ["orphan"]);
    assert_eq!(api.delete("zz", DeleteRequest::default()).await.err().unwrap().code, 404);
}

#[tokio::test]
async fn dry_runs_leave_no_trace() {
    let api = Api::new();
    let before = api.registry.store().revision();
    let dry = Caller { dry_run: true, ..api.caller() };
    let kind = api.kind("configmaps");
    let made = api.registry.create(&dry, &kind, "n", map("a").into()).await.unwrap();
    assert!(!made.uid().is_empty());
    assert_eq!(api.get("a").await.unwrap_err().code, 404);
    assert_eq!(api.registry.store().revision(), before);
}

#[tokio::test]
async fn generations_count_specifications() {
    let api = Api::new();
    let kind = api.kind("leases");
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    let made = api.registry.create(&api.caller(), &kind, "n", lease.into()).await.unwrap();
    assert_eq!(made.meta().generation, 1);
    let patch = |body| Change::Patch(PatchFormat::Merge(body));
    let labelled = api.update("leases", "l", patch(json!({"metadata": {"labels": {"a": "b"}}}))).await.unwrap();
    assert_eq!(labelled.meta().generation, 1);
    let changed = api.update("leases", "l", patch(json!({"spec": {"holderIdentity": "b"}}))).await.unwrap();
    assert_eq!(changed.meta().generation, 2);
}
