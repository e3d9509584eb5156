//! Ownership after a write that is no apply: who changed a field owns it.

use sdk_schema::fields::{self, Comparison, Set};
use serde_json::Value;

use super::Work;
use super::entry::{Entry, Operation};

/// How many update entries an object keeps. Source: `DefaultMaxUpdateManagers`.
const UPDATERS_MAX: usize = 10;
/// Into whose entry the oldest are merged.
const ANCIENT: &str = "ancient-changes";

/// The entries after `manager` turned `old` into `new`, both in the version of the request; no `old` is a creation.
pub fn update(work: &Work<'_>, entries: Vec<Entry>, old: Option<&Value>, new: &Value) -> Vec<Entry> {
    let schema = work.versions.schema(work.version);
    let found = match old {
        Some(old) => fields::compare(schema.as_ref(), old, new),
        None => fields::compare_new(schema.as_ref(), new),
    };
    let found = found.map(|set| work.countable(set));
    let changed = Changed { work, old, new, found: &found };
    let mut entries = entries;
    let mut own = Entry::new(work.manager, Operation::Update, work.version, work.subresource, Set::default());
    let mut rest = Vec::with_capacity(entries.len() + 1);
    for mut entry in entries.drain(..) {
        if entry.is_of(&own) {
            own = entry;
            continue;
        }
        let found = changed.seen_in(&entry.version);
        let Some(found) = found.as_deref() else { continue };
        let brought = found.brought();
        if entry.meets(&brought) || entry.meets(&found.removed) {
            let left = entry.set().into_owned().difference(&brought).difference(&found.removed);
            entry.put(left);
        }
        rest.push(entry);
    }
    let brought = found.brought();
    if !brought.is_empty() || own.meets(&found.removed) {
        let set = own.set().into_owned().difference(&found.removed).union(&brought);
        own.put(set);
    }
    if !brought.is_empty() {
        own.time = work.time();
    }
    rest.push(own);
    rest.retain(|entry| !entry.is_empty());
    cap(rest)
}

/// A change, and how it looks in other versions.
pub struct Changed<'a> {
    pub work: &'a Work<'a>,
    pub old: Option<&'a Value>,
    pub new: &'a Value,
    /// In the version of the request.
    pub found: &'a Comparison,
}

impl Changed<'_> {
    /// The change in the terms of `version`; `None` if the server no longer serves it.
    pub fn seen_in(&self, version: &str) -> Option<std::borrow::Cow<'_, Comparison>> {
        use std::borrow::Cow;
        let Work { versions, version: ours, .. } = self.work;
        if version == *ours {
            return Some(Cow::Borrowed(self.found));
        }
        let schema = versions.schema(version);
        let new = versions.convert(self.new, ours, version)?;
        let found = match self.old {
            Some(old) => fields::compare(schema.as_ref(), &versions.convert(old, ours, version)?, &new),
            None => fields::compare_new(schema.as_ref(), &new),
        };
        Some(Cow::Owned(found.map(|set| self.work.countable(set))))
    }
}

/// Merges the oldest updaters into one entry a version until few enough are left.
fn cap(mut entries: Vec<Entry>) -> Vec<Entry> {
    let is_updater = |entry: &Entry| entry.operation == Operation::Update;
    let mut count = entries.iter().filter(|entry| is_updater(entry)).count();
    if count <= UPDATERS_MAX {
        return entries;
    }
    let order = |e: &Entry| (e.time.clone(), e.manager.clone(), e.version.clone(), e.subresource.clone());
    entries.sort_by_key(order);
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    // Where the first entry of each version that was looked at stands.
    let mut first: Vec<(String, usize)> = Vec::new();
    for entry in entries {
        if !is_updater(&entry) || count <= UPDATERS_MAX {
            kept.push(entry);
            continue;
        }
        match first.iter().find(|(version, _)| *version == entry.version) {
            None => {
                first.push((entry.version.clone(), kept.len()));
                kept.push(entry);
            }
            Some((version, at)) => {
                let set = kept[*at].set().into_owned().union(&entry.set());
                let mut bucket = Entry::new(ANCIENT, Operation::Update, version, "", set);
                bucket.time = entry.time;
                kept[*at] = bucket;
                count -= 1;
            }
        }
    }
    kept
}
