//! The contract every store backend keeps: what can be read at which revision, and what a commit promises.
//!
//! One revision counter serves all kinds. A commit takes exactly one revision per written object, in order, so no two
//! object states ever share one. Reads are answered from memory; a commit is acknowledged once it is durable.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use sdk_api::{GroupResource, Key, Object};
use tokio::sync::watch;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for is no longer kept.
    #[error("revision {asked} is compacted, the oldest kept is {oldest}")]
    Compacted { asked: u64, oldest: u64 },
    /// The revision asked for has not been reached.
    #[error("revision {asked} lies ahead of the store's {current}")]
    Future { asked: u64, current: u64 },
    /// A precondition did not hold; nothing of the commit was written. `current` is the object as it stands.
    #[error("a precondition on {key} does not hold")]
    Precondition { key: Key, current: Option<Arc<Object>> },
    /// The backend cannot write any more.
    #[error("cannot write: {why}")]
    Unavailable { why: String },
}

/// What must hold of a key for a commit to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No object has the key.
    Absent,
    /// The object exists and stands at this revision.
    Revision(u64),
}

/// The JSON of an object to be written, with the place where its revision belongs.
///
/// The revision is known only when the commit is ordered, so the text is kept in two halves: the store joins
/// `head`, the decimal revision and `tail`. Between them stands `"resourceVersion":"` … `"`.
#[derive(Clone, Debug)]
pub struct RevisionHole {
    pub head: Bytes,
    pub tail: Bytes,
}

impl RevisionHole {
    /// The finished JSON.
    pub fn fill(&self, revision: u64) -> Bytes {
        let digits = revision.to_string();
        let mut whole = Vec::with_capacity(self.head.len() + digits.len() + self.tail.len());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(digits.as_bytes());
        whole.extend_from_slice(&self.tail);
        whole.into()
    }
}

/// A new state of an object.
#[derive(Clone, Debug)]
pub struct Put {
    pub value: RevisionHole,
}

/// One written key of a commit.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Key,
    pub precondition: Precondition,
    /// `None` deletes. The last state, kept in the event, is the stored one with the deletion's revision filled in
    /// from `last`, when given (a deletion may carry a final change, such as finalizers taken away).
    pub put: Option<Put>,
    /// For a deletion: the final state to show in the event. Without it the stored bytes are shown, with their own
    /// `resourceVersion` replaced by the deletion's.
    pub last: Option<RevisionHole>,
    /// Who wrote, for the history of the object: a user name.
    pub author: Arc<str>,
}

/// Writes that happen together or not at all. At most `Store::commit_writes_max` writes and 256 MiB; more is refused
/// with `Error::Unavailable`. Each write sees the ones before it, so a key may be deleted and created again in one commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub writes: Vec<Write>,
}

/// What a commit did: for each write, in order, the object as written (for a deletion its last state).
#[derive(Clone, Debug)]
pub struct Committed {
    pub objects: Vec<Arc<Object>>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// One change of one object, shared by all who watch.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    /// The new state; for a deletion the last state with the deletion's revision.
    pub object: Arc<Object>,
    /// The state before, so that a selector can tell who enters and who leaves.
    pub previous: Option<Arc<Object>>,
    /// When it was committed.
    pub time: Timestamp,
    /// Who wrote.
    pub author: Arc<str>,
}

impl Event {
    pub fn revision(&self) -> u64 {
        self.object.revision()
    }
}

/// Which objects of a collection to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    pub resource: GroupResource,
    /// One namespace; `None` lists all.
    pub namespace: Option<Arc<str>>,
    /// The revision to list at; `None` is the newest.
    pub at: Option<u64>,
    /// Start after this namespace and name.
    pub after: Option<(Arc<str>, Arc<str>)>,
    /// At most this many objects; 0 is no limit.
    pub limit: usize,
}

/// The value of an object by an index; `None` if it has none.
pub type ValueOf = Arc<dyn Fn(&Object) -> Option<String> + Send + Sync>;

/// What an index of a collection goes by. Two of one name are the same.
#[derive(Clone)]
pub struct IndexBy {
    /// Such as `label app` or `field spec.nodeName`.
    pub name: Box<str>,
    /// The value of an object; `None` leaves it out. A pure function of the object, and fast: it is asked of every write.
    pub value: ValueOf,
}

/// A part of a collection at one revision, ordered by the bytes of `namespace/name`.
#[derive(Clone, Debug)]
pub struct Page {
    pub revision: u64,
    pub objects: Vec<Arc<Object>>,
    /// How many more objects follow this page.
    pub remaining: usize,
}

/// The oldest revision that `events` and `list` at a revision still answer, by collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor(pub u64);

/// One kept revision of an object.
#[derive(Clone, Debug)]
pub struct History {
    pub event: Arc<Event>,
}

/// How much history is kept. Whatever is younger than `history_age` stays unless `history_bytes_max` is exceeded; what
/// is older goes with later commits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long events are kept at least, default 5 minutes. Source: etcd compaction interval of the API server.
    pub history_age: Duration,
    /// How many bytes of superseded states are kept at most, default 256 MiB.
    pub history_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { history_age: Duration::from_secs(300), history_bytes_max: 256 << 20 }
    }
}

/// How many writes one commit of an embedded store may carry.
pub const COMMIT_WRITES_MAX: usize = 10_000;

/// A store of objects with revisions.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The newest revision that reads show. An empty store stands at 1, as etcd does: its first object gets 2.
    fn revision(&self) -> u64;

    /// Returns once reads show every write that was acknowledged, by any server, before the call; gives that
    /// revision. Embedded backends return at once.
    async fn barrier(&self) -> Result<u64, Error>;

    /// Returns once reads show `revision`; `Error::Future` if `wait` passes first.
    async fn reach(&self, revision: u64, wait: Duration) -> Result<(), Error>;

    /// The object as it stands.
    fn get(&self, key: &Key) -> Option<Arc<Object>>;

    /// Objects of a collection, at the newest revision or an older one: `Error::Compacted` below the floor,
    /// `Error::Future` above the newest.
    fn list(&self, query: &ListQuery) -> Result<Page, Error>;

    /// The newest state of the objects of a collection (in one namespace, or in all) whose value by an index is one of
    /// some, ordered as lists are, with the revision they stand at. What does not match is not looked at, after the first
    /// time. `None` where the store has no index and `list` serves better.
    fn select(
        &self,
        _resource: &GroupResource,
        _namespace: Option<&str>,
        _by: &IndexBy,
        _values: &[String],
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        None
    }

    /// How many objects a collection holds.
    fn count(&self, resource: &GroupResource) -> usize;

    /// Writes all or nothing. Returns when the commit is durable and reads show it.
    ///
    /// Deleting what does not exist fails as a precondition does. A failed commit takes no revision. A commit whose
    /// caller goes away may still happen.
    async fn commit(&self, commit: Commit) -> Result<Committed, Error>;

    /// Events of a collection with a revision above `after`, oldest first, at most `max`.
    ///
    /// `Error::Compacted` if an event above `after` may be missing, `Error::Future` if `after` lies ahead. The second value is the revision up to which the
    /// answer is complete: if fewer than `max` events came, nothing else happened in this collection up to it.
    fn events(&self, resource: &GroupResource, after: u64, max: usize) -> Result<(Vec<Arc<Event>>, u64), Error>;

    /// Tells when a collection has new events: the value is the revision of its newest event (after a restart, of the
    /// checkpoint, if that is newer). The collection need not have an object yet.
    fn changes(&self, resource: &GroupResource) -> watch::Receiver<u64>;

    /// The kept states of one object, newest first, deletions included. The oldest is the state that stood at the
    /// floor, its event without a previous state.
    fn history(&self, key: &Key) -> Vec<History>;

    /// The oldest revision that `list` and `events` still answer.
    fn floor(&self) -> Floor;

    /// Drops history below `revision`; the newest state of every object stays. May be put off while the backend reads
    /// the past itself.
    fn compact(&self, revision: u64);

    /// How many writes one commit may carry: at least 1. Below 2 where the backend has one revision for all that it writes
    /// at once, since no two states may share one.
    fn commit_writes_max(&self) -> usize {
        COMMIT_WRITES_MAX
    }

    /// Whether commits can still be made durable, and consistent reads be answered; if not, why.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// Makes everything durable and stops; later commits fail.
    async fn close(&self);
}
