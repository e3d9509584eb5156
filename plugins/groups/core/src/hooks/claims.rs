//! Cluster IPs and node ports where several servers share a store.
//!
//! Each write looks at the Services as they are, and at what other writes have claimed and not yet shown: the claims stand
//! in a Lease, and whoever adds one must have seen all before it. A claim ends by itself, once its Service has long been
//! written or never will be. Upstream keeps IPAddress objects and a bitmap of ports for the same end.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::k8s_openapi::api::core::v1::Service;
use sdk_api::{GroupResource, Key, Object, Status};
use sdk_client::ListOptions;
use sdk_plugin::{Context, HookGuard, WriteHook};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::service::{Held, ServiceHook, spec_of};

/// The Lease in `kube-system` that holds the claims, in an annotation.
const LEASE: &str = "service-numbers";
const ANNOTATION: &str = "kubernel.io/claims";
/// How long a write may take from its reservation to its commit. Webhooks take 30 s at most, clocks differ by less.
const CLAIM: SignedDuration = SignedDuration::from_secs(120);
/// How often a write tries when others claim at the same time.
const TRIES_MAX: usize = 100;

/// Reserves cluster IPs and node ports among servers.
pub struct SharedServiceHook {
    cidr: IpNet,
    ports: (u16, u16),
    context: OnceLock<Context>,
    /// One write of this server at a time: they would only run into each other.
    turn: Mutex<()>,
}

/// What one write has taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    /// `namespace/name`: a write of the same Service may take it again.
    service: String,
    held: Held,
    until: Timestamp,
}

impl SharedServiceHook {
    pub fn new(cidr: IpNet, ports: (u16, u16)) -> Self {
        Self { cidr, ports, context: OnceLock::new(), turn: Mutex::default() }
    }

    /// Pools in which nothing is taken.
    fn fresh(&self) -> ServiceHook {
        ServiceHook::new(self.cidr, self.ports, rand::random())
    }

    /// Pools in which all is taken that Services and claims hold, but not the claims of the Service itself.
    async fn pools(&self, context: &Context, claims: &[Claim], own: &str) -> Result<ServiceHook, Status> {
        let hook = self.fresh();
        for service in context.client.list(&GroupResource::of::<Service>(), "", ListOptions::default()).await?.objects {
            if let Some(spec) = service.typed::<Service>().ok().and_then(|service| service.spec.clone()) {
                hook.adopt(&spec);
            }
        }
        for claim in claims.iter().filter(|claim| claim.service != own) {
            hook.adopt_held(&claim.held);
        }
        Ok(hook)
    }

    /// The Lease, made if it is missing, and the claims in it that have not ended.
    async fn claims(&self, context: &Context) -> Result<(Arc<Object>, Vec<Claim>), Status> {
        let key = Key::of::<Lease>("kube-system", LEASE);
        let lease = match context.client.find(&key).await? {
            Some(lease) => lease,
            None => {
                let body = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"namespace": "kube-system", "name": LEASE}, "spec": {}});
                match context.client.create(&key.resource, &key.namespace, body).await {
                    Err(status) if status.is_already_exists() => context.client.get(&key).await?,
                    made => made?,
                }
            }
        };
        let text = lease.meta().annotations.get(ANNOTATION).map_or("[]", String::as_str);
        let mut claims: Vec<Claim> = serde_json::from_str(text).unwrap_or_default();
        let now = context.clock.now();
        claims.retain(|claim| claim.until > now);
        Ok((lease, claims))
    }
}

#[async_trait]
impl WriteHook for SharedServiceHook {
    async fn start(&self, context: Context) -> Result<(), String> {
        self.context.set(context).map_err(|_| "the hook was started twice".into())
    }

    async fn before(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Option<Box<dyn HookGuard>>, Status> {
        if old.is_some_and(|old| old["spec"] == new["spec"]) {
            return self.fresh().before(new, old, dry_run).await;
        }
        let context = self.context.get().ok_or_else(|| Status::internal("the hook of Services has not started"))?;
        let _turn = self.turn.lock().await;
        let text = |field: &str| new["metadata"][field].as_str().unwrap_or_default();
        let service = format!("{}/{}", text("namespace"), text("name"));
        let held_before = old.map(spec_of).unwrap_or_default();
        for _ in 0..TRIES_MAX {
            let (lease, mut claims) = self.claims(context).await?;
            let hook = self.pools(context, &claims, &service).await?;
            let mut chosen = new.clone();
            let guard = hook.before(&mut chosen, old, dry_run).await?;
            let held = hook.held(&spec_of(&chosen)).without(&hook.held(&held_before));
            if dry_run || held.is_empty() {
                *new = chosen;
                return Ok(guard);
            }
            claims.retain(|claim| claim.service != service);
            claims.push(Claim { service: service.clone(), held, until: context.clock.now() + CLAIM });
            let mut body = Value::clone(lease.tree());
            body["metadata"]["annotations"][ANNOTATION] =
                serde_json::to_string(&claims).expect("plain data encodes").into();
            // With the revision that was read: whoever claimed in between is seen in the next round.
            match context.client.update(lease.key(), "", body).await {
                Ok(_) => {
                    *new = chosen;
                    return Ok(guard);
                }
                Err(status) if status.is_conflict() || status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Err(Status::internal("other servers claim cluster IPs and node ports all the time; try again"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sdk_testkit::{FakeApi, ManualClock};
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn server(api: &FakeApi, clock: &Arc<ManualClock>) -> SharedServiceHook {
        let hook = SharedServiceHook::new("10.96.0.0/28".parse().unwrap(), (30000, 30009));
        let context = Context {
            client: api.admin(),
            clients: api.clients(),
            clock: clock.clone(),
            stop: CancellationToken::new(),
        };
        hook.start(context).await.unwrap();
        hook
    }

    fn service(name: &str, spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "n", "name": name}, "spec": spec})
    }

    async fn reserve(hook: &SharedServiceHook, name: &str, spec: Value) -> Result<Value, String> {
        let mut new = service(name, spec);
        hook.before(&mut new, None, false).await.map(|_| new).map_err(|status| status.message)
    }

    fn asks(ip: &str) -> Value {
        json!({"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]})
    }

    #[tokio::test]
    async fn servers_never_give_the_same_number_twice() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let (a, b) = (server(&api, &clock).await, server(&api, &clock).await);
        let any = || json!({"type": "NodePort", "ports": [{"port": 80}]});
        let mut ips = std::collections::BTreeSet::new();
        let mut ports = std::collections::BTreeSet::new();
        // The first port is kept for whoever asks for it: nine are left.
        for round in 0..4 {
            let (here, there) = (format!("a{round}"), format!("b{round}"));
            let (one, other) = tokio::join!(reserve(&a, &here, any()), reserve(&b, &there, any()));
            for made in [one.unwrap(), other.unwrap()] {
                assert!(ips.insert(made["spec"]["clusterIP"].to_string()), "{made}");
                assert!(ports.insert(made["spec"]["ports"][0]["nodePort"].to_string()), "{made}");
            }
        }
        reserve(&a, "ninth", any()).await.unwrap();
        let full = reserve(&b, "tenth", any()).await.unwrap_err();
        assert!(full.contains("range is full"), "{full}");
    }

    #[tokio::test]
    async fn claims_end_and_services_stay() {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let (a, b) = (server(&api, &clock).await, server(&api, &clock).await);
        reserve(&a, "x", asks("10.96.0.5")).await.unwrap();
        let taken = reserve(&b, "y", asks("10.96.0.5")).await.unwrap_err();
        assert!(taken.contains("already allocated"), "{taken}");
        reserve(&b, "x", asks("10.96.0.5")).await.expect("the same Service may try again");
        clock.advance(Duration::from_secs(121));
        let made = reserve(&b, "y", asks("10.96.0.5")).await.expect("the claim has ended");
        let stored = api.seed(made);
        clock.advance(Duration::from_secs(121));
        assert!(reserve(&a, "z", asks("10.96.0.5")).await.is_err(), "a stored Service holds what it has");
        // What does not change is not asked for, and is kept.
        let old = Value::clone(stored.tree());
        let writes = api.writes().len();
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"a": "b"});
        a.before(&mut new, Some(&old), false).await.unwrap();
        assert_eq!((&new["spec"], api.writes().len()), (&old["spec"], writes));
        let mut dry = service("dry", json!({"type": "ClusterIP"}));
        a.before(&mut dry, None, true).await.unwrap();
        assert_eq!(api.writes().len(), writes, "a dry run claims nothing");
        api.remove(stored.key());
        reserve(&a, "z", asks("10.96.0.5")).await.expect("it is free again, whoever deleted it");
    }
}
