//! Indexes of one collection by what its objects carry, so that a selective list looks at nothing that does not match.
//!
//! An index is made when it is first asked for, beside the commits, and kept up with them from then on. The least used
//! one goes when there are too many: whoever may list can ask for any label.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sdk_api::{Key, Object};

use super::ordered::{Ordered, Space};
use crate::IndexBy;

/// How many indexes one collection keeps.
pub(crate) const INDEXES_MAX: usize = 8;
/// A smaller collection is read as a whole, which is as fast.
pub(crate) const OBJECTS_MIN: usize = 256;

/// Where an object is, in the order of lists.
type Place = (Space, Arc<str>);

/// One index: the places of the objects that have a value.
pub(crate) struct Selection {
    by: IndexBy,
    places: HashMap<Arc<str>, BTreeSet<Place>>,
    /// The value that each indexed object was entered under.
    values: Ordered<Arc<str>>,
    used: AtomicU64,
}

impl Selection {
    pub fn new(by: IndexBy) -> Self {
        Self { by, places: HashMap::new(), values: Ordered::default(), used: AtomicU64::new(0) }
    }

    /// Enters the state of a key; `None` is a deletion.
    pub fn put(&mut self, key: &Key, object: Option<&Object>) {
        let value = object.and_then(|object| (self.by.value)(object));
        let known = self.values.get(key);
        if known.map(|known| &**known) == value.as_deref() {
            return;
        }
        let place = (Space(key.namespace.clone()), key.name.clone());
        if let Some(old) = self.values.remove(key)
            && let Some(places) = self.places.get_mut(&old)
        {
            places.remove(&place);
            if places.is_empty() {
                self.places.remove(&old);
            }
        }
        let Some(value) = value else { return };
        let shared =
            self.places.get_key_value(value.as_str()).map_or_else(|| value.as_str().into(), |(k, _)| k.clone());
        self.places.entry(shared.clone()).or_default().insert(place);
        self.values.insert(key, shared);
    }

    /// The places of the objects with one of some values, in the order of lists.
    fn places(&self, namespace: Option<&str>, values: &[String]) -> Vec<&Place> {
        let mut found: Vec<&Place> = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let Some(places) = self.places.get(value.as_str()).filter(|_| !values[..at].contains(value)) else {
                continue;
            };
            match namespace {
                None => found.extend(places),
                Some(namespace) => {
                    let space = Space(namespace.into());
                    let from: Place = (space.clone(), "".into());
                    found.extend(places.range(from..).take_while(|(of, _)| *of == space));
                }
            }
        }
        if values.len() > 1 {
            found.sort();
        }
        found
    }
}

/// The indexes of one collection.
#[derive(Default)]
pub(crate) struct Selections {
    all: Vec<Selection>,
    clock: AtomicU64,
}

impl Selections {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn put(&mut self, key: &Key, object: Option<&Object>) {
        for one in &mut self.all {
            one.put(key, object);
        }
    }

    /// What the indexes will ask of an object, asked now, so that it is at hand under the collection's lock.
    pub fn warm(&self, object: &Object) {
        for one in &self.all {
            (one.by.value)(object);
        }
    }

    /// The places that an index finds; `None` where there is no such index.
    pub fn find(&self, name: &str, namespace: Option<&str>, values: &[String]) -> Option<Vec<&Place>> {
        let index = self.all.iter().find(|one| *one.by.name == *name)?;
        index.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(index.places(namespace, values))
    }

    /// Adds an index that is complete; the least used one makes room.
    pub fn add(&mut self, new: Selection) {
        self.all.retain(|one| one.by.name != new.by.name);
        if self.all.len() >= INDEXES_MAX
            && let Some(least) = (0..self.all.len()).min_by_key(|at| self.all[*at].used.load(Ordering::Relaxed))
        {
            self.all.swap_remove(least);
        }
        new.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.all.push(new);
    }
}
