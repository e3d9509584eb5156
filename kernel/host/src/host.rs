//! The host: gives plugins what they run on, starts them, and stops them in order.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Clock;
use sdk_client::{Client, Clients, Subject};
use sdk_controller::{Catalogue, Harness, Informers, LeaseSettings};
use sdk_plugin::{Agent, Context, DynController, KindRows, Tables};
use tokio_util::sync::CancellationToken;

use crate::leader;
use crate::task::{OnFailure, Stage, Task, TaskTable};

/// Runs what plugins registered.
pub struct Host {
    clients: Arc<dyn Clients>,
    informers: Informers,
    clock: Arc<dyn Clock>,
    catalogue: Arc<dyn Catalogue>,
    tasks: TaskTable,
    /// Stops what stands in the request path, after everybody who makes requests.
    stop_prepared: CancellationToken,
}

impl Host {
    /// `informer_client` reads all collections for the shared informers; what plugins write they write as themselves.
    pub fn new(
        clients: Arc<dyn Clients>,
        informer_client: Client,
        clock: Arc<dyn Clock>,
        catalogue: Arc<dyn Catalogue>,
    ) -> Self {
        let informers = Informers::new(informer_client, clock.clone());
        let (tasks, stop_prepared) = (TaskTable::new(clock.clone()), CancellationToken::new());
        Self { clients, informers, tasks, clock, catalogue, stop_prepared }
    }

    /// The informers that all controllers share, for whoever else in the process wants to read.
    pub fn informers(&self) -> &Informers {
        &self.informers
    }

    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    /// Lets authenticators, authorizers, admission and the hooks of kinds open what they need, before the first request.
    /// They read as `system:apiserver`, in process.
    pub async fn prepare(&self, tables: &Tables) -> Result<(), String> {
        let context = self.context(&Subject::new("system:apiserver", &["system:masters"]), self.stop_prepared.clone());
        for authenticator in &tables.authenticators {
            let name = authenticator.name();
            authenticator.start(context.clone()).await.map_err(|error| format!("authenticator {name}: {error}"))?;
        }
        for authorizer in &tables.authorizers {
            let name = authorizer.name();
            authorizer.start(context.clone()).await.map_err(|error| format!("authorizer {name}: {error}"))?;
        }
        for admission in &tables.admissions {
            let name = admission.name();
            admission.start(context.clone()).await.map_err(|error| format!("admission {name}: {error}"))?;
        }
        for kind in &tables.kinds {
            let Some(hook) = &kind.hook else { continue };
            hook.start(context.clone()).await.map_err(|error| format!("hook of {}: {error}", kind.gvk))?;
        }
        Ok(())
    }

    /// Lets the sources of kinds put in the rows that they know already, before the first request.
    pub async fn start_kind_sources(&self, tables: &Tables, rows: Arc<dyn KindRows>) -> Result<(), String> {
        for source in &tables.kind_sources {
            let context =
                self.context(&Subject::new("system:apiserver", &["system:masters"]), self.stop_prepared.clone());
            let name = source.name();
            source.start(context, rows.clone()).await.map_err(|error| format!("kinds of {name}: {error}"))?;
        }
        Ok(())
    }

    /// Starts all agents and controllers. Must be called within a tokio runtime, once the API answers.
    pub fn start(&self, tables: &Tables) {
        self.start_controllers(tables.controllers.clone());
        for agent in &tables.agents {
            self.start_agent(agent.clone());
        }
    }

    pub fn start_controllers(&self, controllers: Vec<Arc<dyn DynController>>) {
        self.tasks.start(self.controllers_task(controllers));
    }

    pub fn start_agent(&self, agent: Arc<dyn Agent>) {
        self.tasks.start(self.agent_task(agent));
    }

    /// Starts what this server does for itself, and lets it contend for what one server in the whole cluster does: the
    /// controllers and the agents that are single. For servers that share a store.
    pub fn start_led(&self, tables: &Tables, client: Client, lease: LeaseSettings) {
        let (single, own): (Vec<_>, Vec<_>) = tables.agents.iter().cloned().partition(|agent| agent.is_single());
        let mut led = vec![self.controllers_task(tables.controllers.clone())];
        led.extend(single.into_iter().map(|agent| self.agent_task(agent)));
        self.tasks.start(leader::task(client, self.clock.clone(), lease, led));
        for agent in own {
            self.start_agent(agent);
        }
    }

    fn controllers_task(&self, controllers: Vec<Arc<dyn DynController>>) -> Task {
        let harness = Harness {
            clients: self.clients.clone(),
            informers: self.informers.clone(),
            clock: self.clock.clone(),
            catalogue: self.catalogue.clone(),
        };
        Task {
            name: "controllers".into(),
            owner: "host".into(),
            stage: Stage::Controllers,
            on_failure: OnFailure::Restart,
            run: Arc::new(move |stop| {
                let (harness, controllers) = (harness.clone(), controllers.clone());
                Box::pin(async move {
                    harness.run(controllers, stop).await;
                    Ok(())
                })
            }),
        }
    }

    fn agent_task(&self, agent: Arc<dyn Agent>) -> Task {
        let (clients, clock) = (self.clients.clone(), self.clock.clone());
        let name = agent.name();
        Task {
            name: name.into(),
            owner: name.into(),
            stage: Stage::Agents,
            on_failure: OnFailure::Restart,
            run: Arc::new(move |stop| {
                let client = clients.client(&agent.identity());
                let context = Context { client, clients: clients.clone(), clock: clock.clone(), stop };
                let agent = agent.clone();
                Box::pin(async move { agent.run(context).await })
            }),
        }
    }

    /// Stops everything in order: agents, controllers, services, the kernel's own. Names those that were late.
    pub async fn stop(&self, deadline: Duration) -> Vec<String> {
        let late = self.tasks.stop(deadline).await;
        self.informers.stop();
        self.stop_prepared.cancel();
        late
    }

    fn context(&self, identity: &Subject, stop: CancellationToken) -> Context {
        let client = self.clients.client(identity);
        Context { client, clients: self.clients.clone(), clock: self.clock.clone(), stop }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
    use sdk_api::{GroupResource, Key};
    use sdk_client::Patch;
    use sdk_plugin::{Controller, Plan, Plugin, View};
    use sdk_testkit::{Build, FakeApi, ManualClock, settle, until};
    use serde_json::json;

    use super::*;

    struct Kinds;

    impl Catalogue for Kinds {
        fn resources(&self) -> Vec<GroupResource> {
            vec![GroupResource::of::<ConfigMap>()]
        }

        fn resolve(&self, _: &str, _: &str) -> Option<(GroupResource, bool)> {
            None
        }
    }

    struct Marker;

    impl Controller for Marker {
        type Object = ConfigMap;
        const NAME: &'static str = "marker";

        fn plan(&self, _: &View<'_>, map: &ConfigMap) -> Plan {
            let key = Key::of::<ConfigMap>("n", map.metadata.name.as_deref().unwrap_or_default());
            Plan::nothing().patch(key, "", Patch::merge(json!({"data": {"marked": "yes"}})))
        }
    }

    struct Creator;

    #[async_trait]
    impl Agent for Creator {
        fn name(&self) -> &'static str {
            "creator"
        }

        fn identity(&self) -> Subject {
            Subject::new("system:creator", &[])
        }

        async fn run(&self, context: Context) -> Result<(), String> {
            let maps = GroupResource::of::<ConfigMap>();
            let made = context.client.create(&maps, "n", Build::of::<ConfigMap>("n", "a").tree()).await;
            made.map_err(|status| status.message)?;
            context.stop.cancelled().await;
            Ok(())
        }
    }

    struct Both;

    impl Plugin for Both {
        fn name(&self) -> &'static str {
            "both"
        }

        fn register(&self, tables: &mut Tables) {
            tables.controller(Marker);
            tables.agent(Arc::new(Creator));
        }
    }

    #[tokio::test]
    async fn agents_and_controllers_run_under_their_own_names_and_stop() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let host = Host::new(api.clients(), api.admin(), clock, Arc::new(Kinds));
        let mut tables = Tables::default();
        Both.register(&mut tables);
        host.prepare(&tables).await.unwrap();
        host.start(&tables);
        let key = Key::of::<ConfigMap>("n", "a");
        until("it is marked", || api.object(&key).is_some_and(|map| map.tree()["data"]["marked"] == "yes")).await;
        settle().await;
        let writers: Vec<_> = api.writes().into_iter().map(|write| write.subject.name).collect();
        assert_eq!(writers[..2], ["system:creator", "system:serviceaccount:kube-system:marker-controller"]);
        assert_eq!(host.tasks().rows().len(), 2);
        assert_eq!(host.stop(Duration::from_secs(1)).await, Vec::<String>::new());
    }
}
