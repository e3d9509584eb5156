//! One collection of the index: its objects, what they were before, and its events in order.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use sdk_api::{GroupResource, Key, Object};
use tokio::sync::watch;

use super::ordered::{Ordered, Part};
use super::select::{OBJECTS_MIN, Selection, Selections};
use crate::{Event, EventKind, History, RevisionHole};

/// A state of an object with what is known of the write that made it.
#[derive(Clone, Debug)]
pub struct Version {
    pub object: Arc<Object>,
    pub kind: EventKind,
    pub time: Timestamp,
    pub author: Arc<str>,
    /// Where in the bytes the digits of the revision begin.
    pub hole: u32,
}

impl Version {
    pub fn revision(&self) -> u64 {
        self.object.revision()
    }

    /// The stored bytes with the place of their revision open again.
    ///
    /// The place is remembered, not searched for: a label or a ConfigMap may well contain `"resourceVersion":"7"`.
    pub fn open(&self) -> RevisionHole {
        let raw = self.object.raw();
        let digits = self.revision().to_string().len();
        let from = (self.hole as usize).min(raw.len());
        let to = (from + digits).min(raw.len());
        RevisionHole { head: raw.slice(..from), tail: raw.slice(to..) }
    }
}

/// One event, with the version it replaced and the one it made (`None` for a deletion).
#[derive(Clone, Debug)]
pub struct Change {
    pub event: Arc<Event>,
    pub replaced: Option<Version>,
    pub made: Option<Version>,
}

impl Change {
    pub fn key(&self) -> &Key {
        self.event.object.key()
    }

    /// How many bytes of superseded states the event keeps alive.
    pub fn kept_bytes(&self) -> usize {
        let replaced = self.replaced.as_ref().map_or(0, |version| version.object.raw().len());
        let last = if self.made.is_none() { self.event.object.raw().len() } else { 0 };
        replaced + last + EVENT_BYTES
    }
}

/// About what an event takes besides the bytes of its objects.
const EVENT_BYTES: usize = 256;

/// What happened to a key, for readers of the past.
#[derive(Debug)]
struct Step {
    event: Arc<Event>,
    replaced: Option<Version>,
}

/// A collection and its lock. The lock is only ever held for work in memory.
pub(crate) struct Collection {
    pub resource: GroupResource,
    state: RwLock<State>,
    /// The revision of the newest event.
    pub changes: watch::Sender<u64>,
}

impl Collection {
    pub fn new(resource: GroupResource) -> Self {
        Self { resource, state: RwLock::default(), changes: watch::Sender::new(0) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("no code panics while it holds a collection")
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("no code panics while it holds a collection")
    }
}

#[derive(Default)]
pub(crate) struct State {
    objects: Ordered<Version>,
    past: Ordered<VecDeque<Step>>,
    events: VecDeque<Arc<Event>>,
    selections: Selections,
}

/// What an index says.
pub(crate) enum Found {
    Objects(Vec<Arc<Object>>),
    /// There is no such index yet, though there should be.
    Missing,
    /// The collection is small enough to be read as a whole.
    Small,
}

impl State {
    /// Objects that an index finds, in the order of lists.
    pub fn select(&self, name: &str, namespace: Option<&str>, values: &[String]) -> Found {
        if self.objects.len() < OBJECTS_MIN {
            return Found::Small;
        }
        let Some(places) = self.selections.find(name, namespace, values) else { return Found::Missing };
        let standing = places.into_iter().filter_map(|(space, name)| self.objects.at(space, name));
        Found::Objects(standing.map(|version| version.object.clone()).collect())
    }

    /// Takes in an index of the objects as they were at a revision, once it has seen the events since, all of which must
    /// still be there.
    pub fn add_selection(&mut self, mut selection: Selection, at: u64) {
        let from = self.events.partition_point(|event| event.revision() <= at);
        for event in self.events.range(from..) {
            let object = (event.kind != EventKind::Deleted).then_some(&*event.object);
            selection.put(event.object.key(), object);
        }
        self.selections.add(selection);
    }

    pub fn selections(&self) -> &Selections {
        &self.selections
    }

    /// All objects.
    pub fn objects(&self) -> Vec<Arc<Object>> {
        self.objects.walk(&Part::default()).map(|(_, _, version)| version.object.clone()).collect()
    }

    pub fn get(&self, key: &Key) -> Option<&Version> {
        self.objects.get(key)
    }

    pub fn count(&self) -> usize {
        self.objects.len()
    }

    /// Takes a version as the state of its key, without an event.
    pub fn load(&mut self, version: Version) {
        self.objects.insert(&version.object.key().clone(), version);
    }

    pub fn apply(&mut self, change: Change) {
        let key = change.key().clone();
        if !self.selections.is_empty() {
            self.selections.put(&key, change.made.as_ref().map(|version| &*version.object));
        }
        match change.made {
            Some(version) => drop(self.objects.insert(&key, version)),
            None => drop(self.objects.remove(&key)),
        }
        let steps = self.past.slot(&key);
        if steps.is_empty() {
            // Most keys are written once in the time that is kept.
            steps.reserve_exact(1);
        }
        steps.push_back(Step { event: change.event.clone(), replaced: change.replaced });
        self.events.push_back(change.event);
    }

    /// Drops the oldest event.
    pub fn forget_oldest(&mut self) {
        let Some(event) = self.events.pop_front() else { return };
        let key = event.object.key();
        let steps = self.past.slot(key);
        steps.pop_front();
        if steps.is_empty() {
            self.past.remove(key);
        }
    }

    /// Takes the place of all that was known: objects without a past and without events.
    pub fn replace(&mut self, versions: Vec<Version>) {
        *self = Self::default();
        versions.into_iter().for_each(|version| self.load(version));
    }

    /// Events above a revision, oldest first, at most `max`; and whether these are all there are.
    ///
    /// A few more than `max` where events share a revision, which other programs can cause in a shared store: whoever
    /// goes on from the last revision would miss the rest.
    pub fn events(&self, after: u64, max: usize) -> (Vec<Arc<Event>>, bool) {
        let from = self.events.partition_point(|event| event.revision() <= after);
        let mut to = self.events.len().min(from.saturating_add(max));
        while to > from && to < self.events.len() && self.events[to].revision() == self.events[to - 1].revision() {
            to += 1;
        }
        (self.events.range(from..to).cloned().collect(), to == self.events.len())
    }

    /// The kept states of a key, newest first. The oldest is the one that stood when its event was forgotten.
    pub fn history(&self, key: &Key) -> Vec<History> {
        let (steps, oldest) = match self.past.get(key) {
            Some(steps) => (Some(steps), steps.front().and_then(|step| step.replaced.as_ref())),
            None => (None, self.objects.get(key)),
        };
        let kept = steps.into_iter().flatten().rev().map(|step| step.event.clone());
        kept.chain(oldest.map(quiet)).map(|event| History { event }).collect()
    }

    /// Objects of a part at a revision, at most `limit` (0: all), and how many more there are.
    pub fn list(&self, part: &Part, at: u64, limit: usize) -> (Vec<Arc<Object>>, usize) {
        let limit = if limit == 0 { usize::MAX } else { limit };
        // The usual large answer is all of a collection.
        let mut taken = Vec::with_capacity(if part.namespace.is_none() { limit.min(self.objects.len()) } else { 0 });
        if self.stands_since(at) {
            let mut walk = self.objects.walk(part).map(|(_, _, version)| version);
            taken.extend(walk.by_ref().take(limit).map(|version| version.object.clone()));
            return (taken, walk.count());
        }
        let mut walk = self.walk_at(part, at);
        taken.extend(walk.by_ref().take(limit).map(|version| version.object.clone()));
        (taken, walk.count())
    }

    /// Versions of a part at a revision, at most `limit`.
    pub fn versions(&self, part: &Part, at: u64, limit: usize) -> Vec<Version> {
        if self.stands_since(at) {
            return self.objects.walk(part).take(limit).map(|(_, _, version)| version.clone()).collect();
        }
        self.walk_at(part, at).take(limit).cloned().collect()
    }

    /// Whether nothing happened after a revision, so that what stands is what stood.
    fn stands_since(&self, at: u64) -> bool {
        self.events.back().is_none_or(|newest| newest.revision() <= at)
    }

    /// Merges the objects that stand with the keys that have a past, and takes of each what stood at `at`.
    fn walk_at<'a>(&'a self, part: &Part, at: u64) -> impl Iterator<Item = &'a Version> + use<'a> {
        let mut now = self.objects.walk(part).peekable();
        let mut past = self.past.walk(part).peekable();
        let at_revision = move |steps: &'a VecDeque<Step>, current: Option<&'a Version>| match steps
            .get(steps.partition_point(|step| step.event.revision() <= at))
        {
            Some(first_later) => first_later.replaced.as_ref(),
            None => current,
        };
        std::iter::from_fn(move || {
            let order = match (now.peek(), past.peek()) {
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((space, name, _)), Some((other_space, other, _))) => {
                    space.cmp(other_space).then_with(|| name.as_bytes().cmp(other.as_bytes()))
                }
            };
            let current = if order.is_le() { now.next().map(|(_, _, version)| version) } else { None };
            let steps = if order.is_ge() { past.next().map(|(_, _, steps)| steps) } else { None };
            Some(steps.map_or(current, |steps| at_revision(steps, current)))
        })
        .flatten()
    }
}

/// The event of a version whose event is no longer kept.
fn quiet(version: &Version) -> Arc<Event> {
    Arc::new(Event {
        kind: version.kind,
        object: version.object.clone(),
        previous: None,
        time: version.time,
        author: version.author.clone(),
    })
}
