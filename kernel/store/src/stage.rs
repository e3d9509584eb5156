//! Orders commits: checks their preconditions against the newest state, gives revisions, makes events.
//!
//! Commits of one batch see what the ones before them wrote, as if each had been applied before the next.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::{Key, Object};

use crate::index::{Change, Index, Version};
use crate::{COMMIT_WRITES_MAX, Commit, Committed, Error, Event, EventKind, Precondition, RevisionHole, Write};

/// How many bytes of JSON one commit may carry: 256 MiB, so that a record of the log stays small beside memory.
pub(crate) const COMMIT_BYTES_MAX: usize = 256 << 20;

/// The changes of a batch in the making.
pub(crate) struct Stage<'a> {
    index: &'a Index,
    time: Timestamp,
    next: u64,
    /// Keys that the batch has written, as they stand after it.
    written: HashMap<Key, Option<Version>>,
    changes: Vec<Change>,
}

impl<'a> Stage<'a> {
    /// `next` is the revision that the first write gets. Times are kept in microseconds, as the log writes them.
    pub fn new(index: &'a Index, next: u64, now: Timestamp) -> Self {
        let time = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        Self { index, time, next, written: HashMap::new(), changes: Vec::new() }
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Adds a commit as a whole, or nothing of it. Gives the place of its changes.
    pub fn add(&mut self, commit: Commit) -> Result<Range<usize>, Error> {
        check_size(&commit)?;
        let (from, first) = (self.changes.len(), self.next);
        let mut before: Vec<(Key, Option<Option<Version>>)> = Vec::new();
        for write in commit.writes {
            let key = write.key.clone();
            match self.write(write) {
                Ok(()) => {
                    let made = self.changes.last().expect("a write makes a change").made.clone();
                    before.push((key.clone(), self.written.insert(key, made)));
                }
                Err(()) => {
                    self.changes.truncate(from);
                    self.next = first;
                    for (key, version) in before.into_iter().rev() {
                        match version {
                            Some(version) => self.written.insert(key, version),
                            None => self.written.remove(&key),
                        };
                    }
                    let current = self.current(&key).map(|version| version.object);
                    return Err(Error::Precondition { key, current });
                }
            }
        }
        Ok(from..self.changes.len())
    }

    fn current(&self, key: &Key) -> Option<Version> {
        self.written.get(key).map_or_else(|| self.index.version(key), Clone::clone)
    }

    /// Fails where the precondition does not hold, or where there is nothing to delete.
    fn write(&mut self, write: Write) -> Result<(), ()> {
        let current = self.current(&write.key);
        match (write.precondition, &current) {
            (Precondition::Absent, None) => {}
            (Precondition::Revision(revision), Some(version)) if version.revision() == revision => {}
            _ => return Err(()),
        }
        let revision = self.next;
        let (kind, raw, hole) = match (&write.put, &current) {
            (Some(put), None) => (EventKind::Created, put.value.fill(revision), put.value.head.len()),
            (Some(put), Some(_)) => (EventKind::Updated, put.value.fill(revision), put.value.head.len()),
            (None, Some(version)) => match &write.last {
                Some(last) => (EventKind::Deleted, last.fill(revision), last.head.len()),
                None => (EventKind::Deleted, version.open().fill(revision), version.hole as usize),
            },
            (None, None) => return Err(()),
        };
        // An object keeps the names it was created with: one allocation for all its versions.
        let key = current.as_ref().map_or(write.key, |version| version.object.key().clone());
        let hole = u32::try_from(hole).expect("check_size() bounds the bytes of a commit");
        let object = Arc::new(Object::new(key, revision, raw));
        let made = (kind != EventKind::Deleted).then(|| Version {
            object: object.clone(),
            kind,
            time: self.time,
            author: write.author.clone(),
            hole,
        });
        let event = Event {
            kind,
            object,
            previous: current.as_ref().map(|version| version.object.clone()),
            time: self.time,
            author: write.author,
        };
        self.changes.push(Change { event: Arc::new(event), replaced: current, made });
        self.next += 1;
        Ok(())
    }
}

/// What a commit did, out of the changes of its batch.
pub(crate) fn committed(changes: &[Change]) -> Committed {
    Committed { objects: changes.iter().map(|change| change.event.object.clone()).collect() }
}

fn check_size(commit: &Commit) -> Result<(), Error> {
    let half = |hole: &RevisionHole| hole.head.len() + hole.tail.len();
    let size = |write: &Write| {
        write.put.as_ref().map_or(0, |put| half(&put.value)) + write.last.as_ref().map_or(0, half) + write.author.len()
    };
    let bytes: usize = commit.writes.iter().map(size).sum();
    if commit.writes.len() > COMMIT_WRITES_MAX {
        let why = format!("a commit of {} writes is over the limit of {COMMIT_WRITES_MAX}", commit.writes.len());
        return Err(Error::Unavailable { why });
    }
    if bytes > COMMIT_BYTES_MAX {
        let why = format!("a commit of {bytes} bytes is over the limit of {COMMIT_BYTES_MAX}");
        return Err(Error::Unavailable { why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sdk_api::Clock;

    use super::*;
    use crate::Limits;
    use crate::suite::{ManualClock, commit, create, delete, resource, update};

    /// Commits of one batch behave as if each had been applied before the next, and a failed one leaves no trace.
    #[test]
    fn a_batch_is_serial() {
        let clock = Arc::new(ManualClock::default());
        let index = Index::new(clock.clone(), Limits::default());
        let [x, y, z] = ["x", "y", "z"].map(|name| Key::new(&resource("things"), "", name));
        let mut stage = Stage::new(&index, 10, clock.now());
        for (case, attempt, fails_at) in [
            ("created", commit([create(&x, "1")]), None),
            ("created once", commit([create(&x, "2")]), Some(Some(10))),
            ("the second write fails", commit([create(&y, "1"), update(&x, 9, "2")]), Some(Some(10))),
            ("the first left nothing", commit([update(&y, 11, "2")]), Some(None)),
            ("no revision was taken", commit([create(&y, "1"), update(&x, 10, "2")]), None),
            ("a failed one puts the old back", commit([delete(&x, 12), create(&y, "2")]), Some(Some(11))),
            ("deleted", commit([delete(&x, 12)]), None),
            ("deleted once", commit([delete(&x, 12)]), Some(None)),
            ("created again", commit([create(&x, "3"), create(&z, "1")]), None),
            ("stale", commit([update(&x, 12, "4")]), Some(Some(14))),
        ] {
            match (stage.add(attempt), fails_at) {
                (Ok(_), None) => {}
                (Err(Error::Precondition { current, .. }), Some(wanted)) => {
                    assert_eq!(current.map(|object| object.revision()), wanted, "{case}");
                }
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
        let changes = stage.into_changes();
        let got: Vec<_> = changes.iter().map(|c| (c.event.revision(), c.event.kind, &*c.key().name)).collect();
        let wanted = [
            (10, EventKind::Created, "x"),
            (11, EventKind::Created, "y"),
            (12, EventKind::Updated, "x"),
            (13, EventKind::Deleted, "x"),
            (14, EventKind::Created, "x"),
            (15, EventKind::Created, "z"),
        ];
        assert_eq!(got, wanted);
        let previous: Vec<_> = changes.iter().map(|c| c.event.previous.as_ref().map(|o| o.revision())).collect();
        assert_eq!(previous, [None, None, Some(10), Some(12), None, None]);
    }
}
