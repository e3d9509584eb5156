//! The default policy: written at every start, so that a cluster gains what a new version needs.
//!
//! Rules and subjects that are missing are added; what somebody added stays. An object with the annotation
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone. Source: Kubernetes documentation, "Using RBAC
//! Authorization", auto-reconciliation.

mod cluster_roles;
mod controller_roles;
mod namespaced;
mod reconcile;
mod spec;

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use sdk_api::{GroupResource, Key, Status};
use sdk_client::{Client, Subject};
use sdk_plugin::{Agent, Context};
use serde_json::{Value, json};

const NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];
/// How many objects are written at the same time, so that the store can commit them together.
const AT_ONCE_MAX: usize = 32;
/// How often a write is tried against others who write the same object.
const TRIES_MAX: usize = 5;
/// The pause between two tries of the whole policy, while the server comes up.
const PAUSE: Duration = Duration::from_millis(100);

/// The agent that writes the default policy and then waits for the end.
pub struct BootstrapPolicy;

#[async_trait]
impl Agent for BootstrapPolicy {
    fn name(&self) -> &'static str {
        "rbac-bootstrap-policy"
    }

    /// It gives rights that nobody has yet.
    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        loop {
            match write_policy(&context.client).await {
                Ok(written) => {
                    tracing::info!(written, "The default policy is in place.");
                    break;
                }
                Err(error) => tracing::debug!(%error, "Cannot write the default policy yet."),
            }
            tokio::select! {
                () = context.stop.cancelled() => return Ok(()),
                () = context.clock.sleep(PAUSE) => {}
            }
        }
        context.stop.cancelled().await;
        Ok(())
    }
}

/// All documents of the default policy, roles before their bindings.
pub fn documents() -> Vec<Value> {
    let mut all = Vec::new();
    let mut add = |document: Result<Value, serde_json::Error>| all.push(document.expect("API types encode as JSON"));
    for role in cluster_roles::CLUSTER_ROLES {
        add(serde_json::to_value(role.cluster_role()));
    }
    for role in controller_roles::CONTROLLER_ROLES {
        let mut role = role.cluster_role();
        let name = role.metadata.name.take().unwrap_or_default();
        role.metadata.name = Some(format!("{}{name}", controller_roles::PREFIX));
        add(serde_json::to_value(role));
    }
    for (namespace, role) in namespaced::ROLES {
        add(serde_json::to_value(role.role(namespace)));
    }
    for (name, role, who) in cluster_roles::CLUSTER_BINDINGS {
        add(serde_json::to_value(spec::cluster_binding(name, role, who)));
    }
    for role in controller_roles::CONTROLLER_ROLES {
        let aliases = controller_roles::ALIASES.iter().filter(|(_, alias)| *alias == role.name).map(|(ours, _)| ours);
        let accounts = [&role.name].into_iter().chain(aliases).map(|account| format!("account:kube-system/{account} "));
        let name = format!("{}{}", controller_roles::PREFIX, role.name);
        add(serde_json::to_value(spec::cluster_binding(&name, &name, &accounts.collect::<String>())));
    }
    for (namespace, name, role, who) in namespaced::BINDINGS {
        add(serde_json::to_value(spec::binding(namespace, name, role, who)));
    }
    all
}

/// Where all of it is.
pub fn keys() -> Vec<Key> {
    documents().iter().map(key).collect()
}

/// The place of a document of the default policy.
fn key(document: &Value) -> Key {
    let text = |field: &str| document["metadata"][field].as_str().unwrap_or_default();
    let plural = format!("{}s", document["kind"].as_str().unwrap_or_default().to_lowercase());
    Key::new(&GroupResource::new(crate::kinds::rules::GROUP, &plural), text("namespace"), text("name"))
}

/// Writes what is missing; gives how many objects it wrote. `client` must be allowed everything.
pub async fn write_policy(client: &Client) -> Result<usize, Status> {
    for namespace in NAMESPACES {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let namespaces = GroupResource::new("", "namespaces");
        if client.find(&Key::new(&namespaces, "", namespace)).await?.is_none() {
            ignore_existing(client.create(&namespaces, "", body).await.map(drop))?;
        }
    }
    let writes = futures::stream::iter(documents().into_iter().map(|document| write(client, document)));
    writes.buffer_unordered(AT_ONCE_MAX).try_fold(0, async |written, one| Ok(written + usize::from(one))).await
}

fn ignore_existing(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.is_already_exists() => Ok(()),
        other => other,
    }
}

/// Creates one object, or adds what it lacks. Whether there was anything to do.
async fn write(client: &Client, wanted: Value) -> Result<bool, Status> {
    let key = key(&wanted);
    for _ in 0..TRIES_MAX {
        let result = match client.find(&key).await? {
            None => client.create(&key.resource, &key.namespace, wanted.clone()).await,
            Some(present) => match reconcile::reconciled(present.tree(), &wanted) {
                reconcile::Step::Nothing => return Ok(false),
                reconcile::Step::Update(object) => client.update(&key, "", object).await,
                // What a binding binds to cannot be changed: make it anew.
                reconcile::Step::Replace => {
                    client.delete(&key, sdk_client::DeleteOptions::of_uid(present.uid())).await?;
                    client.create(&key.resource, &key.namespace, wanted.clone()).await
                }
            },
        };
        match result {
            Ok(_) => return Ok(true),
            Err(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => {}
            Err(status) => return Err(status),
        }
    }
    Err(Status::internal(format!("{key} is changed by others all the time")))
}

#[cfg(test)]
mod tests;
