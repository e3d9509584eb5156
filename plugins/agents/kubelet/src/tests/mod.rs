//! A kubelet against an API in memory and a simulated runtime.

mod life;
mod node;
mod probes;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use providers_runtime_sim::{Delays, SimRuntime};
use sdk_api::k8s_openapi::api::core::v1::{Event, Pod};
use sdk_api::{GroupResource, Key};
use sdk_client::{DeleteOptions, Subject};
use sdk_plugin::node::NodeRuntime;
use sdk_testkit::{FakeApi, ManualClock, settle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::settings::{Ground, Settings};

/// A node with its API and its runtime.
struct World {
    clock: Arc<ManualClock>,
    api: FakeApi,
    runtime: Arc<SimRuntime>,
    settings: Settings,
    stop: CancellationToken,
}

impl World {
    /// A running kubelet on the node `n1`.
    async fn new() -> Self {
        let mut world = Self::without_kubelet();
        world.start_kubelet().await;
        world
    }

    fn without_kubelet() -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let settings = providers_runtime_sim::Settings {
            clock: clock.clone(),
            seed: 1,
            delays: Delays::default(),
            pod_cidr: Some("10.0.0.0/24".into()),
        };
        let runtime = Arc::new(SimRuntime::new(settings).unwrap());
        let settings = Settings::new("n1", Ground::Simulated, runtime.clone());
        Self { clock, api, runtime, settings, stop: CancellationToken::new() }
    }

    async fn start_kubelet(&mut self) {
        self.stop = CancellationToken::new();
        let client = sdk_client::Clients::client(&self.api, &crate::kubelet::identity("n1"));
        let run = crate::kubelet::run(self.settings.clone(), client, self.clock.clone(), self.stop.clone());
        tokio::spawn(run);
        settle().await;
    }

    async fn stop_kubelet(&self) {
        self.stop.cancel();
        settle().await;
    }

    /// Creates a pod of this node. What `spec` does not say is as the API defaults it.
    async fn create(&self, name: &str, spec: Value) {
        self.create_annotated(name, spec, json!({})).await;
    }

    async fn create_annotated(&self, name: &str, spec: Value, annotations: Value) {
        let mut whole = json!({"nodeName": "n1", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30});
        for (field, value) in spec.as_object().into_iter().flatten() {
            whole[field] = value.clone();
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
            "spec": whole, "status": {"phase": "Pending"}});
        self.api.admin().create(&GroupResource::of::<Pod>(), "ns", pod).await.unwrap();
        settle().await;
    }

    async fn delete(&self, name: &str, grace_seconds: Option<i64>) {
        let options = DeleteOptions { grace_period_seconds: grace_seconds, ..DeleteOptions::default() };
        self.api.admin().delete(&key(name), options).await.unwrap();
        settle().await;
    }

    async fn run_for(&self, seconds: u64) {
        self.clock.run_for(Duration::from_secs(seconds)).await;
    }

    fn exists(&self, name: &str) -> bool {
        self.api.object(&key(name)).is_some()
    }

    fn status(&self, name: &str) -> Value {
        self.api.tree(&key(name))["status"].clone()
    }

    fn phase(&self, name: &str) -> String {
        self.status(name)["phase"].as_str().unwrap_or_default().into()
    }

    fn container(&self, name: &str, index: usize) -> Value {
        self.status(name)["containerStatuses"][index].clone()
    }

    fn ready(&self, name: &str) -> bool {
        let status = self.status(name);
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    }

    /// Events about an object, as `reason: message`, in the order of their making.
    fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.api.objects(&GroupResource::of::<Event>(), "");
        events.sort_by_key(|event| event.revision());
        let about = |tree: &Value| tree["involvedObject"]["name"] == name;
        let text = |tree: &Value, field: &str| tree[field].as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .map(|event| event.tree())
            .filter(|tree| about(tree))
            .map(|tree| format!("{}: {}", text(tree, "reason"), text(tree, "message")))
            .collect()
    }

    fn has_event(&self, name: &str, wanted: &str) -> bool {
        self.events(name).iter().any(|event| event == wanted)
    }

    async fn runtime_is_empty(&self) -> bool {
        self.runtime.containers().await.unwrap().is_empty() && self.runtime.sandboxes().await.unwrap().is_empty()
    }
}

fn key(name: &str) -> Key {
    Key::of::<Pod>("ns", name)
}

fn one_container() -> Value {
    json!({"containers": [{"name": "c", "image": "web:1"}]})
}

/// A container with environment variables, which is how the simulation is steered.
fn steered(name: &str, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"name": name, "image": "web:1", "env": env})
}
