//! A cluster in one process: opens the store, makes the certificates, builds the server, and starts what runs on it.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use kernel_apiserver::{ApiServer, Health, Listener, LocalClients, NodeClient, Settings as ServerSettings};
use kernel_host::Host;
use kernel_host::task::{OnFailure, Stage, Task};
use kernel_registry::{KindTable, Registry, Setup};
use kernel_store::Store;
use sdk_api::{Clock, SystemClock};
use sdk_client::{Clients, Subject};
use sdk_controller::LeaseSettings;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backend::{self, Opened};
use crate::data_dir::{DataDir, State};
use crate::kubeconfig::{self, Entry};
use crate::options::{Runtime, Up};
use crate::pki::{Pki, client_tls, server_tls};
use crate::progress::Progress;
use crate::{nodes, plugins};

/// How long agents and controllers get to end when the cluster stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The lease in `kube-system` for what one server in the cluster does.
const LEADER_LEASE: &str = "kubernel-controllers";

/// A running cluster.
pub struct Cluster {
    pub address: SocketAddr,
    pub kubeconfig: PathBuf,
    pub server: Arc<ApiServer>,
    store: Arc<dyn Store>,
    /// Says that the data directory is in use, where the store does not.
    _lock: Option<Box<dyn Any + Send + Sync>>,
    host: Host,
    stop_server: CancellationToken,
    listening: Vec<JoinHandle<()>>,
}

/// Who the server itself is: it starts plugins before anybody else can act.
fn own_identity() -> Subject {
    Subject::new("system:apiserver", &["system:masters", "system:authenticated"])
}

impl Cluster {
    /// Starts a cluster and returns when it is ready.
    pub async fn start(up: &Up, progress: &Progress) -> Result<Self> {
        up.check().map_err(|wrong| anyhow!(wrong))?;
        let dir = DataDir::of(&up.place)?;
        let node_runtime = nodes::connect(up, progress).await?;

        // Bound before anything is written, so that an occupied port leaves no trace.
        let listeners = listen(up).await?;
        let address = listeners[0].address();

        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let Opened { store, lock, words, facts } = backend::open(&up.store, &dir, clock.clone()).await?;
        progress.step("store", &words, facts);

        let pki = match &up.pki_dir {
            Some(shared) => Pki::open_apart(shared, &dir.pki())?,
            None => Pki::open(&dir.pki())?,
        };
        let service_ip = first_address(up)?;
        let admin = pki.client("admin", "kubernetes-admin", &["system:masters"])?;
        let kubelet_client =
            pki.client("apiserver-kubelet-client", nodes::API_SERVER_TO_NODES, &["kubeadm:cluster-admins"])?;
        let own = pki.api_server(
            &[
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ],
            &server_addresses(address.ip(), service_ip),
        )?;
        let tls = server_tls(&own, &pki.client_ca, false, &["h2", "http/1.1"])?;
        let entry = Entry {
            name: &up.place.name,
            server: format!("https://{}", reachable(address)),
            authority: &pki.server_ca.certificate,
            admin: &admin,
        };
        kubeconfig::merge(&dir.admin_kubeconfig(), &entry)?;
        progress.step("certificates", "Made the certificates", json!({"directory": dir.pki()}));

        let settings = plugins::settings(up, &pki, &dir, address, clock.clone())?;
        let documents = settings.documents();
        let mut tables = plugins::register(settings);
        let table = KindTable::new(tables.kinds.clone()).map_err(|wrong| anyhow!(wrong))?;
        let registry = Arc::new(Registry::new(Setup {
            store: store.clone(),
            table,
            admission: tables.admissions.clone(),
            clock: clock.clone(),
            seed: rand::random(),
        }));
        let stop_server = CancellationToken::new();
        let started = Arc::new(AtomicBool::new(false));
        let health = Health::default();
        checks(&health, &store, &started);
        let server = ApiServer::new(
            registry,
            tables.authenticators.clone(),
            tables.authorizers.clone(),
            tables.audit_sinks.clone(),
            health,
            ServerSettings {
                documents,
                node_client: Some(NodeClient { tls: client_tls(&kubelet_client, &pki.node_ca, &["http/1.1"])? }),
                ..ServerSettings::default()
            },
            stop_server.clone(),
        );
        let clients: Arc<dyn Clients> = Arc::new(LocalClients::new(server.clone()));
        let informer_client = clients.client(&own_identity());
        let catalogue = Arc::new(plugins::TableCatalogue(server.registry().clone()));
        let host = Host::new(clients, informer_client.clone(), clock.clone(), catalogue);
        server.follow_flow_control(host.informers());
        host.prepare(&tables).await.map_err(|why| anyhow!("a plugin cannot start: {why}"))?;
        let rows = server.registry().clone();
        host.start_kind_sources(&tables, rows).await.map_err(|why| anyhow!("kinds cannot be added: {why}"))?;
        let listening = listeners.into_iter().map(|listener| tokio::spawn(listener.serve(server.clone(), tls.clone())));
        let listening: Vec<_> = listening.collect();

        // Written before anything is left outside of the data directory, so that a reset finds it whatever happens.
        let user_kubeconfig = remember(up, &dir, address)?;
        nodes::add(up, &dir, &pki, node_runtime, &mut tables, &clock).await?;
        plugins::first_objects(&informer_client)
            .await
            .map_err(|status| anyhow!("cannot write the default policy: {status}"))?;
        if up.store.is_shared() {
            host.start_led(&tables, informer_client, lease(&up.place.name));
        } else {
            host.start(&tables);
        }
        host.tasks().start(expiry(server.registry().clone()));
        started.store(true, Ordering::Release);
        progress.step(
            "server",
            &format!("Serving the API at https://{}", reachable(address)),
            json!({"address": address.to_string()}),
        );

        kubeconfig::merge(&user_kubeconfig, &entry)?;
        progress.step(
            "kubeconfig",
            &format!("Wrote context {:?} to {}", up.place.name, user_kubeconfig.display()),
            json!({"kubeconfig": user_kubeconfig, "context": up.place.name}),
        );
        Ok(Self { address, kubeconfig: user_kubeconfig, server, store, _lock: lock, host, stop_server, listening })
    }

    /// Stops in order: first who writes, then the server, then the store.
    pub async fn stop(self) {
        for late in self.host.stop(STOP_TIMEOUT).await {
            tracing::warn!(task = late, "A task did not stop in time.");
        }
        self.stop_server.cancel();
        for listening in self.listening {
            // A listener that panicked was reported when it did.
            let _ = listening.await;
        }
        for sink in self.server.audit_sinks() {
            sink.flush().await;
        }
        self.store.close().await;
    }
}

/// The task that drops what expires. Several servers on one store may try the same deletion; one succeeds.
fn expiry(registry: Arc<Registry>) -> Task {
    Task {
        name: "expiry".into(),
        owner: "registry".into(),
        stage: Stage::Kernel,
        on_failure: OnFailure::Restart,
        run: Arc::new(move |stop| {
            let expiring = registry.clone().expire();
            Box::pin(async move {
                let ended = stop.run_until_cancelled(expiring).await;
                ended.unwrap_or(Ok(())).map_err(|status| status.message)
            })
        }),
    }
}

/// The lease of the one server that runs controllers and scheduler. `host` may be the same for several servers, so each
/// start has an identity of its own.
fn lease(host: &str) -> LeaseSettings {
    let identity = format!("{host}_{:016x}", rand::random::<u64>());
    LeaseSettings::new("kube-system", LEADER_LEASE, &identity)
}

fn checks(health: &Health, store: &Arc<dyn Store>, started: &Arc<AtomicBool>) {
    let store = store.clone();
    health.add("store", true, move || store.health());
    let started = started.clone();
    health.add("plugins", false, move || match started.load(Ordering::Acquire) {
        true => Ok(()),
        false => Err("not all plugins have started".into()),
    });
}

/// Writes down what runs where, for `status`, `down` and `reset`. Gives the kubeconfig that the user's entry goes into.
fn remember(up: &Up, dir: &DataDir, address: SocketAddr) -> Result<PathBuf> {
    let kubeconfig = match &up.kubeconfig {
        Some(path) => path.clone(),
        None => kubeconfig::default_path()?,
    };
    dir.write_state(&State {
        name: up.place.name.clone(),
        pid: std::process::id(),
        address,
        kubeconfig: kubeconfig.clone(),
        runtime: up.runtime,
        runtime_endpoint: up.runtime_endpoint.clone(),
        nodes: if up.runtime == Runtime::None { 0 } else { up.nodes },
        cni_conf_dir: up.cni_conf_dir.clone(),
    })?;
    Ok(kubeconfig)
}

/// Binds the address asked for, and beside a loopback address the node's own on the same port: pods cannot reach
/// loopback, and the Service `kubernetes` must lead somewhere.
async fn listen(up: &Up) -> Result<Vec<Listener>> {
    let bind = async |address| {
        Listener::bind(address).await.map_err(|error| {
            anyhow!("{error}; stop what uses it, or choose another address with --listen (port 0 picks a free one)")
        })
    };
    let mut listeners = vec![bind(up.listen).await?];
    let main = listeners[0].address();
    if up.runtime == Runtime::Cri && main.ip().is_loopback() {
        listeners.push(bind(SocketAddr::new(nodes::node_address(), main.port())).await?);
    }
    Ok(listeners)
}

/// The address that clients on this machine use.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

fn server_addresses(listen: IpAddr, service: IpAddr) -> Vec<IpAddr> {
    let mut all = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), service];
    all.extend(nodes::own_addresses());
    if !listen.is_unspecified() && !all.contains(&listen) {
        all.push(listen);
    }
    all.dedup();
    all
}

/// The address of the Service `kubernetes`: the first of the range.
pub fn first_address(up: &Up) -> Result<IpAddr> {
    match up.service_cidr.hosts().next() {
        Some(address) => Ok(address),
        None => bail!("--service-cidr {} has no addresses", up.service_cidr),
    }
}
