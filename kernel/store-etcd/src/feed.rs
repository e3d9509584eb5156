//! The one watch on everything under the prefix, and what it does to the index.
//!
//! A watch that ended goes on where it was. It begins with the last revision seen, not behind it: a compaction there may
//! have taken the tombstones of the next revision, and etcd says so only to who asks from below (etcd 18089).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kernel_store::index::{Change, Version};
use kernel_store::{Event, EventKind};
use sdk_api::{GroupResource, Key, Object};
use tracing::{error, info, warn};

use crate::error::reason;
use crate::load::{self, Snapshot, load, tip, unsigned};
use crate::proto::{self, EventType, WatchCreateRequest, WatchResponse};
use crate::record::Record;
use crate::store::Shared;
use crate::value;

/// Between two tries to watch: from 20 ms to 1 s.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Keeps the index up to date.
pub struct Feed {
    shared: Arc<Shared>,
    /// Everything up to here is in the index.
    seen: u64,
    cluster: u64,
    /// One name a collection, shared by the keys of all its objects.
    names: HashMap<GroupResource, GroupResource>,
    pause: Duration,
}

/// Why a watch ended.
enum End {
    /// The connection, or the endpoint.
    Lost { why: String, endpoint: usize },
    /// What came after `seen` is compacted.
    Compacted,
    /// This is not the etcd, or not the state, that it was.
    Foreign(String),
}

impl Feed {
    /// Takes a state into the index. The watch goes on from there.
    pub fn new(shared: Arc<Shared>, state: Snapshot) -> Self {
        let Snapshot { revision, cluster, versions } = state;
        shared.index.replace(revision, versions);
        Self { shared, seen: revision, cluster, names: HashMap::new(), pause: PAUSE.0 }
    }

    /// Runs until the store is closed.
    pub async fn run(mut self) {
        let closed = self.shared.closed.clone();
        let _ = closed.run_until_cancelled(self.feed()).await;
    }

    async fn feed(&mut self) {
        loop {
            match self.follow().await {
                End::Lost { why, endpoint } => {
                    let name = self.shared.connection.name(endpoint);
                    warn!(endpoint = name, why, "Lost the watch of etcd; trying again.");
                    self.shared.set_health(Err(format!("no watch of etcd at {name}: {why}")));
                    self.shared.connection.avoid(endpoint);
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE.1);
                }
                End::Compacted => self.reload().await,
                End::Foreign(why) => {
                    error!(why, "This etcd cannot be followed any more; the store takes no more writes.");
                    self.shared.give_up(why);
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Watches until that ends.
    async fn follow(&mut self) -> End {
        if let Err(end) = self.check().await {
            return end;
        }
        let shared = self.shared.clone();
        let (key, range_end) = shared.layout.range();
        let create = WatchCreateRequest { key, range_end, start_revision: load::signed(self.seen.max(1)) };
        let (mut stream, endpoint) = match shared.connection.watch(create).await {
            Ok(open) => open,
            Err((status, endpoint)) => return End::Lost { why: reason(&status), endpoint },
        };
        let lost = |why: String| End::Lost { why, endpoint };
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = shared.suspect.notified() => return lost("it lags behind".into()),
            };
            let response = match message {
                Ok(Some(response)) => response,
                Ok(None) => return lost("the stream ended".into()),
                Err(status) => return lost(reason(&status)),
            };
            if response.canceled {
                return match response.compact_revision {
                    0 => lost(response.cancel_reason),
                    _ => End::Compacted,
                };
            }
            if response.created {
                info!(endpoint = shared.connection.name(endpoint), from = self.seen, "Watching etcd.");
                self.pause = PAUSE.0;
                shared.set_health(Ok(()));
            }
            self.apply(response);
        }
    }

    /// Whether this is the etcd it was, and none that lost what it had told us. Asked of the majority, since a member alone
    /// may well be behind.
    async fn check(&self) -> Result<(), End> {
        let shared = &self.shared;
        let tip = tip(&shared.connection, &shared.layout)
            .await
            .map_err(|status| End::Lost { why: reason(&status), endpoint: shared.connection.current() })?;
        if tip.cluster != self.cluster {
            return Err(End::Foreign(
                "the endpoints lead to another etcd cluster than before; restart kubernel".into(),
            ));
        }
        if tip.revision < self.seen {
            return Err(End::Foreign(format!(
                "etcd stands at revision {} and was at {}: it was restored without raising its revision (etcdutl snapshot \
                 restore --bump-revision --mark-compacted); restore it again, then restart kubernel",
                tip.revision, self.seen
            )));
        }
        Ok(())
    }

    /// What was missed cannot be read any more: takes the state as it is. The index' floor rises, so that every watch
    /// that has not seen all of it ends with 410 and nobody skips anything.
    async fn reload(&mut self) {
        let shared = &self.shared;
        match load(&shared.connection, &shared.layout, &*shared.clock, &shared.index, None).await {
            // A member that is behind cannot answer: the first page is read from the majority.
            Ok(state) => {
                warn!(
                    from = self.seen,
                    to = state.revision,
                    "Missed events that are compacted; loaded the state anew."
                );
                self.seen = state.revision;
                shared.index.replace(state.revision, state.versions);
            }
            Err(status) => {
                warn!(why = reason(&status), "Cannot load the state from etcd; trying again.");
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(PAUSE.1);
            }
        }
    }

    fn apply(&mut self, response: WatchResponse) {
        let mut batch = Batch { written: HashMap::new(), changes: Vec::new(), ours: Vec::new() };
        // A commit's record comes before its object, with the same revision.
        let mut record: Option<(u64, Record)> = None;
        let mut newest = self.seen;
        for event in response.events {
            let Some(kv) = &event.kv else { continue };
            let revision = unsigned(kv.mod_revision);
            if revision <= self.seen {
                continue;
            }
            newest = revision;
            if kv.key == self.shared.layout.last_commit {
                record = Some((revision, Record::decode(&kv.value)));
                continue;
            }
            let Some(key) = self.shared.layout.key(&kv.key) else { continue };
            let of_this = record.as_ref().filter(|(at, _)| *at == revision).map(|(_, record)| record);
            self.change(&mut batch, key, &event, revision, of_this);
        }
        // Told first: whoever is woken by the index finds its object.
        for (id, object) in batch.ours {
            self.shared.pending.show(&id, &object);
        }
        let index = &self.shared.index;
        index.apply(batch.changes);
        index.advance(newest);
        self.seen = newest;
    }

    /// Makes the change of one event. Without a record another program wrote it.
    fn change(&mut self, batch: &mut Batch, key: Key, event: &proto::Event, revision: u64, record: Option<&Record>) {
        let Some(kv) = &event.kv else { return };
        let current = match batch.written.get(&key) {
            Some(written) => written.clone(),
            None => self.shared.index.version(&key),
        };
        let is_deletion = event.r#type == i32::from(EventType::Delete);
        let (kind, hole) = match (is_deletion, &current) {
            (true, Some(current)) => {
                (EventKind::Deleted, record.and_then(Record::last).unwrap_or_else(|| current.open()))
            }
            // Of something that was no object of ours.
            (true, None) => return,
            (false, current) => {
                let Some(hole) = value::open(&kv.value) else {
                    warn!(%key, revision, "What was written to etcd is no JSON object.");
                    return;
                };
                (if current.is_some() { EventKind::Updated } else { EventKind::Created }, hole)
            }
        };
        // An object keeps the names it was created with: one allocation for all its versions.
        let key = match &current {
            Some(current) => current.object.key().clone(),
            None => Key { resource: self.name(&key.resource), ..key },
        };
        let (author, time) = match record {
            Some(record) => (record.author.clone(), record.time),
            None => ("".into(), self.now()),
        };
        let object = Arc::new(Object::new(key.clone(), revision, hole.fill(revision)));
        let made = (!is_deletion).then(|| Version {
            object: object.clone(),
            kind,
            time,
            author: author.clone(),
            hole: u32::try_from(hole.head.len()).expect("etcd's values are far below 4 GiB"),
        });
        let previous = current.as_ref().map(|version| version.object.clone());
        let told = Arc::new(Event { kind, object: object.clone(), previous, time, author });
        batch.written.insert(key, made.clone());
        batch.changes.push(Change { event: told, replaced: current, made });
        batch.ours.extend(record.map(|record| (record.id.clone(), object)));
    }

    fn name(&mut self, resource: &GroupResource) -> GroupResource {
        self.names.entry(resource.clone()).or_insert_with(|| resource.clone()).clone()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

/// The changes of one message of the watch.
struct Batch {
    /// Keys that the batch has written, as they stand after it.
    written: HashMap<Key, Option<Version>>,
    changes: Vec<Change>,
    /// The ids of commits, and what they made.
    ours: Vec<(String, Arc<Object>)>,
}
