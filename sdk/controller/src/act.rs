//! Sends the writes of a plan, and says what must be in the caches before its key is planned again.

use futures::future::join_all;
use sdk_api::{GroupResource, Key, Object, Status};
use sdk_client::{Client, DeleteOptions, Verb};
use sdk_plugin::{EventNote, Failure, Plan, PlannedWrite, WriteNote};
use serde_json::Value;
use tracing::{debug, warn};

use crate::recorder::EventRecorder;

/// The most creations, or deletions, sent at once. Source: `burstReplicas` of upstream's ReplicaSet controller.
const BATCH_MAX: usize = 500;

/// Failures of a key in a row that are nothing to warn of, somewhat more than a second of them: roles may be on their way.
const FAILURES_QUIET: u32 = 8;

/// What a cache must show before the key is planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// It has taken in the collection up to a revision.
    Passed { resource: GroupResource, revision: u64 },
    /// The object of this uid is no longer there, or is being deleted.
    LetGo { key: Key, uid: String },
}

/// How a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every write went through.
    Done,
    /// The snapshot was too old: plan again with a newer one, nothing is wrong.
    Stale(String),
    Failed(Failure),
}

#[derive(Debug)]
pub(crate) struct Acted {
    pub end: End,
    pub barriers: Vec<Barrier>,
}

/// Sends the writes of one plan.
pub(crate) struct Actor<'a> {
    pub client: &'a Client,
    pub recorder: &'a EventRecorder,
    /// The uid of an object as the cache shows it, for deletions that name none.
    pub uid_of: &'a (dyn Fn(&Key) -> Option<String> + Sync),
    pub barriers: Vec<Barrier>,
}

struct Creation {
    resource: GroupResource,
    namespace: String,
    body: Value,
    note: WriteNote,
}

struct Deletion {
    key: Key,
    options: DeleteOptions,
    note: WriteNote,
}

impl Actor<'_> {
    pub async fn act(mut self, plan: Plan) -> Acted {
        let end = self.send(plan.writes).await.err().unwrap_or(End::Done);
        Acted { end, barriers: self.barriers }
    }

    async fn send(&mut self, writes: Vec<PlannedWrite>) -> Result<(), End> {
        let (mut creations, mut deletions) = (Vec::new(), Vec::new());
        for write in writes {
            match write {
                PlannedWrite::Create { resource, namespace, body, note } => {
                    self.delete(std::mem::take(&mut deletions)).await?;
                    creations.push(Creation { resource, namespace, body, note });
                }
                PlannedWrite::Delete { key, options, note } => {
                    self.create(std::mem::take(&mut creations)).await?;
                    deletions.push(Deletion { key, options, note });
                }
                other => {
                    self.create(std::mem::take(&mut creations)).await?;
                    self.delete(std::mem::take(&mut deletions)).await?;
                    self.send_one(other).await?;
                }
            }
        }
        // One of them is empty.
        self.create(creations).await?;
        self.delete(deletions).await
    }

    /// In batches that double, so that a quota that is used up costs one call and not five hundred.
    async fn create(&mut self, creations: Vec<Creation>) -> Result<(), End> {
        let mut rest = creations.into_iter();
        let mut size = 1;
        while rest.len() > 0 {
            let batch: Vec<_> = rest.by_ref().take(size).collect();
            let calls = batch.iter().map(|c| self.client.create(&c.resource, &c.namespace, c.body.clone()));
            let results = join_all(calls).await;
            let mut end = Ok(());
            for (creation, result) in batch.into_iter().zip(results) {
                let Creation { resource, body, note, .. } = creation;
                let outcome = match result {
                    Ok(object) => {
                        self.wrote(&object);
                        self.succeeded(note, object.name());
                        continue;
                    }
                    // The namespace is going, and whoever asks for the object with it. Not worth an event.
                    Err(status) if has_cause(&status, "NamespaceTerminating") => End::Stale(status.message),
                    Err(status) => {
                        let name = body["metadata"]["name"].as_str().unwrap_or_default();
                        self.failed(note, name, &status);
                        failure(Verb::Create, &resource, status)
                    }
                };
                end = end.and(Err(outcome));
            }
            end?;
            size = (size * 2).min(BATCH_MAX);
        }
        Ok(())
    }

    /// All at once, within the bound: a deletion that is refused costs no more than one that is not.
    async fn delete(&mut self, deletions: Vec<Deletion>) -> Result<(), End> {
        let mut rest = deletions.into_iter();
        while rest.len() > 0 {
            let batch: Vec<_> = rest.by_ref().take(BATCH_MAX).collect();
            let results = join_all(batch.iter().map(|d| self.client.delete(&d.key, d.options.clone()))).await;
            let mut end = Ok(());
            for (Deletion { key, options, note }, result) in batch.into_iter().zip(results) {
                let uid = options.uid.or_else(|| (self.uid_of)(&key));
                let is_settled = result.as_ref().map_or_else(Status::is_not_found, |_| true);
                if let Some(uid) = uid.filter(|_| is_settled) {
                    self.barriers.push(Barrier::LetGo { key: key.clone(), uid });
                }
                end = end.and(match result {
                    Err(status) if status.is_not_found() => Err(End::Stale(format!("{key} is gone already"))),
                    // The barrier above says it better than the revision of what may no longer exist.
                    other => self.finish(&key, note, other.map(|_| None), Verb::Delete),
                });
            }
            end?;
        }
        Ok(())
    }

    async fn send_one(&mut self, write: PlannedWrite) -> Result<(), End> {
        match write {
            PlannedWrite::Create { .. } | PlannedWrite::Delete { .. } => unreachable!("collected by the caller"),
            PlannedWrite::Event(note) => {
                self.recorder.note(note);
                Ok(())
            }
            PlannedWrite::Update { key, subresource, body, note } => {
                let result = self.client.update(&key, subresource, body).await;
                self.finish(&key, note, result.map(Some), Verb::Update)
            }
            PlannedWrite::Patch { key, subresource, patch, note } => {
                let result = self.client.patch(&key, subresource, patch).await;
                self.finish(&key, note, result.map(Some), Verb::Patch)
            }
            PlannedWrite::Confirm { key, uid, alive } => {
                let found = self.client.find(&key).await.map_err(|status| failure(Verb::Get, &key.resource, status))?;
                let found = found.filter(|object| uid.is_empty() || object.uid() == uid);
                let holds = match &found {
                    Some(object) => alive && !object.meta().is_deleting(),
                    None => !alive,
                };
                let wanted = if alive { "alive" } else { "gone" };
                if holds { Ok(()) } else { Err(End::Stale(format!("{key} of uid {uid} is not {wanted}"))) }
            }
        }
    }

    fn finish(
        &mut self,
        key: &Key,
        note: WriteNote,
        result: Result<Option<std::sync::Arc<Object>>, Status>,
        verb: Verb,
    ) -> Result<(), End> {
        match result {
            Ok(object) => {
                if let Some(object) = object {
                    self.wrote(&object);
                }
                self.succeeded(note, &key.name);
                Ok(())
            }
            Err(status) if status.is_conflict() => Err(End::Stale(status.message)),
            Err(status) => {
                self.failed(note, &key.name, &status);
                Err(failure(verb, &key.resource, status))
            }
        }
    }

    fn wrote(&mut self, object: &Object) {
        let (resource, revision) = (&object.key().resource, object.revision());
        let known = self.barriers.iter_mut().find_map(|barrier| match barrier {
            Barrier::Passed { resource: of, revision } if of == resource => Some(revision),
            _ => None,
        });
        match known {
            Some(highest) => *highest = revision.max(*highest),
            None => self.barriers.push(Barrier::Passed { resource: resource.clone(), revision }),
        }
    }

    fn succeeded(&self, note: WriteNote, name: &str) {
        if let Some(event) = note.success {
            self.recorder.note(EventNote { message: event.message.replace("{name}", name), ..event });
        }
    }

    fn failed(&self, note: WriteNote, name: &str, status: &Status) {
        if let Some(event) = note.failure {
            let message = event.message.replace("{name}", name).replace("{error}", &status.message);
            self.recorder.note(EventNote { message, ..event });
        }
    }
}

fn failure(verb: Verb, resource: &GroupResource, status: Status) -> End {
    End::Failed(Failure { verb, resource: resource.clone(), message: status.message })
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
}

/// Says in the log how a plan ended, if not well.
pub(crate) fn report(end: &End, failures: u32) {
    match end {
        End::Done => {}
        End::Stale(why) => debug!(why, "The snapshot was too old, planning again."),
        End::Failed(Failure { verb, resource, message }) if failures < FAILURES_QUIET => {
            debug!(?verb, %resource, error = message, "A write failed, trying again.");
        }
        End::Failed(Failure { verb, resource, message }) => {
            warn!(?verb, %resource, error = message, failures, "A write fails again and again.");
        }
    }
}
