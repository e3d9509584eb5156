//! `flowcontrol-keeper`: keeps the mandatory and suggested objects as they should be, and tells schemas of levels that
//! do not exist.
//!
//! It looks again when one of the objects changes. Source: KEP-1040; Kubernetes documentation, "API Priority and
//! Fairness", maintenance of the mandatory and suggested configuration objects.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use sdk_api::k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use sdk_api::{GroupResource, Key, Object, Status, Timestamp, Typed};
use sdk_client::{Client, DeleteOptions, Patch, Subject};
use sdk_controller::Informers;
use sdk_plugin::{Agent, Context};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::bootstrap::{self, AUTOUPDATE, is_mandatory};

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How many objects are written at the same time, so that the store can commit them together.
const AT_ONCE_MAX: usize = 32;

/// See the module.
pub struct Keeper;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Create(Value),
    /// Based on the revision that it carries.
    Update(Key, Value),
    /// A merge patch of the status.
    Status(Key, Value),
    /// The state that was looked at, and no other.
    Delete(Key, u64),
}

#[async_trait]
impl Agent for Keeper {
    fn name(&self) -> &'static str {
        "flowcontrol-keeper"
    }

    /// As upstream: the API server itself.
    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let stop = context.stop.clone();
        stop.run_until_cancelled(keep(&context)).await;
        Ok(())
    }
}

async fn keep(context: &Context) {
    let informers = Informers::new(context.client.clone(), context.clock.clone());
    let (changed, mut changes) = watch::channel(());
    let changed = Arc::new(changed);
    let follow = |resource: &GroupResource| {
        let (informer, changed) = (informers.open(resource), changed.clone());
        informer.subscribe(Arc::new(move |_, _| changed.send_replace(())));
        informer
    };
    let schemas = follow(&GroupResource::of::<FlowSchema>());
    let levels = follow(&GroupResource::of::<PriorityLevelConfiguration>());
    informers.synced().await;
    loop {
        changes.borrow_and_update();
        let steps = steps(&schemas.list(""), &levels.list(""), context.clock.now());
        if let Err(status) = take(&context.client, steps).await {
            tracing::warn!(error = %status, "Cannot keep the objects of flow control as they should be, trying again.");
            context.clock.sleep(PAUSE).await;
            continue;
        }
        // The sender lives as long as this function.
        let _ = changes.changed().await;
    }
}

/// Writes what is missing, before anybody asks by it. `client` must be allowed everything.
pub async fn write_missing(client: &Client) -> Result<(), Status> {
    let list = async |resource| Ok::<_, Status>(client.list(&resource, "", Default::default()).await?.objects);
    let schemas = list(GroupResource::of::<FlowSchema>()).await?;
    let levels = list(GroupResource::of::<PriorityLevelConfiguration>()).await?;
    let mut steps = steps(&schemas, &levels, Timestamp::UNIX_EPOCH);
    steps.retain(|step| matches!(step, Step::Create(_)));
    take(client, steps).await
}

async fn take(client: &Client, steps: Vec<Step>) -> Result<(), Status> {
    let all = futures::stream::iter(steps.into_iter().map(|step| take_one(client, step)));
    all.buffer_unordered(AT_ONCE_MAX).try_collect().await
}

async fn take_one(client: &Client, step: Step) -> Result<(), Status> {
    let done = match step {
        Step::Create(body) => {
            let resource = if body["kind"] == "FlowSchema" {
                GroupResource::of::<FlowSchema>()
            } else {
                GroupResource::of::<PriorityLevelConfiguration>()
            };
            client.create(&resource, "", body).await.map(drop)
        }
        Step::Update(key, body) => client.update(&key, "", body).await.map(drop),
        Step::Status(key, body) => client.patch(&key, "status", Patch::merge(body)).await.map(drop),
        Step::Delete(key, revision) => {
            let options = DeleteOptions { resource_version: Some(revision), ..DeleteOptions::default() };
            client.delete(&key, options).await.map(drop)
        }
    };
    match done {
        // Somebody was faster: the change arrives, and is looked at then.
        Err(status) if status.is_conflict() || status.is_already_exists() || status.is_not_found() => Ok(()),
        other => other,
    }
}

/// What is to be done about the objects as they are.
fn steps(schemas: &[Arc<Object>], levels: &[Arc<Object>], now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    keep_kind::<PriorityLevelConfiguration>(levels, &bootstrap::levels(), &mut steps);
    keep_kind::<FlowSchema>(schemas, &bootstrap::schemas(), &mut steps);
    let exists = |name: &str| is_mandatory(name) || levels.iter().any(|level| level.name() == name);
    for schema in schemas {
        let level = schema.tree()["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
        if let Some(status) = status(schema.tree(), level, exists(level), now) {
            steps.push(Step::Status(schema.key().clone(), json!({"status": status})));
        }
    }
    steps
}

fn keep_kind<T: Typed>(present: &[Arc<Object>], wanted: &[T], steps: &mut Vec<Step>) {
    let wanted: Vec<Value> = wanted.iter().filter_map(|object| serde_json::to_value(object).ok()).collect();
    for wanted in &wanted {
        match present.iter().find(|object| object.name() == wanted["metadata"]["name"]) {
            None => steps.push(Step::Create(wanted.clone())),
            Some(object) => {
                if let Some(better) = kept::<T>(object, wanted) {
                    steps.push(Step::Update(object.key().clone(), better));
                }
            }
        }
    }
    for object in present {
        let is_known = wanted.iter().any(|wanted| object.name() == wanted["metadata"]["name"]);
        if !is_known && annotation(object) == Some("true") && !object.meta().is_deleting() {
            steps.push(Step::Delete(object.key().clone(), object.revision()));
        }
    }
}

fn annotation(object: &Object) -> Option<&str> {
    object.tree()["metadata"]["annotations"][AUTOUPDATE].as_str()
}

/// One of our objects as it should be, if it is not.
fn kept<T: Typed>(object: &Object, wanted: &Value) -> Option<Value> {
    let says = annotation(object);
    let follows = match says {
        _ if is_mandatory(object.name()) => true,
        Some("true") => true,
        Some("false") => false,
        // Nobody said: who changed it since has taken it over.
        _ => object.tree()["metadata"]["generation"].as_i64() == Some(1),
    };
    let annotation = if follows { "true" } else { "false" };
    let is_same = !follows || spec::<T>(object.tree()) == spec::<T>(wanted);
    if is_same && says == Some(annotation) {
        return None;
    }
    let mut object = Value::clone(object.tree());
    object["metadata"]["annotations"][AUTOUPDATE] = annotation.into();
    if !is_same {
        let mut spec = wanted["spec"].clone();
        if object["metadata"]["name"] == bootstrap::EXEMPT && object["spec"]["exempt"].is_object() {
            spec["exempt"] = object["spec"]["exempt"].take();
        }
        object["spec"] = spec;
    }
    Some(object)
}

/// The spec as its type reads it; what users may set on `exempt` is left out.
fn spec<T: Typed>(document: &Value) -> Value {
    let typed = T::deserialize(document).ok().and_then(|typed| serde_json::to_value(typed).ok());
    let mut spec = typed.map(|mut typed| typed["spec"].take()).unwrap_or_default();
    if document["metadata"]["name"] == bootstrap::EXEMPT && spec["exempt"].is_object() {
        spec.as_object_mut().map(|spec| spec.remove("exempt"));
    }
    spec
}

/// The status of a schema, if it is not what it should be.
fn status(schema: &Value, level: &str, exists: bool, now: Timestamp) -> Option<Value> {
    let (dangling, reason, rest) =
        if exists { ("False", "Found", "and it exists") } else { ("True", "NotFound", "but there is no such object") };
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {rest}");
    let conditions: Vec<_> = schema["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let (ours, mut all): (Vec<_>, Vec<_>) = conditions.into_iter().partition(|one| one["type"] == "Dangling");
    if ours.iter().any(|one| one["status"] == dangling && one["reason"] == reason && one["message"] == message) {
        return None;
    }
    // Conditions carry whole seconds.
    let time = sdk_api::time::rfc3339(now);
    all.push(json!({
        "type": "Dangling", "status": dangling, "reason": reason, "message": message, "lastTransitionTime": time,
    }));
    Some(json!({"conditions": all}))
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
