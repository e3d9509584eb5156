//! The server in memory keeps the rules that it claims to keep.

use futures::StreamExt;
use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use sdk_api::{GroupResource, Reason};
use sdk_client::{DeleteOptions, Patch, Propagation, WatchEvent};
use serde_json::json;

use super::*;
use crate::{Build, ManualClock};

fn api() -> FakeApi {
    FakeApi::new(ManualClock::new())
}

fn maps() -> GroupResource {
    GroupResource::of::<ConfigMap>()
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

#[tokio::test]
async fn writes_take_revisions_and_stale_ones_conflict() {
    let (api, maps) = (api(), maps());
    let client = api.admin();
    let made = client.create(&maps, "n", map("a")).await.unwrap();
    assert_eq!((made.namespace(), made.meta().generation), ("n", 1));
    let again = client.create(&maps, "n", map("a")).await.unwrap_err();
    assert!(again.is_already_exists());
    let mut stale = (**made.tree()).clone();
    let patched = client.patch(made.key(), "", Patch::merge(json!({"data": {"b": "2", "a": null}}))).await.unwrap();
    assert_eq!(patched.tree()["data"], json!({"b": "2"}));
    stale["data"]["a"] = "3".into();
    assert!(client.update(made.key(), "", stale).await.unwrap_err().is_conflict());
    let quiet = client.patch(made.key(), "", Patch::merge(json!({"data": {"b": "2"}}))).await.unwrap();
    assert_eq!(quiet.revision(), patched.revision(), "a write that changes nothing takes no revision");
    let jumped = client
        .patch(made.key(), "", Patch::json(json!([{"op": "test", "path": "/data/b", "value": "9"}])))
        .await
        .unwrap_err();
    assert_eq!(jumped.code, 422);
    let kinds: Vec<_> = api.writes().iter().map(|write| (write.verb, write.result.is_ok())).collect();
    assert_eq!(kinds.len(), 6);
    assert_eq!(kinds[1], (Verb::Create, false));
}

#[tokio::test]
async fn status_is_a_part_of_its_own() {
    let api = api();
    let client = api.admin();
    let pods = GroupResource::of::<Pod>();
    let pod = client.create(&pods, "n", Build::pod("n", "p").phase("Running").tree()).await.unwrap();
    assert_eq!(pod.tree()["status"], json!({"phase": "Pending"}));
    let mut new = (**pod.tree()).clone();
    new["status"]["phase"] = "Running".into();
    new["spec"]["hostname"] = "x".into();
    let status = client.update(pod.key(), "status", new.clone()).await.unwrap();
    assert_eq!(status.tree()["status"]["phase"], "Running");
    assert!(status.tree()["spec"].get("hostname").is_none());
    assert_eq!(status.meta().generation, 1);
    new["metadata"]["resourceVersion"] = Value::Null;
    new["status"]["phase"] = "Failed".into();
    let main = client.update(pod.key(), "", new).await.unwrap();
    assert_eq!(main.tree()["status"]["phase"], "Running");
    assert_eq!(main.meta().generation, 2);
}

#[tokio::test]
async fn deletions_wait_for_grace_and_finalizers() {
    let api = api();
    let client = api.admin();
    let bound = api.seed(Build::pod("n", "bound").on_node("x"));
    let left = client.delete(bound.key(), DeleteOptions::default()).await.unwrap().unwrap();
    assert_eq!(left.meta().deletion_grace_period_seconds, Some(30));
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    client.delete(bound.key(), now).await.unwrap();
    assert!(client.find(bound.key()).await.unwrap().is_none());

    let held = api.seed(Build::of::<ConfigMap>("n", "held").finalizer("a/b"));
    let wrong = client.delete(held.key(), DeleteOptions::of_uid("other")).await.unwrap_err();
    assert!(wrong.is_conflict());
    client.delete(held.key(), DeleteOptions::of_uid(held.uid())).await.unwrap();
    assert!(api.object(held.key()).unwrap().meta().is_deleting());
    client.patch(held.key(), "", Patch::merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert!(api.object(held.key()).is_none());

    let owner = api.seed(Build::of::<ConfigMap>("n", "owner"));
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    client.delete(owner.key(), orphan).await.unwrap();
    assert_eq!(api.object(owner.key()).unwrap().meta().finalizers, ["orphan"]);
}

#[tokio::test]
async fn namespaces_go_when_they_are_finalized() {
    let api = api();
    let client = api.admin();
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}});
    let made = client.create(&GroupResource::of::<Namespace>(), "", body).await.unwrap();
    client.delete(made.key(), DeleteOptions::default()).await.unwrap();
    let mut tree = api.tree(made.key());
    assert_eq!(tree["status"]["phase"], "Terminating");
    tree["spec"]["finalizers"] = json!([]);
    client.update(made.key(), "finalize", tree).await.unwrap();
    assert!(api.object(made.key()).is_none());
}

#[tokio::test]
async fn bindings_set_the_node_once() {
    let api = api();
    let client = api.admin();
    let pod = api.seed(Build::pod("n", "p"));
    let target = json!({"target": {"kind": "Node", "name": "x"}});
    client.post(pod.key(), "binding", target.clone()).await.unwrap();
    assert_eq!(api.tree(pod.key())["spec"]["nodeName"], "x");
    assert!(client.post(pod.key(), "binding", target).await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn watches_replay_select_and_expire() {
    let (api, maps) = (api(), maps());
    let client = api.admin();
    let first = api.seed(Build::of::<ConfigMap>("n", "a").label("x", "1"));
    let options = WatchOptions { label_selector: "x=1".into(), ..WatchOptions::default() };
    let mut watch = client.watch(&maps, "", options).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Bookmark { initial_end: true, .. }))));
    client.patch(first.key(), "", Patch::merge(json!({"metadata": {"labels": {"x": "2"}}}))).await.unwrap();
    client.patch(first.key(), "", Patch::merge(json!({"metadata": {"labels": {"x": "1"}}}))).await.unwrap();
    let from = first.revision();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(_)))), "it left the selection");
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))), "it came back");

    let since = WatchOptions { resource_version: Some(from), ..WatchOptions::default() };
    let mut replay = client.watch(&maps, "", since.clone()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(replay.next().await, Some(Ok(WatchEvent::Modified(_)))));
    }
    api.compact(&maps);
    assert!(replay.next().await.unwrap().unwrap_err().is_expired());
    assert!(replay.next().await.is_none());
    let mut late = client.watch(&maps, "", since).await.unwrap();
    assert!(late.next().await.unwrap().unwrap_err().is_expired());
}

#[tokio::test]
async fn frozen_collections_deliver_later() {
    let (api, maps) = (api(), maps());
    let client = api.admin();
    let from = WatchOptions { resource_version: Some(0), ..WatchOptions::default() };
    let mut watch = client.watch(&maps, "", from).await.unwrap();
    api.freeze(&maps);
    api.seed(Build::of::<ConfigMap>("n", "a"));
    crate::settle().await;
    assert!(futures::poll!(watch.next()).is_pending());
    api.thaw(&maps);
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
}

#[tokio::test]
async fn failures_come_when_ordered() {
    let (api, maps) = (api(), maps());
    let client = api.admin();
    api.fail_next(Verb::Create, &maps, Status::unavailable("away"));
    assert_eq!(client.create(&maps, "n", map("a")).await.unwrap_err().reason, Reason::ServiceUnavailable);
    assert!(client.create(&maps, "n", map("a")).await.is_ok());
    api.intercept(|_, request| (request.verb == Verb::Delete).then(|| Status::bad_request("never")));
    let key = Key::new(&maps, "n", "a");
    assert_eq!(client.delete(&key, DeleteOptions::default()).await.unwrap_err().code, 400);
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    let (api, maps) = (api(), maps());
    let client = api.admin();
    for name in ["a", "b", "c"] {
        api.seed(Build::of::<ConfigMap>("n", name));
    }
    let mut options = ListOptions { limit: 2, ..ListOptions::default() };
    let page = client.list(&maps, "", options.clone()).await.unwrap();
    assert_eq!(page.objects.len(), 2);
    options.continue_token = page.continue_token;
    let page = client.list(&maps, "", options).await.unwrap();
    assert_eq!((page.objects[0].name(), page.continue_token.as_str()), ("c", ""));
    let field = ListOptions { field_selector: "metadata.name!=b".into(), ..ListOptions::default() };
    assert_eq!(client.list(&maps, "n", field).await.unwrap().objects.len(), 2);
}
