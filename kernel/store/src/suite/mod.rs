//! The contract suite: what every backend must pass, and what crash tests compare a store with.
//!
//! A backend's tests call [`run`] with a function that opens an empty store. A case that fails panics with its name and,
//! where it is random, its seed.

mod cases;
mod clock;
mod model;

use std::future::Future;
use std::sync::Arc;

use sdk_api::{Clock, GroupResource, Key, Object};

pub use clock::ManualClock;
pub use model::{Fact, Model, random_commit};

pub use crate::seeded::Seeded;
use crate::{Commit, EventKind, Limits, Precondition, Put, RevisionHole, Store, Write};

/// Runs every case, each on a store of its own; `seeds` are for the random ones. The runtime needs its timer.
pub async fn run<F, Made>(make: F, seeds: std::ops::Range<u64>)
where
    F: Fn(Arc<dyn Clock>, Limits) -> Made,
    Made: Future<Output = Arc<dyn Store>>,
{
    let clock = Arc::new(ManualClock::default());
    let fresh = || make(clock.clone(), Limits::default());
    within("starts_empty", cases::starts_empty(&*fresh().await)).await;
    within("preconditions", cases::preconditions(&*fresh().await)).await;
    within("all_or_nothing", cases::all_or_nothing(&*fresh().await)).await;
    within("one_commit_one_key", cases::one_commit_one_key(&*fresh().await)).await;
    within("last_states", cases::last_states(&*fresh().await)).await;
    within("order_and_pages", cases::order_and_pages(&*fresh().await)).await;
    within("list_at_revisions", cases::list_at_revisions(&*fresh().await)).await;
    within("events_from_anywhere", cases::events_from_anywhere(&*fresh().await)).await;
    within("compaction", cases::compaction(&*fresh().await)).await;
    within("first_object_is_seen", cases::first_object_is_seen(fresh().await)).await;
    within("changes_are_per_collection", cases::changes_are_per_collection(&*fresh().await)).await;
    within("reaching", cases::reaching(fresh().await, &clock)).await;
    within("history", cases::history(&*fresh().await, &clock)).await;
    within("one_winner", cases::one_winner(fresh().await)).await;
    within("counters_add_up", cases::counters_add_up(fresh().await)).await;
    within("readers_see_whole_commits", cases::readers_see_whole_commits(fresh().await)).await;
    within("too_large", cases::too_large(&*fresh().await)).await;
    within("closing", cases::closing(&*fresh().await)).await;
    let bytes = Limits { history_bytes_max: 20_000, ..Limits::default() };
    within("bytes_are_bounded", cases::bytes_are_bounded(&*make(clock.clone(), bytes).await)).await;
    within("age_is_kept", cases::age_is_kept(&*fresh().await, &clock)).await;
    for seed in seeds {
        let limits = Limits { history_bytes_max: if seed % 2 == 0 { 256 << 20 } else { 16_000 }, ..Limits::default() };
        println!("random commits, seed {seed}");
        within("random", cases::random(&*make(clock.clone(), limits).await, &clock, seed)).await;
    }
}

/// A case that waits for what never happens fails by name.
async fn within(case: &str, work: impl Future<Output = ()>) {
    tokio::time::timeout(CASE, work).await.unwrap_or_else(|_| panic!("{case} takes longer than {CASE:?}"));
}

/// How long a case may take on a busy machine.
const CASE: std::time::Duration = std::time::Duration::from_secs(120);

/// A collection for tests.
pub fn resource(name: &str) -> GroupResource {
    GroupResource::new("suite.example", name)
}

/// A value with `body` in it. Its text contains `"resourceVersion":"1"` in places where it means nothing.
pub fn value(key: &Key, body: &str) -> RevisionHole {
    let body = serde_json::Value::from(body);
    let decoy = r#""annotations":{"resourceVersion":"1"}"#;
    let head = format!(
        r#"{{"data":{{"resourceVersion":"1"}},"metadata":{{{decoy},"name":"{}","namespace":"{}","resourceVersion":""#,
        key.name, key.namespace
    );
    let tail = format!(r#""}},"body":{body},"again":{{"metadata":{{"resourceVersion":"1"}}}}}}"#);
    RevisionHole { head: head.into(), tail: tail.into() }
}

/// Creates an object.
pub fn create(key: &Key, body: &str) -> Write {
    put(key, Precondition::Absent, body)
}

/// Changes an object that stands at a revision.
pub fn update(key: &Key, revision: u64, body: &str) -> Write {
    put(key, Precondition::Revision(revision), body)
}

fn put(key: &Key, precondition: Precondition, body: &str) -> Write {
    let put = Some(Put { value: value(key, body) });
    Write { key: key.clone(), precondition, put, last: None, author: "suite".into() }
}

/// Deletes an object that stands at a revision.
pub fn delete(key: &Key, revision: u64) -> Write {
    let precondition = Precondition::Revision(revision);
    Write { key: key.clone(), precondition, put: None, last: None, author: "suite".into() }
}

/// A commit of these writes.
pub fn commit(writes: impl IntoIterator<Item = Write>) -> Commit {
    Commit { writes: writes.into_iter().collect() }
}

/// The body that `value` was given.
pub fn body(object: &Object) -> String {
    object.tree()["body"].as_str().expect("the suite's objects have a body").to_owned()
}

/// Commits one write that must succeed; gives the object.
pub(crate) async fn done(store: &dyn Store, write: Write) -> Arc<Object> {
    let committed = store.commit(commit([write])).await.expect("the precondition holds");
    committed.objects.into_iter().next().expect("one object a write")
}

/// Commits a deletion or not, by whether there is something to delete.
pub(crate) fn expected_kind(write: &Write, exists: bool) -> EventKind {
    match (&write.put, exists) {
        (None, _) => EventKind::Deleted,
        (Some(_), true) => EventKind::Updated,
        (Some(_), false) => EventKind::Created,
    }
}
