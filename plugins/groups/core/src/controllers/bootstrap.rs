//! `bootstrap`: what every cluster starts with: the system namespaces, and the `kubernetes` Service by which pods reach
//! the API server.
//!
//! It looks again when one of these changes, so that whoever deletes them gets them back.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use ipnet::IpNet;
use sdk_api::k8s_openapi::api::core::v1::{Endpoints, Namespace, Service};
use sdk_api::k8s_openapi::api::discovery::v1::EndpointSlice;
use sdk_api::{GroupResource, Key, Status, Typed};
use sdk_client::{Client, ListOptions, WatchEvent, WatchOptions};
use sdk_plugin::{Agent, Context, Subject};
use serde_json::{Value, json};
use tracing::{debug, warn};

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];
const SERVICE: &str = "kubernetes";
const LABELS: &[(&str, &str)] = &[("component", "apiserver"), ("provider", "kubernetes")];

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Registered by the boot crate, which knows where the API server listens.
pub struct Bootstrap {
    /// Where cluster IPs come from; the Service gets the first.
    pub service_cidr: IpNet,
    /// Where pods reach the API server. Endpoints cannot have a loopback address: with one there are none.
    pub address: IpAddr,
    pub port: u16,
}

#[async_trait]
impl Agent for Bootstrap {
    fn name(&self) -> &'static str {
        "bootstrap"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    fn is_single(&self) -> bool {
        true
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let stop = context.stop.clone();
        stop.run_until_cancelled(async {
            loop {
                if let Err(status) = self.keep(&context.client).await {
                    warn!(error = %status, "Cannot set up the cluster's own objects, trying again.");
                }
                context.clock.sleep(PAUSE).await;
            }
        })
        .await;
        Ok(())
    }
}

impl Bootstrap {
    /// Sets everything up, then again at each change. Returns when a watch ends.
    async fn keep(&self, client: &Client) -> Result<(), Status> {
        let mut changes = watch_all(client).await?;
        loop {
            self.ensure(client).await?;
            match changes.next().await {
                Some(Ok(())) => {}
                Some(Err(status)) => return Err(status),
                None => return Ok(()),
            }
        }
    }

    async fn ensure(&self, client: &Client) -> Result<(), Status> {
        make_namespaces(client).await?;
        make::<Service>(client, "default", SERVICE, self.service()).await?;
        if self.address.is_loopback() || self.address.is_unspecified() {
            debug!(address = %self.address, "Pods cannot reach the API server at this address.");
            return Ok(());
        }
        self.set::<Endpoints>(client, self.endpoints(), &["subsets"]).await?;
        self.set::<EndpointSlice>(client, self.slice(), &["addressType", "endpoints", "ports"]).await
    }

    fn service(&self) -> Value {
        let mut hosts = self.service_cidr.hosts();
        let first = hosts.next().unwrap_or_else(|| self.service_cidr.network());
        let ip = first.to_string();
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": "default", "labels": labels(&[])},
            "spec": {
                "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "sessionAffinity": "None",
                "ipFamilies": [family(first)], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self.port}],
            },
        })
    }

    fn endpoints(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": SERVICE, "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": self.address.to_string()}],
                "ports": [{"name": "https", "port": self.port, "protocol": "TCP"}]}],
        })
    }

    fn slice(&self) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": SERVICE, "namespace": "default",
                "labels": {"kubernetes.io/service-name": SERVICE}},
            "addressType": family(self.address),
            "endpoints": [{"addresses": [self.address.to_string()], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": self.port, "protocol": "TCP"}],
        })
    }

    /// Makes an object, or brings the given fields of it up to date: the address may be another than last time.
    async fn set<T: Typed>(&self, client: &Client, wanted: Value, fields: &[&str]) -> Result<(), Status> {
        let key = Key::of::<T>("default", SERVICE);
        let Some(known) = client.find(&key).await? else {
            return make::<T>(client, "default", SERVICE, wanted).await;
        };
        let mut new = (**known.tree()).clone();
        for field in fields {
            new[*field] = wanted[*field].clone();
        }
        if new == **known.tree() || known.meta().is_deleting() {
            return Ok(());
        }
        match client.update(&key, "", new).await {
            // Whoever came between is seen as a change.
            Err(status) if !status.is_conflict() => Err(status),
            _ => Ok(()),
        }
    }
}

fn labels(more: &[(&str, &str)]) -> Value {
    let all = LABELS.iter().chain(more).map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
    Value::Object(all.collect())
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Creates an object unless it is there.
/// Makes the system namespaces that are not there.
pub async fn make_namespaces(client: &Client) -> Result<(), Status> {
    for name in NAMESPACES {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        make::<Namespace>(client, "", name, body).await?;
    }
    Ok(())
}

async fn make<T: Typed>(client: &Client, namespace: &str, name: &str, body: Value) -> Result<(), Status> {
    if client.find(&Key::of::<T>(namespace, name)).await?.is_some() {
        return Ok(());
    }
    match client.create(&GroupResource::of::<T>(), namespace, body).await {
        Err(status) if !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}

type Changes = BoxStream<'static, Result<(), Status>>;

/// One item for each change of what is kept here.
async fn watch_all(client: &Client) -> Result<Changes, Status> {
    let of_service = format!("metadata.name={SERVICE}");
    let watches = [
        watch::<Namespace>(client, "", "").await?,
        watch::<Service>(client, "default", &of_service).await?,
        watch::<Endpoints>(client, "default", &of_service).await?,
        watch::<EndpointSlice>(client, "default", &of_service).await?,
    ];
    Ok(Box::pin(select_all(watches)))
}

async fn watch<T: Typed>(client: &Client, namespace: &str, fields: &str) -> Result<Changes, Status> {
    let resource = GroupResource::of::<T>();
    let list = ListOptions { field_selector: fields.into(), ..ListOptions::default() };
    let revision = client.list(&resource, namespace, list).await?.revision;
    let options =
        WatchOptions { field_selector: fields.into(), resource_version: Some(revision), ..WatchOptions::default() };
    let events = client.watch(&resource, namespace, options).await?;
    // Others' namespaces come and go; only deletions and changes of these objects matter.
    let relevant = events.filter_map(|event| async {
        match event {
            Ok(WatchEvent::Deleted(_)) => Some(Ok(())),
            Ok(WatchEvent::Modified(object)) if !object.namespace().is_empty() => Some(Ok(())),
            Ok(_) => None,
            Err(status) => Some(Err(status)),
        }
    });
    Ok(Box::pin(relevant))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sdk_client::Clients;
    use sdk_testkit::{FakeApi, ManualClock, settle};
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn start(api: &FakeApi, clock: &Arc<ManualClock>, address: &str) -> CancellationToken {
        let agent =
            Bootstrap { service_cidr: "10.96.0.0/16".parse().unwrap(), address: address.parse().unwrap(), port: 6443 };
        let stop = CancellationToken::new();
        let client = api.client(&agent.identity());
        let context = Context { client, clients: api.clients(), clock: clock.clone(), stop: stop.clone() };
        tokio::spawn(async move { agent.run(context).await });
        stop
    }

    #[tokio::test]
    async fn a_cluster_starts_with_namespaces_and_the_service() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let stop = start(&api, &clock, "192.0.2.1");
        settle().await;
        for name in NAMESPACES {
            assert!(api.object(&Key::of::<Namespace>("", name)).is_some(), "{name}");
        }
        let service = api.tree(&Key::of::<Service>("default", SERVICE));
        assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
        assert_eq!(service["metadata"]["labels"]["component"], "apiserver");
        let slice = api.tree(&Key::of::<EndpointSlice>("default", SERVICE));
        assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
        assert_eq!(clock.sleepers(), 0, "nobody polls");

        // What is taken away comes back, what is changed is put right.
        api.remove(&Key::of::<Namespace>("", "kube-public"));
        api.remove(&Key::of::<Service>("default", SERVICE));
        let mut tree = api.tree(&Key::of::<Endpoints>("default", SERVICE));
        tree["subsets"] = json!([]);
        api.seed(tree);
        settle().await;
        assert!(api.object(&Key::of::<Namespace>("", "kube-public")).is_some());
        assert!(api.object(&Key::of::<Service>("default", SERVICE)).is_some());
        let endpoints = api.tree(&Key::of::<Endpoints>("default", SERVICE));
        assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.1");

        // Another start, another address.
        stop.cancel();
        settle().await;
        let _stop = start(&api, &clock, "192.0.2.2");
        settle().await;
        let endpoints = api.tree(&Key::of::<Endpoints>("default", SERVICE));
        assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.2");
    }

    #[tokio::test]
    async fn a_loopback_address_is_not_published() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let _stop = start(&api, &clock, "127.0.0.1");
        settle().await;
        assert!(api.object(&Key::of::<Service>("default", SERVICE)).is_some());
        assert!(api.object(&Key::of::<Endpoints>("default", SERVICE)).is_none());
    }

    #[tokio::test]
    async fn a_failure_is_tried_again() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        api.fail_next(sdk_client::Verb::Create, &GroupResource::of::<Service>(), Status::unavailable("not yet"));
        let _stop = start(&api, &clock, "192.0.2.1");
        settle().await;
        assert!(api.object(&Key::of::<Service>("default", SERVICE)).is_none());
        clock.run_for(PAUSE).await;
        assert!(api.object(&Key::of::<Service>("default", SERVICE)).is_some());
    }
}
