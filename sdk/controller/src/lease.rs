//! Leader election over a Lease: of several processes one leads.
//!
//! Whether a lease has run out is judged by the own monotonic clock, from when its present state was first seen; the
//! times written in it are for people. Source: client-go `tools/leaderelection`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::time::rfc3339_micro;
use sdk_api::{Clock, GroupResource, Key, Object, Status};
use sdk_client::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Which lease, who we are, and how long things take.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    pub namespace: String,
    pub name: String,
    /// Unique among the candidates.
    pub identity: String,
    /// Others may take the lease when it was not renewed for this long. Default 15 s.
    pub duration: Duration,
    /// The leader stops if it could not renew for this long; below `duration`. Default 10 s.
    pub renew_deadline: Duration,
    /// Between two tries. Default 2 s.
    pub retry_period: Duration,
}

impl LeaseSettings {
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// A candidate.
pub struct LeaderElection {
    client: Client,
    clock: Arc<dyn Clock>,
    settings: LeaseSettings,
}

/// The lease as it was seen last, and when it was first seen so.
struct Observed {
    object: Arc<Object>,
    since: Duration,
}

/// What came of one try.
enum Try {
    Held,
    /// Somebody else holds it.
    Other(String),
}

impl LeaderElection {
    pub fn new(client: Client, clock: Arc<dyn Clock>, settings: LeaseSettings) -> Self {
        Self { client, clock, settings }
    }

    /// Waits for the lease, then runs `lead` for as long as it is held. Returns when `stop` came, when the lease was
    /// lost, or when `lead` ended by itself. The token given to `lead` is cancelled before others may take the lease,
    /// and the lease is given back only after `lead` has ended.
    pub async fn run<F: Future<Output = ()>>(
        &self,
        stop: CancellationToken,
        lead: impl FnOnce(CancellationToken) -> F,
    ) {
        let mut observed = None;
        if stop.run_until_cancelled(self.acquire(&mut observed)).await.is_none() {
            return;
        }
        info!(lease = self.settings.name, identity = self.settings.identity, "Leading.");
        let leading = stop.child_token();
        let work = lead(leading.clone());
        futures::pin_mut!(work);
        let is_held = {
            let renewed = leading.run_until_cancelled(self.renew(&mut observed));
            futures::pin_mut!(renewed);
            match select(renewed, work.as_mut()).await {
                // `Some`: renewing came to an end of its own.
                Either::Left((lost, _)) => {
                    leading.cancel();
                    work.await;
                    lost.is_none()
                }
                Either::Right(((), _)) => true,
            }
        };
        if is_held {
            self.release(observed).await;
        } else {
            warn!(lease = self.settings.name, "Lost the lease.");
        }
    }

    async fn acquire(&self, observed: &mut Option<Observed>) {
        loop {
            match self.try_once(observed).await {
                Ok(Try::Held) => return,
                Ok(Try::Other(holder)) => debug!(lease = self.settings.name, holder, "Somebody else leads."),
                Err(status) => debug!(lease = self.settings.name, error = %status, "Cannot take the lease."),
            }
            self.clock.sleep(self.settings.retry_period).await;
        }
    }

    /// Renews until that has failed for too long.
    async fn renew(&self, observed: &mut Option<Observed>) {
        let mut last = self.clock.monotonic();
        loop {
            self.clock.sleep(self.settings.retry_period).await;
            let left = (last + self.settings.renew_deadline).saturating_sub(self.clock.monotonic());
            let attempt = self.try_once(observed);
            futures::pin_mut!(attempt);
            match select(attempt, self.clock.sleep(left)).await {
                Either::Left((Ok(Try::Held), _)) => last = self.clock.monotonic(),
                Either::Left((Ok(Try::Other(_)), _)) | Either::Right(_) => return,
                Either::Left((Err(status), _)) => {
                    warn!(lease = self.settings.name, error = %status, "Cannot renew the lease.");
                    if self.clock.monotonic() >= last + self.settings.renew_deadline {
                        return;
                    }
                }
            }
        }
    }

    async fn try_once(&self, observed: &mut Option<Observed>) -> Result<Try, Status> {
        let key = self.key();
        let Some(current) = self.client.find(&key).await? else {
            let body = self.document(&Value::Null, &self.settings.identity);
            let made = self.client.create(&key.resource, &key.namespace, body).await?;
            *observed = Some(Observed { object: made, since: self.clock.monotonic() });
            return Ok(Try::Held);
        };
        let is_new = observed.as_ref().is_none_or(|seen| seen.object.revision() != current.revision());
        if is_new {
            *observed = Some(Observed { object: current.clone(), since: self.clock.monotonic() });
        }
        let holder = current.tree()["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let is_ours = holder == self.settings.identity;
        let since = observed.as_ref().map_or(Duration::ZERO, |seen| seen.since);
        let is_over = self.clock.monotonic() >= since + self.settings.duration;
        if !holder.is_empty() && !is_ours && !is_over {
            return Ok(Try::Other(holder.to_owned()));
        }
        let body = self.document(current.tree(), &self.settings.identity);
        let written = self.client.update(&key, "", body).await?;
        *observed = Some(Observed { object: written, since: self.clock.monotonic() });
        Ok(Try::Held)
    }

    /// Gives the lease back, so that the next need not wait.
    async fn release(&self, observed: Option<Observed>) {
        let Some(seen) = observed else { return };
        let mut body = self.document(seen.object.tree(), "");
        body["spec"]["leaseDurationSeconds"] = 1.into();
        if let Err(status) = self.client.update(&self.key(), "", body).await {
            debug!(lease = self.settings.name, error = %status, "Cannot give the lease back.");
        }
    }

    fn key(&self) -> Key {
        Key::new(&GroupResource::of::<Lease>(), &self.settings.namespace, &self.settings.name)
    }

    fn document(&self, old: &Value, holder: &str) -> Value {
        let now = rfc3339_micro(self.clock.now());
        let spec = &old["spec"];
        let is_same = spec["holderIdentity"].as_str() == Some(holder);
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        let is_first = old.is_null() || is_same;
        let mut new = if old.is_null() {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"namespace": self.settings.namespace, "name": self.settings.name}})
        } else {
            old.clone()
        };
        new["spec"] = json!({
            "holderIdentity": holder,
            "leaseDurationSeconds": self.settings.duration.as_secs(),
            "acquireTime": if is_same { spec["acquireTime"].clone() } else { now.as_str().into() },
            "renewTime": now,
            // Giving back is not a change of leaders.
            "leaseTransitions": if is_first || holder.is_empty() { transitions } else { transitions + 1 },
        });
        new
    }
}

#[cfg(test)]
mod tests {
    use sdk_client::Verb;
    use sdk_testkit::{FakeApi, ManualClock, settle};
    use tokio::task::JoinHandle;

    use super::*;

    fn candidate(api: &FakeApi, clock: &Arc<ManualClock>, who: &str) -> (CancellationToken, JoinHandle<()>) {
        let election = LeaderElection::new(api.admin(), clock.clone(), LeaseSettings::new("kube-system", "boss", who));
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move {
            election.run(token, |leading| async move { leading.cancelled().await }).await;
        });
        (stop, task)
    }

    fn holder(api: &FakeApi) -> String {
        let tree = api.tree(&Key::of::<Lease>("kube-system", "boss"));
        format!("{} {}", tree["spec"]["holderIdentity"].as_str().unwrap(), tree["spec"]["leaseTransitions"])
    }

    fn world() -> (FakeApi, Arc<ManualClock>) {
        let clock = ManualClock::new();
        (FakeApi::new(clock.clone()), clock)
    }

    #[tokio::test]
    async fn one_leads_and_hands_over_when_it_stops() {
        let (api, clock) = world();
        let (stop, first) = candidate(&api, &clock, "a");
        settle().await;
        let (_stop, _second) = candidate(&api, &clock, "b");
        clock.run_for(Duration::from_secs(60)).await;
        assert_eq!(holder(&api), "a 0");
        stop.cancel();
        first.await.unwrap();
        assert_eq!(holder(&api), " 0");
        clock.run_for(Duration::from_secs(2)).await;
        assert_eq!(holder(&api), "b 1");
    }

    #[tokio::test]
    async fn a_leader_that_cannot_renew_stops_before_others_may_lead() {
        let (api, clock) = world();
        let (_stop, first) = candidate(&api, &clock, "a");
        settle().await;
        let (_stop, _second) = candidate(&api, &clock, "b");
        clock.run_for(Duration::from_secs(4)).await;
        api.intercept(|_, request| {
            let by_a = request.body.as_ref().is_some_and(|body| body["spec"]["holderIdentity"] == "a");
            (request.verb == Verb::Update && by_a).then(|| Status::unavailable("cut off"))
        });
        clock.run_for(Duration::from_secs(12)).await;
        assert!(first.is_finished());
        assert_eq!(holder(&api), "a 0", "b still waits");
        clock.run_for(Duration::from_secs(8)).await;
        assert_eq!(holder(&api), "b 1");
    }
}
