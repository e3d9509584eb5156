//! A store so simple that it is right: a list of all that happened. Random commits, and a comparison with a real store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sdk_api::{GroupResource, Key};

use super::{Seeded, create, delete, expected_kind, resource, update, value};
use crate::{Commit, Committed, Error, Event, EventKind, ListQuery, Precondition, Store, Write};

/// One write that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub revision: u64,
    pub kind: EventKind,
    pub key: Key,
    pub raw: Bytes,
    /// The revision of the state before.
    pub previous: Option<u64>,
}

impl Fact {
    fn of(event: &Event) -> Self {
        Self {
            revision: event.revision(),
            kind: event.kind,
            key: event.object.key().clone(),
            raw: event.object.raw().clone(),
            previous: event.previous.as_ref().map(|object| object.revision()),
        }
    }
}

/// All that happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub facts: Vec<Fact>,
}

impl Model {
    /// The state at a revision.
    pub fn at(&self, revision: u64) -> BTreeMap<&Key, &Fact> {
        let mut state = BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.revision <= revision) {
            match fact.kind {
                EventKind::Deleted => state.remove(&fact.key),
                _ => state.insert(&fact.key, fact),
            };
        }
        state
    }

    /// What a commit must do when `next` is the next revision: the facts, or the key whose precondition fails.
    pub fn predict(&self, commit: &Commit, next: u64) -> Result<Vec<Fact>, Key> {
        let mut state: BTreeMap<Key, Fact> =
            self.at(u64::MAX).into_iter().map(|(key, fact)| (key.clone(), fact.clone())).collect();
        let mut facts = Vec::new();
        for (revision, write) in (next..).zip(&commit.writes) {
            let current = state.get(&write.key).cloned();
            let holds = match write.precondition {
                Precondition::Absent => current.is_none() && write.put.is_some(),
                Precondition::Revision(wanted) => current.as_ref().is_some_and(|fact| fact.revision == wanted),
            };
            if !holds {
                return Err(write.key.clone());
            }
            let kind = expected_kind(write, current.is_some());
            let raw = match (&write.put, &write.last, &current) {
                (Some(put), _, _) => put.value.fill(revision),
                (None, Some(last), _) => last.fill(revision),
                // `value` is the only source of test objects, so the same body gives the same bytes.
                (None, None, current) => {
                    let stored = current.as_ref().expect("a deletion's precondition holds of an object");
                    value(&write.key, &body_of(&stored.raw)).fill(revision)
                }
            };
            let previous = current.map(|fact| fact.revision);
            let fact = Fact { revision, kind, key: write.key.clone(), raw, previous };
            match kind {
                EventKind::Deleted => drop(state.remove(&write.key)),
                _ => drop(state.insert(write.key.clone(), fact.clone())),
            }
            facts.push(fact);
        }
        Ok(facts)
    }

    /// The revision of the newest write.
    pub fn revision(&self) -> u64 {
        self.facts.last().map_or(0, |fact| fact.revision)
    }

    /// Compares the outcome of a commit with what it should be, and learns it.
    pub fn learn(&mut self, commit: &Commit, outcome: &Result<Committed, Error>) {
        match outcome {
            Ok(committed) => self.learn_done(commit, committed),
            Err(Error::Precondition { key, current }) => {
                assert_eq!(self.predict(commit, self.revision() + 1).err().as_ref(), Some(key), "the key that fails");
                let known = self.at(u64::MAX).get(key).map(|fact| fact.revision);
                assert_eq!(current.as_ref().map(|object| object.revision()), known, "{key} as it stands");
            }
            Err(other) => panic!("{commit:?}: {other}"),
        }
    }

    /// Learns a commit that succeeded.
    pub fn learn_done(&mut self, commit: &Commit, committed: &Committed) {
        let first = committed.objects.first().map_or(u64::MAX, |object| object.revision());
        assert!(first > self.revision(), "revision {first} was used before");
        let facts = self.predict(commit, first).expect("a commit whose precondition fails does not succeed");
        let objects: Vec<_> = committed.objects.iter().map(|o| (o.revision(), o.key(), o.raw())).collect();
        let wanted: Vec<_> = facts.iter().map(|fact| (fact.revision, &fact.key, &fact.raw)).collect();
        assert_eq!(objects, wanted);
        self.facts.extend(facts);
    }

    /// Learns what a store shows beyond what was acknowledged: whole commits out of `unknown`, in some order.
    pub fn learn_more(&mut self, store: &dyn Store, unknown: &mut Vec<Commit>) {
        let mut more: Vec<Fact> = Vec::new();
        let mut collections: Vec<_> = unknown.iter().flat_map(|c| &c.writes).map(|w| w.key.resource.clone()).collect();
        collections.sort();
        collections.dedup();
        for collection in collections {
            let (events, _) = store.events(&collection, self.revision(), usize::MAX).expect("kept");
            more.extend(events.iter().map(|event| Fact::of(event)));
        }
        more.sort_by_key(|fact| fact.revision);
        let mut left = &more[..];
        while let Some(first) = left.first() {
            let fits = |commit: &Commit| {
                self.predict(commit, first.revision).is_ok_and(|facts| !facts.is_empty() && left.starts_with(&facts))
            };
            let place = unknown.iter().position(fits).unwrap_or_else(|| panic!("nobody committed {left:?}"));
            let count = unknown.swap_remove(place).writes.len();
            self.facts.extend_from_slice(&left[..count]);
            left = &left[count..];
        }
    }

    fn resources(&self) -> Vec<GroupResource> {
        let mut all: Vec<_> = self.facts.iter().map(|fact| fact.key.resource.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Compares everything that can be read of a store with what happened; the random part decides which revisions
    /// and pages are looked at.
    pub fn check(&self, store: &dyn Store, random: &mut Seeded) {
        let (floor, current) = (store.floor().0, store.revision());
        let newest = self.facts.last().map_or(current, |fact| fact.revision);
        assert_eq!(current, newest, "the newest revision");
        for resource in self.resources() {
            let kept = |after: u64| self.facts.iter().filter(move |f| f.revision > after);
            let here: Vec<&Fact> = kept(0).filter(|fact| fact.key.resource == resource).collect();
            self.check_events(store, &resource, &here, floor, current, random);
            for at in [current, floor, floor + random.below(current - floor + 1)] {
                self.check_list(store, &resource, Some(at), random);
            }
            self.check_list(store, &resource, None, random);
            let now = self.at(current);
            assert_eq!(store.count(&resource), now.keys().filter(|key| key.resource == resource).count());
            if floor > 0 {
                let asked = random.below(floor);
                let query = query(&resource, Some(asked));
                assert!(
                    matches!(store.list(&query), Err(Error::Compacted { asked: a, oldest }) if a == asked && oldest == floor)
                );
                assert!(matches!(store.events(&resource, asked, 1), Err(Error::Compacted { .. })));
            }
            for fact in here.iter().rev().take(50) {
                let standing = now.get(&fact.key).map(|fact| (fact.revision, &fact.raw));
                let got = store.get(&fact.key);
                assert_eq!(got.as_ref().map(|o| (o.revision(), o.raw())), standing, "{}", fact.key);
                self.check_history(store, &fact.key, floor);
            }
        }
    }

    fn check_events(
        &self,
        store: &dyn Store,
        resource: &GroupResource,
        here: &[&Fact],
        floor: u64,
        current: u64,
        random: &mut Seeded,
    ) {
        for after in [floor, floor + random.below(current - floor + 1), current] {
            let max = 1 + random.below(40) as usize;
            let (mut at, mut got) = (after, Vec::new());
            loop {
                let (events, complete) = store.events(resource, at, max).expect("kept");
                assert!(events.len() <= max && complete >= at && complete <= current);
                let end = events.len() < max;
                got.extend(events);
                at = complete;
                if end {
                    assert_eq!(complete, current, "nothing is missing at the end");
                    break;
                }
            }
            let got: Vec<Fact> = got.iter().map(|event| Fact::of(event)).collect();
            let wanted: Vec<Fact> =
                here.iter().filter(|fact| fact.revision > after).map(|fact| (*fact).clone()).collect();
            assert_eq!(got, wanted, "events of {resource} after {after}");
        }
    }

    fn check_list(&self, store: &dyn Store, resource: &GroupResource, at: Option<u64>, random: &mut Seeded) {
        let state = self.at(at.unwrap_or(u64::MAX));
        let here: Vec<&Fact> = state.values().filter(|fact| fact.key.resource == *resource).copied().collect();
        let one = here.get(random.below(here.len() as u64) as usize).map(|fact| fact.key.namespace.clone());
        for namespace in [None, Some("nobody".into()), one] {
            let wanted: Vec<_> = here
                .iter()
                .filter(|fact| namespace.as_ref().is_none_or(|n| *n == fact.key.namespace))
                .map(|fact| (fact.revision, fact.key.clone(), fact.raw.clone()))
                .collect();
            for limit in [0, 1 + random.below(20) as usize] {
                let mut query = ListQuery { namespace: namespace.clone(), limit, ..query(resource, at) };
                let mut got = Vec::new();
                loop {
                    let page = store.list(&query).expect("kept");
                    assert_eq!(page.revision, at.unwrap_or(page.revision));
                    assert!(limit == 0 || page.objects.len() <= limit);
                    got.extend(page.objects.iter().map(|o| (o.revision(), o.key().clone(), o.raw().clone())));
                    assert_eq!(page.remaining, wanted.len() - got.len(), "how many follow");
                    if page.remaining == 0 {
                        break;
                    }
                    let last = page.objects.last().expect("a page before the end is not empty").key();
                    query.after = Some((last.namespace.clone(), last.name.clone()));
                }
                assert_eq!(got, wanted, "list of {resource} at {at:?} in {namespace:?} by {limit}");
            }
        }
    }

    fn check_history(&self, store: &dyn Store, key: &Key, floor: u64) {
        let all = self.facts.iter().filter(|fact| fact.key == *key);
        let mut wanted: Vec<_> = all.clone().filter(|fact| fact.revision > floor).collect();
        // The state that stood when history began is still there.
        wanted.extend(self.at(floor).get(key));
        wanted.sort_by_key(|fact| std::cmp::Reverse(fact.revision));
        let got: Vec<_> = store.history(key).into_iter().map(|h| (h.event.kind, h.event.revision())).collect();
        let wanted: Vec<_> = wanted.iter().map(|fact| (fact.kind, fact.revision)).collect();
        assert_eq!(got, wanted, "history of {key} above {floor}");
    }
}

fn query(resource: &GroupResource, at: Option<u64>) -> ListQuery {
    ListQuery { resource: resource.clone(), namespace: None, at, after: None, limit: 0 }
}

fn body_of(raw: &Bytes) -> String {
    let tree: serde_json::Value = serde_json::from_slice(raw).expect("the suite writes JSON");
    tree["body"].as_str().expect("the suite's objects have a body").to_owned()
}

/// A commit that mostly fits the state: creations, updates and deletions in three collections and a few namespaces,
/// some with several writes, some on the same key, some with preconditions that fail.
pub fn random_commit(model: &Model, random: &mut Seeded) -> Commit {
    let state = model.at(u64::MAX);
    let count = if random.below(4) == 0 { 1 + random.below(5) } else { 1 };
    let writes = (0..count).map(|_| random_write(&state, random)).collect();
    Commit { writes }
}

fn random_write(state: &BTreeMap<&Key, &Fact>, random: &mut Seeded) -> Write {
    let pick = |from: &[&str], random: &mut Seeded| from[random.below(from.len() as u64) as usize].to_owned();
    let collection = resource(&pick(&["things", "items", "parts"], random));
    let namespace =
        if collection == resource("parts") { String::new() } else { pick(&["a", "a-b", "a.b", "b"], random) };
    let key = Key::new(&collection, &namespace, &format!("n{}", random.below(12)));
    let body = "x".repeat(random.below(300) as usize) + &random.next().to_string();
    let author: Arc<str> = pick(&["ann", "bob"], random).into();
    let revision = state.get(&key).map_or(random.below(5), |fact| fact.revision);
    let write = match (state.contains_key(&key), random.below(20)) {
        (_, 0) => create(&key, &body),
        (_, 1) => update(&key, revision.saturating_sub(1), &body),
        (true, 2..=6) => delete(&key, revision),
        (true, 7..=8) => Write { last: Some(value(&key, "at last")), ..delete(&key, revision) },
        (true, _) => update(&key, revision, &body),
        (false, 2) => delete(&key, revision),
        (false, _) => create(&key, &body),
    };
    Write { author, ..write }
}
