//! The worker against an API server in memory, with rules that go nowhere.

use std::sync::Mutex;

use sdk_client::Clients;
use sdk_plugin::Context;
use sdk_testkit::{Build, FakeApi, ManualClock, settle, until};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::nft::Machine;
use crate::service::Flow;

/// Remembers what it was given, and refuses while it is told to.
#[derive(Default)]
struct Recording {
    scripts: Mutex<Vec<String>>,
    forgotten: Mutex<Vec<Flow>>,
    refusals: Mutex<u32>,
}

#[async_trait]
impl Nft for Recording {
    async fn prepare(&self) -> Result<Machine, Error> {
        Ok(Machine { bridges_are_filtered: true })
    }

    async fn apply(&self, script: &str) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.scripts.lock().unwrap().push(script.to_owned());
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Error::Refused { program: "nft", message: "busy".into() });
        }
        Ok(())
    }

    async fn forget(&self, flow: &Flow) -> Result<(), Error> {
        self.forgotten.lock().unwrap().push(flow.clone());
        Ok(())
    }
}

struct World {
    api: FakeApi,
    clock: Arc<ManualClock>,
    nft: Arc<Recording>,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<Result<(), String>>>,
}

impl World {
    fn start(seed: impl FnOnce(&FakeApi, &Recording)) -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let nft = Arc::new(Recording::default());
        seed(&api, &nft);
        let proxy = Proxy::new(Settings {
            node_name: "node-1".into(),
            node_ips: Vec::new(),
            cluster_cidr: vec!["10.244.0.0/16".into()],
            backend: nft.clone(),
            table: crate::table::NAME.into(),
        });
        let stop = CancellationToken::new();
        let context = Context {
            client: api.client(&proxy.identity()),
            clients: Arc::new(api.clone()),
            clock: clock.clone(),
            stop: stop.clone(),
        };
        let running = tokio::spawn(async move { proxy.run(context).await });
        Self { api, clock, nft, stop, running: Some(running) }
    }

    fn scripts(&self) -> Vec<String> {
        self.nft.scripts.lock().unwrap().clone()
    }
}

fn slice(name: &str, ips: &[&str], protocol: &str) -> Build {
    let endpoints: Vec<_> = ips.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    Build::new("discovery.k8s.io/v1", "EndpointSlice", "n", &format!("{name}-1"))
        .label("kubernetes.io/service-name", name)
        .set("addressType", json!("IPv4"))
        .set("ports", json!([{"name": "", "port": 80, "protocol": protocol}]))
        .set("endpoints", json!(endpoints))
}

#[tokio::test]
async fn rules_follow_the_api_one_transaction_a_burst() {
    let mut world = World::start(|api, _| drop(api.seed(Build::service("n", "web"))));
    until("the first rules are written", || world.scripts().len() == 1).await;
    let first = world.scripts().remove(0);
    assert!(first.starts_with("add table ip kubernel\ndelete table ip kubernel\n"), "it starts from nothing");
    assert!(first.contains("no-endpoint-services { 10.96.0.10 . tcp . 80 : goto reject-chain }"));
    world.api.seed(slice("web", &["10.244.0.2"], "TCP"));
    world.api.seed(slice("web", &["10.244.0.2", "10.244.0.3"], "TCP"));
    until("the change is written", || world.scripts().len() == 2).await;
    settle().await;
    let second = world.scripts().remove(1);
    assert_eq!(world.scripts().len(), 2, "a burst is one transaction");
    assert!(second.contains("numgen random mod 2") && !second.contains("delete table"), "{second}");
    world.api.seed(Build::service("n", "web").label("a", "b"));
    settle().await;
    assert_eq!(world.scripts().len(), 2, "what does not matter writes nothing");
    assert_eq!(world.clock.sleepers(), 0, "nobody polls");
    world.stop.cancel();
    world.running.take().unwrap().await.unwrap().unwrap();
    assert_eq!(world.scripts().len(), 2, "the rules stay when the proxy stops");
}

#[tokio::test]
async fn refused_rules_are_written_anew_from_nothing() {
    let world = World::start(|api, nft| {
        api.seed(Build::service("n", "web"));
        *nft.refusals.lock().unwrap() = 2;
    });
    until("the first try", || world.scripts().len() == 1).await;
    world.clock.run_for(Duration::from_secs(1)).await;
    assert_eq!(world.scripts().len(), 2);
    world.clock.run_for(Duration::from_secs(2)).await;
    let scripts = world.scripts();
    assert_eq!((scripts.len(), &scripts[2]), (3, &scripts[0]));
}

#[tokio::test]
async fn datagrams_to_gone_endpoints_are_forgotten() {
    let world = World::start(|api, _| {
        let dns = json!([{"port": 53, "protocol": "UDP", "targetPort": 80}]);
        api.seed(Build::service("n", "dns").set("spec.ports", dns));
        api.seed(slice("dns", &["10.244.0.2", "10.244.0.3"], "UDP"));
    });
    until("the first rules are written", || world.scripts().len() == 1).await;
    settle().await;
    world.nft.forgotten.lock().unwrap().clear();
    world.api.seed(slice("dns", &["10.244.0.2"], "UDP"));
    until("the flow is forgotten", || !world.nft.forgotten.lock().unwrap().is_empty()).await;
    let flows = world.nft.forgotten.lock().unwrap().clone();
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].endpoint, flows[0].port), (Some("10.244.0.3".parse().unwrap()), 53));
}
