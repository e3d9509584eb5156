//! Definitions become rows: read at the start, followed from then on, and cleaned up after.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use sdk_api::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use sdk_api::{GroupResource, Key, Object, Status};
use sdk_client::{Client, DeleteOptions, ListOptions, Subject, WatchEvent, WatchOptions};
use sdk_plugin::{Agent, Context, Kind, KindRows, KindSource};
use serde_json::{Value, json};

use crate::custom;
use crate::establish::{self, FINALIZER, Taken, is_established};

/// How long it waits before it asks again what failed.
const PAUSE: Duration = Duration::from_millis(500);
/// How long it waits for objects to go before it deletes those that are left once more.
const LEFT_OVER: Duration = Duration::from_secs(5);

/// All definitions, and the rows made of them.
#[derive(Default)]
pub struct Definitions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: Option<Arc<dyn KindRows>>,
    /// Names of the kinds that are built in, by group.
    builtin: Vec<(String, Value)>,
    known: BTreeMap<String, Arc<Object>>,
    /// What the rows of a definition were made of.
    made_of: BTreeMap<String, Value>,
    /// Definitions whose objects are being deleted, by uid.
    cleaning: HashSet<String>,
}

fn definitions() -> GroupResource {
    GroupResource::of::<CustomResourceDefinition>()
}

fn names_of(kind: &Kind) -> Value {
    json!({"plural": kind.plural, "singular": kind.singular, "shortNames": kind.short_names, "kind": kind.gvk.kind,
           "listKind": kind.list_kind})
}

#[async_trait]
impl KindSource for Definitions {
    fn name(&self) -> &'static str {
        "crds"
    }

    async fn start(&self, context: Context, rows: Arc<dyn KindRows>) -> Result<(), String> {
        {
            let mut state = self.lock();
            state.builtin = rows.rows().iter().map(|kind| (kind.gvk.group.clone(), names_of(kind))).collect();
            state.rows = Some(rows);
        }
        let list = context.client.list(&definitions(), "", ListOptions::default()).await;
        for object in list.map_err(|status| status.message)?.objects {
            self.serve(object.name(), object.tree());
            self.lock().known.insert(object.name().to_owned(), object);
        }
        Ok(())
    }
}

#[async_trait]
impl Agent for Definitions {
    fn name(&self) -> &'static str {
        "crds"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        while !context.stop.is_cancelled() {
            let ended = context.stop.run_until_cancelled(self.follow(&context)).await;
            if let Some(Err(status)) = ended {
                tracing::warn!(error = %status, "Definitions could not be followed.");
                context.stop.run_until_cancelled(context.clock.sleep(PAUSE)).await;
            }
        }
        Ok(())
    }
}

impl Definitions {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// From a list on, until the watch ends.
    async fn follow(&self, context: &Context) -> Result<(), Status> {
        let list = context.client.list(&definitions(), "", ListOptions::default()).await?;
        let there: HashSet<&str> = list.objects.iter().map(|object| object.name()).collect();
        let gone: Vec<String> =
            self.lock().known.keys().filter(|name| !there.contains(name.as_str())).cloned().collect();
        gone.iter().for_each(|name| self.gone(name));
        for object in &list.objects {
            self.seen(context, object.clone()).await;
        }
        let options = WatchOptions { resource_version: Some(list.revision), ..WatchOptions::default() };
        let mut events = context.client.watch(&definitions(), "", options).await?;
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.seen(context, object).await,
                WatchEvent::Deleted(object) => {
                    self.gone(object.name());
                    // Names that it had are free now.
                    let waiting: Vec<_> = self.lock().known.values().cloned().collect();
                    for other in waiting.into_iter().filter(|other| conflicted(other.tree())) {
                        self.seen(context, other).await;
                    }
                }
                WatchEvent::Bookmark { .. } => {}
            }
        }
        Ok(())
    }

    async fn seen(&self, context: &Context, object: Arc<Object>) {
        let definition = object.tree();
        let taken = {
            let mut state = self.lock();
            state.known.insert(object.name().to_owned(), object.clone());
            state.taken_from(object.name(), definition)
        };
        let mut planned = Value::clone(definition);
        planned["status"] = establish::status(definition, &taken, context.clock.now());
        // Served first, so that whoever reads "Established" finds it served.
        self.serve(object.name(), &planned);
        if planned["status"] != definition["status"] {
            match context.client.update(object.key(), "status", planned.clone()).await {
                // A newer state is on its way, and is looked at in its turn.
                Err(status) if status.is_conflict() || status.is_not_found() => {}
                Err(status) => {
                    tracing::error!(name = object.name(), error = %status, "A definition's status could not be written.")
                }
                Ok(written) => drop(self.lock().known.insert(object.name().to_owned(), written)),
            }
        }
        let terminating = object.meta().is_deleting() && object.meta().finalizers.iter().any(|one| one == FINALIZER);
        if terminating && self.lock().cleaning.insert(object.uid().to_owned()) {
            let (client, clock, stop) = (context.client.clone(), context.clock.clone(), context.stop.clone());
            tokio::spawn(async move {
                let whole = async {
                    while let Err(status) = clean_up(&client, &clock, &object, &planned).await {
                        tracing::warn!(name = object.name(), error = %status, "Objects of a deleted kind could not be removed yet.");
                        clock.sleep(PAUSE).await;
                    }
                };
                stop.run_until_cancelled(whole).await;
            });
        }
    }

    fn gone(&self, name: &str) {
        let mut state = self.lock();
        if let Some(object) = state.known.remove(name) {
            state.cleaning.remove(object.uid());
        }
        state.made_of.remove(name);
        if let Some(rows) = &state.rows
            && let Err(why) = rows.replace(name, Vec::new())
        {
            tracing::error!(name, why, "The rows of a definition could not be removed.");
        }
    }

    /// Makes the rows of a definition, unless they are those that there are.
    fn serve(&self, name: &str, definition: &Value) {
        let mut state = self.lock();
        let is_deleting = definition["metadata"]["deletionTimestamp"].is_string();
        let made_of = match is_established(definition) {
            true => json!([definition["spec"], definition["status"]["acceptedNames"], is_deleting]),
            false => Value::Null,
        };
        if *state.made_of.get(name).unwrap_or(&Value::Null) == made_of {
            return;
        }
        let rows = if made_of.is_null() { Vec::new() } else { custom::rows(definition) };
        let Some(table) = state.rows.clone() else { return };
        match table.replace(name, rows) {
            Ok(()) => drop(state.made_of.insert(name.to_owned(), made_of)),
            Err(why) => tracing::error!(name, why, "A definition's names are taken."),
        }
    }
}

impl State {
    /// The names in a definition's group that are not its own.
    fn taken_from(&self, name: &str, definition: &Value) -> Taken {
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        let mut taken = Taken::default();
        self.builtin.iter().filter(|(of, _)| of == group).for_each(|(_, names)| taken.add(names));
        let others = self.known.values().filter(|other| other.name() != name && other.tree()["spec"]["group"] == group);
        others.for_each(|other| taken.add(&other.tree()["status"]["acceptedNames"]));
        taken
    }
}

fn conflicted(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "NamesAccepted" && condition["status"] == "False")
}

/// Deletes all objects of a kind, waits until they are gone, and lets the definition go.
async fn clean_up(
    client: &Client,
    clock: &Arc<dyn sdk_api::Clock>,
    definition: &Object,
    planned: &Value,
) -> Result<(), Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&planned["spec"]["group"]), text(&planned["status"]["acceptedNames"]["plural"]));
    if is_established(planned) {
        let objects = GroupResource::new(&group, &plural);
        loop {
            let left = client.list(&objects, "", ListOptions::default()).await?;
            if left.objects.is_empty() {
                break;
            }
            client.delete_collection(&objects, "", ListOptions::default(), DeleteOptions::default()).await?;
            let options = WatchOptions { resource_version: Some(left.revision), ..WatchOptions::default() };
            let mut events = client.watch(&objects, "", options).await?;
            let mut waiting: HashSet<Key> = left.objects.iter().map(|object| object.key().clone()).collect();
            let all_gone = async {
                while !waiting.is_empty() {
                    match events.next().await {
                        Some(Ok(WatchEvent::Deleted(object))) => drop(waiting.remove(object.key())),
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    }
                }
            };
            tokio::select! {
                () = all_gone => {}
                () = clock.sleep(LEFT_OVER) => {}
            }
        }
    }
    loop {
        let Some(latest) = client.find(definition.key()).await? else { return Ok(()) };
        if latest.uid() != definition.uid() {
            return Ok(());
        }
        let mut tree = Value::clone(latest.tree());
        if let Some(finalizers) = tree["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        match client.update(definition.key(), "", tree).await {
            Ok(_) => return Ok(()),
            Err(status) if status.is_not_found() => return Ok(()),
            Err(status) if status.is_conflict() => {}
            Err(status) => return Err(status),
        }
    }
}
