//! The server's parts, and what they are set to.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use kernel_registry::{KindTable, Registry};
use sdk_api::Clock;
use sdk_controller::Informers;
use sdk_plugin::{AuditSink, Authenticator, Authorizer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::discovery::Discovery;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::openapi::OpenApi;
use crate::stall::Watchdog;
use crate::steps::flow::{self, Dispatcher, Watchers};
use crate::verbs::frames::Frames;

/// How the API server reaches node agents.
#[derive(Clone)]
pub struct NodeClient {
    /// Trusts the CA of node certificates, and presents the API server's own.
    pub tls: Arc<rustls::ClientConfig>,
}

/// What an API server is set to. All bounds have upstream's values as their default.
#[derive(Clone)]
pub struct Settings {
    /// Largest body, in bytes. Source: `MaxRequestBodyBytes`, 3 MiB.
    pub body_bytes_max: usize,
    /// How long a request that is no stream may take. Source: `--request-timeout`.
    pub request_timeout: Duration,
    /// How many reads and writes may be in work at once. Source: `--max-requests-inflight` and
    /// `--max-mutating-requests-inflight`, together.
    pub requests_inflight_max: usize,
    /// How long a watch may last at least; the end is random between this and twice it. Source: `--min-request-timeout`.
    pub watch_timeout: Duration,
    /// How long a watcher may leave what it was sent unread before its connection is closed.
    pub watch_patience: Duration,
    /// Rhythm of bookmarks.
    pub bookmark_every: Duration,
    /// `v1.36.0+kubernel-0.1.0`
    pub git_version: String,
    pub node_client: Option<NodeClient>,
    /// Documents that plugins publish under paths of their own.
    pub documents: Vec<(&'static str, Value)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_bytes_max: 3 << 20,
            request_timeout: Duration::from_secs(60),
            requests_inflight_max: 600,
            watch_timeout: Duration::from_secs(1800),
            watch_patience: Duration::from_secs(60),
            bookmark_every: Duration::from_secs(60),
            git_version: concat!("v1.36.0+kubernel-", env!("CARGO_PKG_VERSION")).into(),
            node_client: None,
            documents: Vec::new(),
        }
    }
}

/// What is published of one kind table, made when first asked for.
pub(crate) struct Published {
    table: Arc<KindTable>,
    discovery: OnceLock<Discovery>,
    openapi: OnceLock<OpenApi>,
    /// The documents of the table before, most of which still hold.
    openapi_before: Option<OpenApi>,
}

impl Published {
    fn of(table: Arc<KindTable>, before: Option<&Self>) -> Arc<Self> {
        let openapi_before = before.and_then(|it| it.openapi.get().or(it.openapi_before.as_ref())).cloned();
        Arc::new(Self { table, discovery: OnceLock::new(), openapi: OnceLock::new(), openapi_before })
    }

    pub fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| Discovery::of(&self.table))
    }

    pub fn openapi(&self) -> &OpenApi {
        self.openapi.get_or_init(|| OpenApi::of(&self.table, self.openapi_before.as_ref()))
    }
}

/// The API server.
pub struct ApiServer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    pub(crate) authorizers: Vec<Arc<dyn Authorizer>>,
    pub(crate) audit_sinks: Vec<Arc<dyn AuditSink>>,
    pub(crate) settings: Settings,
    published: RwLock<Arc<Published>>,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    /// Priority and fairness.
    pub(crate) flow: Dispatcher,
    /// Who watches what over the network.
    pub(crate) watchers: Watchers,
    /// Cuts off watchers that do not read.
    pub(crate) watchdog: Watchdog,
    pub(crate) frames: Frames,
    /// Ends streams when the server stops.
    pub(crate) stop: CancellationToken,
}

impl ApiServer {
    pub fn new(
        registry: Arc<Registry>,
        authenticators: Vec<Arc<dyn Authenticator>>,
        authorizers: Vec<Arc<dyn Authorizer>>,
        audit_sinks: Vec<Arc<dyn AuditSink>>,
        health: Health,
        settings: Settings,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let metrics = Metrics::default();
        // A quarter of its time is what a request may wait. Source: `RequestWaitLimit` of the API server.
        let wait_max = settings.request_timeout / 4;
        let seats = settings.requests_inflight_max;
        Arc::new(Self {
            published: RwLock::new(Published::of(registry.table(), None)),
            flow: Dispatcher::new(registry.clock().clone(), seats, wait_max, metrics.flow.clone()),
            watchers: Watchers::default(),
            watchdog: Watchdog::new(registry.clock().clone(), settings.watch_patience),
            metrics,
            frames: Frames::default(),
            registry,
            authenticators,
            authorizers,
            audit_sinks,
            settings,
            health,
            stop,
        })
    }

    /// What is published of the kinds that there are now.
    pub(crate) fn published(&self) -> Arc<Published> {
        let table = self.registry.table();
        let current = self.published.read().expect("no one panics while reading a pointer").clone();
        if Arc::ptr_eq(&current.table, &table) {
            return current;
        }
        let new = Published::of(table, Some(&current));
        *self.published.write().expect("no one panics while writing a pointer") = new.clone();
        new
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Keeps priority and fairness as the API's objects say. Call it once, where their kinds are served.
    pub fn follow_flow_control(self: &Arc<Self>, informers: &Informers) {
        flow::follow(self, informers);
    }

    pub fn audit_sinks(&self) -> &[Arc<dyn AuditSink>] {
        &self.audit_sinks
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.registry.clock()
    }
}
