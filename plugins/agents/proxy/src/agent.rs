//! The proxy as a worker: watches Services and EndpointSlices, keeps the rules as they say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::Service;
use sdk_api::k8s_openapi::api::discovery::v1::EndpointSlice;
use sdk_api::{Clock, GroupResource, Key, Object};
use sdk_client::Subject;
use sdk_controller::{Inbox, Informers};
use sdk_plugin::{Agent, Context};
use tracing::{debug, error, info, warn};

use crate::nft::{Error, Nft};
use crate::rules::{self, Config};
use crate::service::{State, stale_flows};
use crate::table::Table;

/// The first pause after rules were refused; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How the proxy works.
#[derive(Clone)]
pub struct Settings {
    /// The node it runs on: endpoints there are local.
    pub node_name: String,
    /// The node's addresses. Only their families matter: a family the node does not have gets no rules. Node ports answer
    /// on every address of the machine but the loopback ones.
    pub node_ips: Vec<IpAddr>,
    /// CIDRs of pods, of both families if there are two: traffic to cluster IPs from elsewhere is masqueraded.
    pub cluster_cidr: Vec<String>,
    /// Where rules go: [`crate::nft::System`], or [`crate::nft::Discard`] on simulated nodes.
    pub backend: Arc<dyn Nft>,
    /// The name of its tables, mostly [`crate::table::NAME`]; another one where a second cluster has a node on the machine.
    pub table: String,
}

/// Makes Services answer on a node.
pub struct Proxy {
    settings: Settings,
}

impl Proxy {
    /// Does nothing until it is run.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Agent for Proxy {
    fn name(&self) -> &'static str {
        "proxy"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:kube-proxy", &["system:authenticated"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let Context { client, clock, stop, .. } = context;
        let settings = &self.settings;
        let machine = settings.backend.prepare().await.map_err(|error| with_causes(&error))?;
        let config = Config {
            table: settings.table.clone(),
            cluster_cidrs: settings.cluster_cidr.clone(),
            masquerade_bridged: !machine.bridges_are_filtered,
        };
        let informers = Informers::new(client, clock.clone());
        let inbox = Arc::new(Inbox::default());
        let watched = [GroupResource::of::<Service>(), GroupResource::of::<EndpointSlice>()];
        let watched = watched.map(|resource| informers.open(&resource));
        // Until everything is known, the rules of the last run stay in force.
        if stop.run_until_cancelled(informers.synced()).await.is_none() {
            return Ok(());
        }
        for informer in &watched {
            inbox.subscribe(informer);
        }
        let mut rules = Rules::new(settings, config);
        stop.run_until_cancelled(rules.keep(&inbox, &*clock)).await;
        // The rules stay: Services go on answering while nobody runs the proxy.
        info!("The proxy stopped; its rules stay in force.");
        Ok(())
    }
}

/// An error with what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// What is known, and what is in force.
struct Rules {
    settings: Settings,
    config: Config,
    families: Vec<bool>,
    services: BTreeMap<Key, Arc<Service>>,
    slices: BTreeMap<Key, Arc<EndpointSlice>>,
    state: State,
    /// The tables in force, by family; `None` while it is not known what is.
    tables: Option<Vec<Table>>,
}

impl Rules {
    fn new(settings: &Settings, config: Config) -> Self {
        let mut families = vec![false];
        if settings.node_ips.iter().any(IpAddr::is_ipv6) {
            families.push(true);
        }
        Self {
            settings: settings.clone(),
            config,
            families,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            state: State::default(),
            tables: None,
        }
    }

    /// Applies what changes, as long as it is let. Changes that come while rules are written go into the next transaction
    /// together.
    async fn keep(&mut self, inbox: &Inbox, clock: &dyn Clock) {
        let mut pause = PAUSE_MIN;
        loop {
            for (key, object) in inbox.take(usize::MAX) {
                self.take_in(key, object.as_deref());
            }
            match self.apply().await {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    inbox.arrival().await;
                }
                Err(error) => {
                    let cause = with_causes(&error);
                    error!(error = cause, "Cannot apply the rules of Services, trying again.");
                    // It is not known what is in force: the next transaction replaces everything.
                    self.tables = None;
                    clock.sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn take_in(&mut self, key: Key, object: Option<&Object>) {
        if key.resource == GroupResource::of::<Service>() {
            put(&mut self.services, key, object);
        } else {
            put(&mut self.slices, key, object);
        }
    }

    async fn apply(&mut self) -> Result<(), Error> {
        let services = self.services.values().map(|service| &**service);
        let slices = self.slices.values().map(|slice| &**slice);
        let state = State::of(services, slices, &self.settings.node_name);
        if self.tables.is_some() && state == self.state {
            return Ok(());
        }
        let tables: Vec<Table> = self.families.iter().map(|v6| rules::table(&state, &self.config, *v6)).collect();
        let script: String = match &self.tables {
            Some(old) => old.iter().zip(&tables).map(|(old, new)| old.change(new)).collect(),
            None => tables.iter().map(Table::replace).collect(),
        };
        if !script.is_empty() {
            self.settings.backend.apply(&script).await?;
            debug!(ports = state.ports.len(), bytes = script.len(), "Applied the rules of Services.");
        }
        let stale = stale_flows(&self.state, &state);
        (self.tables, self.state) = (Some(tables), state);
        for flow in stale.iter().filter(|flow| self.families.contains(&flow.v6)) {
            if let Err(error) = self.settings.backend.forget(flow).await {
                warn!(error = with_causes(&error), ?flow, "Clients may go on sending to an endpoint that is gone.");
            }
        }
        Ok(())
    }
}

fn put<T: sdk_api::Typed>(all: &mut BTreeMap<Key, Arc<T>>, key: Key, object: Option<&Object>) {
    match object.map(Object::typed::<T>) {
        Some(Ok(typed)) => drop(all.insert(key, typed)),
        Some(Err(error)) => error!(%key, %error, "A stored object does not fit its type."),
        None => drop(all.remove(&key)),
    }
}

#[cfg(test)]
mod tests;
