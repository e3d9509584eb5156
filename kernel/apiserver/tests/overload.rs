//! A server with one seat: who is refused, who is not, and that nobody waits for oneself.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use kernel_apiserver::{ApiServer, Health, LocalClients, Settings};
use kernel_registry::{KindTable, Registry, Setup};
use kernel_store::{Limits, MemoryStore};
use sdk_api::k8s_openapi::api::core::v1::ConfigMap;
use sdk_api::{GroupResource, Key, Status};
use sdk_client::{Client, Clients, Subject};
use sdk_plugin::{Admission, AdmissionRequest, Attributes, Authorizer, Decision, Kind};
use sdk_testkit::{Build, ManualClock, settle};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Everybody may do everything.
struct Open;

#[async_trait]
impl Authorizer for Open {
    fn name(&self) -> &'static str {
        "open"
    }

    async fn authorize(&self, _attributes: &Attributes) -> Decision {
        Decision::Allow { reason: String::new() }
    }
}

/// Writes of `held` wait for the gate; those of `asks` read something in process first, as the same user.
struct Gate {
    open: Arc<Semaphore>,
    client: Arc<OnceLock<Client>>,
}

#[async_trait]
impl Admission for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn handles(&self, _request: &AdmissionRequest) -> bool {
        true
    }

    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        if request.name == "held" {
            self.open.acquire().await.expect("it is not closed").forget();
        }
        if request.name == "asks" {
            let client = self.client.get().expect("set before the first request");
            client.find(&Key::of::<ConfigMap>("n", "held")).await?;
        }
        Ok(())
    }
}

struct Server {
    clients: LocalClients,
    open: Arc<Semaphore>,
}

impl Server {
    fn with_one_seat() -> Self {
        let clock = ManualClock::new();
        let (open, client) = (Arc::new(Semaphore::new(0)), Arc::new(OnceLock::new()));
        let gate = Gate { open: open.clone(), client: client.clone() };
        let registry = Registry::new(Setup {
            store: Arc::new(MemoryStore::new(clock.clone(), Limits::default())),
            table: KindTable::new([Kind::plain::<ConfigMap>()]).unwrap(),
            admission: vec![Arc::new(gate)],
            clock,
            seed: 7,
        });
        let settings = Settings { requests_inflight_max: 1, ..Settings::default() };
        let (health, stop) = (Health::default(), CancellationToken::new());
        let server =
            ApiServer::new(Arc::new(registry), Vec::new(), vec![Arc::new(Open)], Vec::new(), health, settings, stop);
        let clients = LocalClients::new(server);
        client.set(clients.client(&user("ann"))).ok().expect("set once");
        Self { clients, open }
    }

    async fn create(&self, subject: &Subject, name: &str) -> Result<(), Status> {
        let body = Build::of::<ConfigMap>("n", name).tree();
        self.clients.client(subject).create(&GroupResource::of::<ConfigMap>(), "n", body).await.map(drop)
    }
}

fn user(name: &str) -> Subject {
    Subject::new(name, &["system:authenticated"])
}

#[tokio::test]
async fn a_server_without_seats_refuses_all_but_the_exempt() {
    let server = Arc::new(Server::with_one_seat());
    let holder = tokio::spawn({
        let server = server.clone();
        async move { server.create(&user("ann"), "held").await }
    });
    settle().await;
    let refused = server.create(&user("bob"), "b").await.unwrap_err();
    assert_eq!((refused.code, &*refused.message), (429, "Too many requests, please try again later."));
    assert_eq!(refused.details.map(|details| details.retry_after_seconds), Some(1));
    server.create(&Subject::new("root", &["system:masters"]), "c").await.unwrap();
    server.open.add_permits(1);
    holder.await.unwrap().unwrap();
    server.create(&user("bob"), "b").await.unwrap();
}

#[tokio::test]
async fn a_request_that_asks_in_process_does_not_wait_for_its_own_seat() {
    let server = Server::with_one_seat();
    server.create(&user("ann"), "asks").await.unwrap();
    server.create(&user("ann"), "asks-no-more").await.unwrap();
}
