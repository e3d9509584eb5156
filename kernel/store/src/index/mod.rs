//! The index in memory that every backend answers reads from. Backends of other crates keep one too.
//!
//! One task applies changes, in the order of their revisions; readers take a collection's lock for as long as it takes
//! to clone the references they want. A batch is applied while all its collections are held, so nobody sees half of it.

mod collection;
mod ordered;
mod select;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sdk_api::{Clock, GroupResource, Key, Object};
use tokio::sync::watch;

pub use collection::{Change, Version};
pub(crate) use collection::{Collection, Found};
pub(crate) use ordered::{Part, Space};

use crate::{Error, Event, Floor, History, IndexBy, Limits, ListQuery, Page};
use select::Selection;

/// The revision of a store that nobody has written to, as in etcd: the first object gets 2, and no list shows "0".
pub(crate) const FIRST_REVISION: u64 = 1;

/// How many events beyond its own number a batch forgets for their age, so that no batch pays for a burst of the past.
const FORGET_EXTRA_MAX: usize = 256;

/// Objects, their past and their events, of all collections.
pub struct Index {
    collections: RwLock<HashMap<GroupResource, Arc<Collection>>>,
    /// Stored while the collections of the batch are held.
    revision: AtomicU64,
    /// The same for those who wait.
    reached: watch::Sender<u64>,
    /// Raised before events are dropped, so that a reader under a collection's lock can trust it.
    floor: AtomicU64,
    ledger: Mutex<Ledger>,
    /// Indexes that somebody is making.
    in_the_making: Mutex<HashSet<(GroupResource, Box<str>)>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

/// The kept events of all collections in one order, to know which to forget.
#[derive(Default)]
struct Ledger {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Events above this one must stay: a checkpoint reads the past as it stood there.
    pin: Option<u64>,
    /// Up to here `compact` was asked for, but a pin was in the way.
    owed: u64,
}

struct Line {
    revision: u64,
    collection: Arc<Collection>,
    time: Timestamp,
    bytes: usize,
}

impl Index {
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            collections: RwLock::default(),
            revision: AtomicU64::new(FIRST_REVISION),
            reached: watch::Sender::new(FIRST_REVISION),
            floor: AtomicU64::new(0),
            ledger: Mutex::default(),
            in_the_making: Mutex::default(),
            limits,
            clock,
        }
    }

    /// A collection, if anybody has asked or written to it.
    fn known(&self, resource: &GroupResource) -> Option<Arc<Collection>> {
        self.collections.read().expect("nothing panics under this lock").get(resource).cloned()
    }

    /// A collection, made when it is new.
    pub(crate) fn collection(&self, resource: &GroupResource) -> Arc<Collection> {
        if let Some(known) = self.known(resource) {
            return known;
        }
        let mut all = self.collections.write().expect("nothing panics under this lock");
        all.entry(resource.clone()).or_insert_with(|| Arc::new(Collection::new(resource.clone()))).clone()
    }

    /// All collections, in the order of their names.
    pub(crate) fn collections(&self) -> Vec<Arc<Collection>> {
        let mut all: Vec<_> =
            self.collections.read().expect("nothing panics under this lock").values().cloned().collect();
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        all
    }

    /// The newest state of a key.
    pub fn version(&self, key: &Key) -> Option<Version> {
        self.known(&key.resource)?.read().get(key).cloned()
    }

    /// Makes changes visible, all at once, and tells those who wait. Only one caller at a time, in order.
    pub fn apply(&self, changes: Vec<Change>) {
        let Some(newest) = changes.last().map(|change| change.event.revision()) else { return };
        let count = changes.len();
        let mut collections: Vec<Arc<Collection>> = Vec::new();
        let mut places: HashMap<GroupResource, usize> = HashMap::new();
        let mut ledger = self.ledger.lock().expect("nothing panics under this lock");
        let mut targets = Vec::with_capacity(count);
        for change in &changes {
            let resource = &change.key().resource;
            let place = match places.get(resource) {
                Some(place) => *place,
                None => {
                    places.insert(resource.clone(), collections.len());
                    collections.push(self.collection(resource));
                    collections.len() - 1
                }
            };
            let line = Line {
                revision: change.event.revision(),
                collection: collections[place].clone(),
                time: change.event.time,
                bytes: change.kept_bytes(),
            };
            ledger.bytes += line.bytes;
            ledger.lines.push_back(line);
            targets.push(place);
        }
        let mut newest_of = vec![0; collections.len()];
        for (change, place) in changes.iter().zip(&targets) {
            if let Some(made) = &change.made {
                collections[*place].read().selections().warm(&made.object);
            }
        }
        {
            // Only this task ever holds two collections, so no order among them is needed.
            let mut held: Vec<_> = collections.iter().map(|collection| collection.write()).collect();
            for (change, place) in changes.into_iter().zip(targets) {
                newest_of[place] = change.event.revision();
                held[place].apply(change);
            }
            self.revision.store(newest, Ordering::Release);
        }
        self.enforce(&mut ledger, count + FORGET_EXTRA_MAX);
        drop(ledger);
        self.reached.send_replace(newest);
        for (collection, newest) in collections.iter().zip(newest_of) {
            collection.changes.send_replace(newest);
        }
    }

    /// Forgets what is too old, at most `max` events, and what is too much.
    fn enforce(&self, ledger: &mut Ledger, max: usize) {
        let age = SignedDuration::try_from(self.limits.history_age).unwrap_or(SignedDuration::MAX);
        let now = self.clock.now();
        let mut bytes = ledger.bytes;
        let mut count = 0;
        for line in &ledger.lines {
            let old = now.duration_since(line.time) > age && count < max;
            let too_much = bytes > self.limits.history_bytes_max || line.revision <= ledger.owed;
            if !(old || too_much) || ledger.pin.is_some_and(|pin| line.revision > pin) {
                break;
            }
            bytes -= line.bytes;
            count += 1;
        }
        self.forget(ledger, count);
    }

    fn forget(&self, ledger: &mut Ledger, count: usize) {
        if count == 0 {
            return;
        }
        self.floor.fetch_max(ledger.lines[count - 1].revision, Ordering::SeqCst);
        for line in ledger.lines.drain(..count) {
            ledger.bytes -= line.bytes;
            line.collection.write().forget_oldest();
        }
    }

    pub fn compact(&self, revision: u64) {
        let mut ledger = self.ledger.lock().expect("nothing panics under this lock");
        let asked = revision.min(self.revision());
        let to = asked.min(ledger.pin.unwrap_or(u64::MAX));
        ledger.owed = ledger.owed.max(asked);
        let count = ledger.lines.partition_point(|line| line.revision <= to);
        self.floor.fetch_max(to, Ordering::SeqCst);
        self.forget(&mut ledger, count);
    }

    /// Keeps the past readable from the newest revision on until `unpin`; gives that revision.
    pub(crate) fn pin(&self) -> u64 {
        let mut ledger = self.ledger.lock().expect("nothing panics under this lock");
        let revision = self.revision();
        ledger.pin = Some(revision);
        revision
    }

    /// Ends `pin`. What has become too much goes with the next batch, so that the floor moves with commits alone.
    pub(crate) fn unpin(&self) {
        self.ledger.lock().expect("nothing panics under this lock").pin = None;
    }

    /// Takes the state of a checkpoint at `revision`; nothing older can be read.
    pub(crate) fn load(&self, revision: u64) {
        self.revision.store(revision, Ordering::Release);
        self.reached.send_replace(revision);
        self.floor.store(revision, Ordering::SeqCst);
        for collection in self.collections() {
            collection.changes.send_replace(revision);
        }
    }

    /// Takes the whole state at `revision` in the place of what was known: nothing older can be read, and whoever
    /// watches is told so. Only one caller at a time, with `apply` and `advance`.
    pub fn replace(&self, revision: u64, versions: Vec<Version>) {
        let mut states: HashMap<GroupResource, Vec<Version>> = HashMap::new();
        for version in versions {
            states.entry(version.object.key().resource.clone()).or_default().push(version);
        }
        for resource in states.keys() {
            self.collection(resource);
        }
        let collections = self.collections();
        let mut ledger = self.ledger.lock().expect("nothing panics under this lock");
        {
            let mut held: Vec<_> = collections.iter().map(|collection| collection.write()).collect();
            self.floor.fetch_max(revision, Ordering::SeqCst);
            for (collection, state) in collections.iter().zip(&mut held) {
                state.replace(states.remove(&collection.resource).unwrap_or_default());
            }
            self.revision.store(revision, Ordering::Release);
        }
        ledger.lines.clear();
        ledger.bytes = 0;
        drop(ledger);
        self.reached.send_replace(revision);
        for collection in &collections {
            collection.changes.send_replace(revision);
        }
    }

    /// Moves on to a revision at which nothing happened here. Only one caller at a time, with `apply`.
    pub fn advance(&self, revision: u64) {
        if revision > self.revision() {
            self.revision.store(revision, Ordering::Release);
            self.reached.send_replace(revision);
        }
    }

    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn floor(&self) -> Floor {
        Floor(self.floor.load(Ordering::SeqCst))
    }

    pub async fn reach(&self, revision: u64, wait: Duration) -> Result<(), Error> {
        if self.revision() >= revision {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.passed(revision) => Ok(()),
            () = self.clock.sleep(wait) => {
                let current = self.revision();
                if current >= revision { Ok(()) } else { Err(Error::Future { asked: revision, current }) }
            }
        }
    }

    /// Returns once reads show `revision`, however long that takes.
    pub async fn passed(&self, revision: u64) {
        // The sender lives as long as the index, so this never fails.
        let _ = self.reached.subscribe().wait_for(|current| *current >= revision).await;
    }

    /// Whether a past revision can be answered. To be asked under the collection's lock.
    fn answers(&self, asked: u64) -> Result<(), Error> {
        let (Floor(oldest), current) = (self.floor(), self.revision());
        if asked < oldest {
            return Err(Error::Compacted { asked, oldest });
        }
        if asked > current {
            return Err(Error::Future { asked, current });
        }
        Ok(())
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.known(&key.resource)?.read().get(key).map(|version| version.object.clone())
    }

    pub fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        // Read before the collection is looked up: one that is made in between has its first object above it.
        let before = self.revision();
        let Some(collection) = self.known(&query.resource) else {
            let revision = query.at.unwrap_or(before);
            if revision > before {
                // Asked for again once the collections are seen as they stand at `revision`.
                self.answers(revision)?;
                return self.list(query);
            }
            self.answers(revision)?;
            return Ok(Page { revision, objects: Vec::new(), remaining: 0 });
        };
        let part = Part {
            namespace: query.namespace.clone().map(Space),
            after: query.after.clone().map(|(namespace, name)| (Space(namespace), name)),
        };
        let state = collection.read();
        let revision = query.at.unwrap_or_else(|| self.revision());
        if query.at.is_some() {
            self.answers(revision)?;
        }
        let (objects, remaining) = state.list(&part, revision, query.limit);
        Ok(Page { revision, objects, remaining })
    }

    /// The newest state of the objects that have one of some values, in the order of lists, and the revision. `None` if
    /// the collection is better read as a whole: it is small, or somebody is still making the index.
    pub fn select(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        by: &IndexBy,
        values: &[String],
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        let collection = self.known(resource)?;
        let look = || {
            let state = collection.read();
            (self.revision(), state.select(&by.name, namespace, values))
        };
        match look() {
            (revision, Found::Objects(objects)) => return Some((revision, objects)),
            (_, Found::Small) => return None,
            (_, Found::Missing) => {}
        }
        let making = (resource.clone(), by.name.clone());
        if !self.in_the_making.lock().expect("nothing panics under this lock").insert(making.clone()) {
            return None;
        }
        self.make_selection(&collection, by);
        self.in_the_making.lock().expect("nothing panics under this lock").remove(&making);
        match look() {
            (revision, Found::Objects(objects)) => Some((revision, objects)),
            (_, Found::Small | Found::Missing) => None,
        }
    }

    /// Reads the objects without holding up commits; only what these changed meanwhile is read under the lock.
    fn make_selection(&self, collection: &Collection, by: &IndexBy) {
        let (revision, objects) = {
            let state = collection.read();
            (self.revision(), state.objects())
        };
        let mut selection = Selection::new(by.clone());
        for object in objects {
            selection.put(object.key(), Some(&object));
        }
        let mut state = collection.write();
        // Where the events since are forgotten already, the next list begins again.
        if self.answers(revision).is_ok() {
            state.add_selection(selection, revision);
        }
    }

    pub fn count(&self, resource: &GroupResource) -> usize {
        self.known(resource).map_or(0, |collection| collection.read().count())
    }

    pub fn events(&self, resource: &GroupResource, after: u64, max: usize) -> Result<(Vec<Arc<Event>>, u64), Error> {
        let before = self.revision();
        let Some(collection) = self.known(resource) else {
            self.answers(after)?;
            return Ok((Vec::new(), before.max(after)));
        };
        let state = collection.read();
        self.answers(after)?;
        let (events, all) = state.events(after, max);
        let complete = match events.last() {
            _ if all => self.revision(),
            Some(last) => last.revision(),
            None => after,
        };
        Ok((events, complete))
    }

    pub fn changes(&self, resource: &GroupResource) -> watch::Receiver<u64> {
        self.collection(resource).changes.subscribe()
    }

    pub fn history(&self, key: &Key) -> Vec<History> {
        self.known(&key.resource).map_or_else(Vec::new, |collection| collection.read().history(key))
    }
}
