//! Custom kinds come and go while the server runs, and nobody misses an object of theirs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures::StreamExt;
use harness::cluster::TestCluster;
use kernel_apiserver::LocalClients;
use sdk_api::{GroupResource, Key, Status};
use sdk_client::{Client, Clients, DeleteOptions, ListOptions, Patch, Subject, WatchEvent, WatchOptions, WatchStream};
use serde_json::{Value, json};

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

fn definitions() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

fn key(resource: &GroupResource, namespace: &str, name: &str) -> Key {
    Key::new(resource, namespace, name)
}

fn client(cluster: &TestCluster) -> Client {
    LocalClients::new(cluster.cluster().server.clone()).client(&Subject::new("tester", &["system:masters"]))
}

fn failed(status: Status) -> anyhow::Error {
    anyhow!("{status}")
}

fn definition(plural: &str, kind: &str, properties: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}}]}})
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn is_established(tree: &Value) -> bool {
    let conditions = tree["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// Creates a definition and returns as soon as it says that it is established.
async fn establish(client: &Client, definition: Value) -> Result<()> {
    let made = client.create(&definitions(), "", definition).await.map_err(failed)?;
    let options = WatchOptions {
        resource_version: Some(made.revision()),
        field_selector: format!("metadata.name={}", made.name()),
        ..WatchOptions::default()
    };
    let mut events = client.watch(&definitions(), "", options).await.map_err(failed)?;
    until(&mut events, |event| matches!(event, WatchEvent::Modified(object) if is_established(object.tree()))).await
}

async fn until(events: &mut WatchStream, wanted: impl Fn(&WatchEvent) -> bool) -> Result<()> {
    let found = async {
        while let Some(event) = events.next().await {
            if wanted(&event.map_err(failed)?) {
                return Ok(());
            }
        }
        Err(anyhow!("the watch ended"))
    };
    tokio::time::timeout(DEADLINE, found).await.context("waited in vain")?
}

/// Asks again and again; for what follows by itself.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !holds().await? {
        ensure!(started.elapsed() < DEADLINE, "{what} never held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Behaviour 40: the first object of a kind that has just come is seen by a watch that was opened at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_object_is_seen() -> Result<()> {
    let rounds = std::env::var("KERNEL_CRD_ROUNDS").map_or(50, |text| text.parse().expect("a number of rounds"));
    let cluster = TestCluster::sim(0).await?;
    let client = client(&cluster);
    for round in 0..rounds {
        let (plural, kind) = (format!("firsts{round}"), format!("First{round}"));
        establish(&client, definition(&plural, &kind, json!({"a": {"type": "integer"}}))).await?;
        let resource = GroupResource::new("example.com", &plural);
        let mut events = client.watch(&resource, "", WatchOptions::default()).await.map_err(failed)?;
        let started = Instant::now();
        client.create(&resource, "default", object(&kind, "first", json!({"a": 1, "b": 2}))).await.map_err(failed)?;
        until(
            &mut events,
            |event| matches!(event, WatchEvent::Added(object) if object.tree()["spec"] == json!({"a": 1})),
        )
        .await?;
        ensure!(started.elapsed() < Duration::from_secs(1), "round {round} took {:?}", started.elapsed());
        let name = format!("{plural}.example.com");
        client.delete(&key(&definitions(), "", &name), DeleteOptions::default()).await.map_err(failed)?;
        // The object goes with its kind, and then the watch ends.
        until(&mut events, |event| matches!(event, WatchEvent::Deleted(object) if object.name() == "first")).await?;
        let rest = async { while events.next().await.is_some() {} };
        tokio::time::timeout(DEADLINE, rest).await.context("the watch goes on without its kind")?;
        ensure!(client.list(&resource, "", ListOptions::default()).await.is_err_and(|status| status.code == 404));
    }
    cluster.stop().await;
    Ok(())
}

/// What is stored is read by the rules of today; what was there before a restart is there after it.
#[tokio::test(flavor = "multi_thread")]
async fn stored_objects_follow_their_schema() -> Result<()> {
    let mut cluster = TestCluster::sim(0).await?;
    let api = client(&cluster);
    let widgets = GroupResource::new("example.com", "widgets");
    establish(&api, definition("widgets", "Widget", json!({"old": {"type": "string"}, "kept": {"type": "string"}})))
        .await?;
    let made = api
        .create(&widgets, "default", object("Widget", "a", json!({"old": "x", "kept": "y"})))
        .await
        .map_err(failed)?;

    let name = key(&definitions(), "", "widgets.example.com");
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "kept": {"type": "string"}, "new": {"type": "string", "default": "d"}}}}});
    let change = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]);
    api.patch(&name, "", Patch::json(change)).await.map_err(failed)?;
    let place = key(&widgets, "default", "a");
    let wanted = json!({"kept": "y", "new": "d"});
    eventually("the new schema", async || Ok(api.get(&place).await.map_err(failed)?.tree()["spec"] == wanted)).await?;
    let read = api.get(&place).await.map_err(failed)?;
    assert_eq!(read.revision(), made.revision(), "reading writes nothing");
    let listed = api.list(&widgets, "", ListOptions::default()).await.map_err(failed)?;
    assert_eq!(listed.objects[0].tree()["spec"], wanted);

    cluster.restart().await?;
    let api = client(&cluster);
    assert_eq!(api.get(&place).await.map_err(failed)?.tree()["spec"], wanted, "served at once after a restart");
    // A write without a change brings what is stored up to date.
    let update = Value::clone(api.get(&place).await.map_err(failed)?.tree());
    let written = api.update(&place, "", update).await.map_err(failed)?;
    assert!(written.revision() > made.revision());
    let again = api.update(&place, "", Value::clone(written.tree())).await.map_err(failed)?;
    assert_eq!(again.revision(), written.revision());
    cluster.stop().await;
    Ok(())
}

/// The garbage collector and the namespace controller know kinds that have just come.
#[tokio::test(flavor = "multi_thread")]
async fn custom_objects_are_collected() -> Result<()> {
    let cluster = TestCluster::sim(0).await?;
    let api = client(&cluster);
    let (widgets, maps, namespaces) = (
        GroupResource::new("example.com", "widgets"),
        GroupResource::new("", "configmaps"),
        GroupResource::new("", "namespaces"),
    );
    establish(&api, definition("widgets", "Widget", json!({}))).await?;
    api.create(&namespaces, "", json!({"metadata": {"name": "n"}})).await.map_err(failed)?;
    let owner = api.create(&widgets, "n", object("Widget", "owner", json!({}))).await.map_err(failed)?;
    let owned = |kind: &str, name: &str| {
        json!({"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "example.com/v1", "kind": kind, "name": "owner", "uid": owner.uid()}]}})
    };
    api.create(&maps, "n", owned("Widget", "map")).await.map_err(failed)?;
    let mut child = owned("Widget", "child");
    (child["apiVersion"], child["kind"]) = ("example.com/v1".into(), "Widget".into());
    api.create(&widgets, "n", child).await.map_err(failed)?;
    api.delete(&key(&widgets, "n", "owner"), DeleteOptions::default()).await.map_err(failed)?;
    let gone = async |key: &Key| -> Result<bool> { Ok(api.find(key).await.map_err(failed)?.is_none()) };
    eventually("a map goes with its owner", async || gone(&key(&maps, "n", "map")).await).await?;
    eventually("a widget goes with its owner", async || gone(&key(&widgets, "n", "child")).await).await?;

    api.create(&widgets, "n", object("Widget", "last", json!({}))).await.map_err(failed)?;
    api.delete(&key(&namespaces, "", "n"), DeleteOptions::default()).await.map_err(failed)?;
    eventually("the namespace goes", async || gone(&key(&namespaces, "", "n")).await).await?;
    assert!(gone(&key(&widgets, "n", "last")).await?);
    cluster.stop().await;
    Ok(())
}
