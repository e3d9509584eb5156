//! kube-rs, the Rust client, over TCP: typed and dynamic objects, pages, watches, patches, a controller.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use harness::cluster::TestCluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, Config, Discovery, ResourceExt};
use serde_json::json;

const COUNT: usize = 7;
const WITHIN: Duration = Duration::from_secs(60);

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<_, _> = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"made-by": "kube-rs"}}, "data": data}))
        .expect("it is a ConfigMap")
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() -> Result<()> {
    let cluster = TestCluster::sim(1).await?;
    let client = client(&cluster.kubeconfig()).await?;
    let held = tokio::time::timeout(4 * WITHIN, program(client)).await.context("it takes too long");
    cluster.stop().await;
    held?
}

async fn program(client: Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "team"}}))?).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    for number in 0..COUNT {
        let name = format!("r{number}");
        maps.create(&PostParams::default(), &config_map(&name, &[("number", &number.to_string())])).await?;
    }
    let again = maps.create(&PostParams::default(), &config_map("r0", &[])).await;
    ensure!(matches!(&again, Err(kube::Error::Api(status)) if status.is_already_exists()), "{again:?}");

    let revision = pages(&maps).await?;
    changes(&maps, &revision).await?;
    apply(&maps).await?;
    dynamic(&client).await?;
    deployment(&client).await?;
    controller(&client, &maps).await?;

    namespaces.delete("team", &DeleteParams::default()).await?;
    let gone = await_condition(namespaces, "team", |object: Option<&Namespace>| object.is_none());
    tokio::time::timeout(WITHIN, gone).await.context("the namespace stays")??;
    Ok(())
}

/// Lists in pages; gives their revision.
async fn pages(maps: &Api<ConfigMap>) -> Result<String> {
    let mut names = Vec::new();
    let mut parameters = ListParams::default().labels("made-by=kube-rs").limit(3);
    loop {
        let page = maps.list(&parameters).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => {
                assert_eq!(names, (0..COUNT).map(|number| format!("r{number}")).collect::<Vec<_>>());
                return page.metadata.resource_version.context("a page has a revision");
            }
        }
    }
}

/// A watch ends and another goes on where it stopped; a stale replacement is refused.
async fn changes(maps: &Api<ConfigMap>, revision: &str) -> Result<()> {
    let stale = maps.get("r0").await?;
    maps.patch("r0", &PatchParams::default(), &Patch::Merge(json!({"data": {"number": null, "new": "yes"}}))).await?;
    maps.delete("r6", &DeleteParams::default()).await?;
    let mut last = revision.to_owned();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut events = pin!(maps.watch(&WatchParams::default(), &last).await?);
        let (word, object) = match events.try_next().await?.context("the watch ended")? {
            WatchEvent::Modified(object) => ("modified", object),
            WatchEvent::Deleted(object) => ("deleted", object),
            other => anyhow::bail!("unexpected: {other:?}"),
        };
        seen.push(format!("{word} {}", object.name_any()));
        last = object.resource_version().context("an object has a revision")?;
    }
    assert_eq!(seen, ["modified r0", "deleted r6"]);
    let refused = maps.replace("r0", &PostParams::default(), &stale).await;
    ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.is_conflict()), "{refused:?}");
    Ok(())
}

async fn apply(maps: &Api<ConfigMap>) -> Result<()> {
    let wanted = |value: &str| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": value}}),
        )
    };
    maps.patch("applied", &PatchParams::apply("first"), &wanted("1")).await?;
    let refused = maps.patch("applied", &PatchParams::apply("second"), &wanted("2")).await;
    ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.is_conflict()), "{refused:?}");
    let forced = maps.patch("applied", &PatchParams::apply("second").force(), &wanted("2")).await?;
    let owners: Vec<_> = forced.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    assert_eq!(owners, ["second"]);
    Ok(())
}

/// What discovery tells is enough to use any kind.
async fn dynamic(client: &Client) -> Result<()> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", "NetworkPolicy");
    let (resource, _) = discovery.resolve_gvk(&kind).context("NetworkPolicy is not discovered")?;
    let policies: Api<DynamicObject> = Api::namespaced_with(client.clone(), "team", &resource);
    let policy = DynamicObject::new("closed", &resource).data(json!({"spec": {"podSelector": {}}}));
    let made = policies.create(&PostParams::default(), &policy).await?;
    assert_eq!(made.data["spec"]["policyTypes"], json!(["Ingress"]));
    Ok(())
}

async fn deployment(client: &Client) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "team");
    let web = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "example.test/web:1"}]},
            },
        },
    }))?;
    deployments.create(&PostParams::default(), &web).await?;
    let done = await_condition(deployments.clone(), "web", conditions::is_deployment_completed());
    tokio::time::timeout(WITHIN, done).await.context("the deployment is not completed")??;
    let scale = deployments
        .patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 1}})))
        .await?;
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(1));
    deployments.restart("web").await?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failed(#[from] kube::Error);

/// A controller of the library's runtime writes back what it saw.
async fn controller(client: &Client, maps: &Api<ConfigMap>) -> Result<()> {
    let own = watcher::Config::default().labels("made-by=kube-rs");
    let reconcile = async |map: Arc<ConfigMap>, client: Arc<Client>| -> Result<Action, Failed> {
        let maps: Api<ConfigMap> = Api::namespaced(Client::clone(&client), "team");
        if map.annotations().contains_key("seen") {
            return Ok(Action::await_change());
        }
        let seen = json!({"metadata": {"annotations": {"seen": "yes"}}});
        maps.patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(seen)).await?;
        Ok(Action::await_change())
    };
    let running = Controller::new(maps.clone(), own)
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), Arc::new(client.clone()))
        .for_each(|_| std::future::ready(()));
    let running = tokio::spawn(running);
    for number in 0..COUNT - 1 {
        let is_seen =
            |object: Option<&ConfigMap>| object.is_some_and(|object| object.annotations().contains_key("seen"));
        let name = format!("r{number}");
        let seen = await_condition(maps.clone(), &name, is_seen);
        tokio::time::timeout(WITHIN, seen).await.context("the controller saw nothing")??;
    }
    running.abort();
    Ok(())
}
