//! `autoregister`: an API service for each group and version that this server serves itself.
//!
//! `kubectl get apiservices` shows them as Local. Whoever deletes one gets it back.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{BoxStream, select};
use sdk_api::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use sdk_api::k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use sdk_api::{Clock, GroupResource, Key, Status, Typed};
use sdk_client::{Client, DeleteOptions, ListOptions, WatchEvent, WatchOptions};
use sdk_plugin::{Agent, Context, Subject};
use serde_json::Value;
use tracing::warn;

use super::local::{Step, built_in, custom, steps};

/// The pause after a failure, and after a watch has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// Registered by the boot crate, which knows what is built in.
pub struct Autoregister {
    /// Groups and versions that are served; the core group is empty.
    pub versions: Vec<(String, String)>,
}

#[async_trait]
impl Agent for Autoregister {
    fn name(&self) -> &'static str {
        "autoregister"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let stop = context.stop.clone();
        stop.run_until_cancelled(async {
            loop {
                if let Err(status) = self.keep(&context.client, &*context.clock).await {
                    warn!(error = %status, "Cannot register what is served, trying again.");
                }
                context.clock.sleep(PAUSE).await;
            }
        })
        .await;
        Ok(())
    }
}

type Changes = BoxStream<'static, Result<(), Status>>;

impl Autoregister {
    /// Registers everything, then again at each change. Returns when a watch ends.
    async fn keep(&self, client: &Client, clock: &dyn Clock) -> Result<(), Status> {
        let services = watch::<APIService>(client).await?;
        let mut changes = select(services, watch::<CustomResourceDefinition>(client).await?);
        loop {
            self.register(client, clock).await?;
            match changes.next().await {
                Some(outcome) => outcome?,
                None => return Ok(()),
            }
        }
    }

    async fn register(&self, client: &Client, clock: &dyn Clock) -> Result<(), Status> {
        let mut wanted: BTreeMap<String, Value> = built_in(&self.versions);
        for definition in all::<CustomResourceDefinition>(client).await? {
            wanted.extend(custom(&definition));
        }
        let resource = GroupResource::of::<APIService>();
        let key = |object: &Value| Key::new(&resource, "", object["metadata"]["name"].as_str().unwrap_or_default());
        let now = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for step in steps(&wanted, &all::<APIService>(client).await?, &now) {
            let outcome = match step {
                Step::Create(object) => client.create(&resource, "", object).await.map(drop),
                Step::Update(object) => client.update(&key(&object), "", object).await.map(drop),
                Step::Status(object) => client.update(&key(&object), "status", object).await.map(drop),
                Step::Delete(name) => {
                    client.delete(&Key::new(&resource, "", &name), DeleteOptions::default()).await.map(drop)
                }
            };
            // Whoever came between has made a change that is looked at next.
            match outcome {
                Err(status) if !matches!(status.code, 404 | 409) => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }
}

async fn all<T: Typed>(client: &Client) -> Result<Vec<Value>, Status> {
    let list = client.list(&GroupResource::of::<T>(), "", ListOptions::default()).await?;
    Ok(list.objects.iter().map(|object| Value::clone(object.tree())).collect())
}

async fn watch<T: Typed>(client: &Client) -> Result<Changes, Status> {
    let resource = GroupResource::of::<T>();
    let revision = client.list(&resource, "", ListOptions::default()).await?.revision;
    let options = WatchOptions { resource_version: Some(revision), ..WatchOptions::default() };
    let events = client.watch(&resource, "", options).await?;
    let relevant = events.filter_map(|event| async {
        match event {
            Ok(WatchEvent::Bookmark { .. }) => None,
            Ok(_) => Some(Ok(())),
            Err(status) => Some(Err(status)),
        }
    });
    Ok(relevant.boxed())
}
