//! The controllers of this folder at work against the server in memory, with pods that start when the test says so.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use sdk_api::k8s_openapi::api::core::v1::{Event, Pod};
use sdk_api::{GroupResource, Key, Object};
use sdk_client::Patch;
use sdk_controller::{Catalogue, Harness, Informers};
use sdk_plugin::Tables;
use sdk_testkit::{Build, FakeApi, ManualClock, settle};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct Kinds;

impl Catalogue for Kinds {
    fn resources(&self) -> Vec<GroupResource> {
        Vec::new()
    }

    fn resolve(&self, _: &str, _: &str) -> Option<(GroupResource, bool)> {
        None
    }
}

pub(super) struct World {
    pub clock: Arc<ManualClock>,
    pub api: FakeApi,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    pub fn start() -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let mut tables = Tables::default();
        super::register(&mut tables);
        let informers = Informers::new(api.admin(), clock.clone());
        let harness = Harness { clients: api.clients(), informers, clock: clock.clone(), catalogue: Arc::new(Kinds) };
        let stop = CancellationToken::new();
        tokio::spawn(harness.run(tables.controllers, stop.clone()));
        Self { clock, api, _stop: stop.drop_guard() }
    }

    /// Everybody does what there is to do, and a little time passes.
    pub async fn settle(&self) {
        settle().await;
        self.clock.run_for(Duration::from_millis(100)).await;
    }

    pub fn pods(&self) -> Vec<Arc<Object>> {
        self.api.objects(&GroupResource::of::<Pod>(), "n")
    }

    /// Pods that are not being deleted.
    pub fn running(&self) -> usize {
        self.pods().iter().filter(|pod| !pod.meta().is_deleting()).count()
    }

    pub fn ready(&self) -> usize {
        let is_ready = |pod: &Arc<Object>| {
            let pod: Arc<Pod> = pod.typed().unwrap();
            sdk_workload::is_ready(&pod) && !sdk_workload::is_terminating(&pod)
        };
        self.pods().iter().filter(|pod| is_ready(pod)).count()
    }

    /// What a kubelet would do to the pods that `works` says yes to: start them, and let the deleted go.
    pub fn start_pods(&self, works: impl Fn(&Object) -> bool) {
        for pod in self.pods() {
            if pod.meta().is_deleting() {
                self.api.remove(pod.key());
                continue;
            }
            let typed: Arc<Pod> = pod.typed().unwrap();
            if works(&pod) && !sdk_workload::is_ready(&typed) {
                let mut tree = (**pod.tree()).clone();
                let now = sdk_api::time::rfc3339(sdk_api::Clock::now(&*self.clock));
                tree["spec"]["nodeName"] = "x".into();
                tree["status"] = json!({"phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]});
                self.api.seed(tree);
            }
        }
    }

    pub async fn run_until_level(&self, works: impl Fn(&Object) -> bool, check: impl Fn(&Self)) {
        for _ in 0..60 {
            let before = self.api.revision();
            self.settle().await;
            check(self);
            self.start_pods(&works);
            self.settle().await;
            check(self);
            if self.api.revision() == before {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub async fn patch_deployment(&self, name: &str, body: Value) {
        let key = Key::of::<Deployment>("n", name);
        self.api.admin().patch(&key, "", Patch::strategic(body)).await.unwrap();
    }

    pub fn deployment(&self, name: &str) -> Value {
        self.api.tree(&Key::of::<Deployment>("n", name))
    }

    /// Name, revision and size of each set, in order of revision.
    pub fn sets(&self) -> Vec<(String, String, i64)> {
        let mut sets: Vec<_> = self.api.objects(&GroupResource::of::<ReplicaSet>(), "n");
        sets.sort_by_key(|set| set.meta().annotations.get("deployment.kubernetes.io/revision").cloned());
        let row = |set: &Arc<Object>| {
            let revision = set.meta().annotations.get("deployment.kubernetes.io/revision").cloned();
            (set.name().to_owned(), revision.unwrap_or_default(), set.tree()["spec"]["replicas"].as_i64().unwrap_or(-1))
        };
        sets.iter().map(row).collect()
    }

    pub fn events(&self, reason: &str) -> Vec<String> {
        let events = self.api.objects(&GroupResource::of::<Event>(), "n");
        let of_reason = events.iter().filter(|event| event.tree()["reason"] == reason);
        of_reason.map(|event| event.tree()["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Creates a deployment with the API's defaults, as a user would.
    pub async fn create(&self, deployment: Build) {
        let deployments = GroupResource::of::<Deployment>();
        self.api.admin().create(&deployments, "n", deployment.tree()).await.unwrap();
    }
}

pub(super) fn condition(document: &Value, kind: &str) -> String {
    let conditions = document["status"]["conditions"].as_array();
    let found = conditions.and_then(|list| list.iter().find(|condition| condition["type"] == kind));
    found.map_or(String::new(), |c| format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap()))
}
