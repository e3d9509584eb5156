//! What only shows below a store: readers racing with batches, and pins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sdk_api::{Clock, Key};

use super::Index;
use crate::stage::Stage;
use crate::suite::{self, ManualClock, create, resource, update};
use crate::{Commit, Error, Limits, ListQuery};

fn index(limits: Limits) -> Index {
    Index::new(Arc::new(ManualClock::default()), limits)
}

fn commit(index: &Index, commit: Commit) {
    let mut stage = Stage::new(index, index.revision() + 1, ManualClock::default().now());
    stage.add(commit).expect("the precondition holds");
    index.apply(stage.into_changes());
}

fn revision(index: &Index, key: &Key) -> u64 {
    index.get(key).expect("it exists").revision()
}

fn query(key: &Key, at: Option<u64>) -> ListQuery {
    ListQuery { resource: key.resource.clone(), namespace: None, at, after: None, limit: 0 }
}

/// While pairs are written, one of each in its own collection, whoever has seen the left one sees the right one, a list
/// has nothing newer than its revision, and every event up to a revision that is shown can be read.
#[test]
fn a_batch_shows_all_at_once() {
    const BATCHES: u64 = 10_000;
    let index = index(Limits::default());
    let pair = [Key::new(&resource("left"), "", "x"), Key::new(&resource("right"), "", "x")];
    commit(&index, suite::commit(pair.each_ref().map(|key| create(key, ""))));
    let start = index.revision();
    let done = AtomicBool::new(false);
    let read = || {
        let mut rounds = 0_u64;
        while !done.load(Ordering::Relaxed) {
            rounds += 1;
            let left = revision(&index, &pair[0]);
            assert!(revision(&index, &pair[1]) > left, "half of a batch is shown");
            for key in &pair {
                let page = index.list(&query(key, None)).expect("the newest");
                assert!(page.objects[0].revision() <= page.revision, "a list is older than its objects");
                assert!(page.objects[0].revision() + 2 > page.revision, "a list is newer than its objects");
            }
            let shown = index.revision();
            let after = shown.saturating_sub(10).max(start);
            let upto = |key: &Key| {
                let events = index.events(&key.resource, after, 100).expect("kept").0;
                events.iter().filter(|event| event.revision() <= shown).count() as u64
            };
            assert_eq!(upto(&pair[0]) + upto(&pair[1]), shown - after, "events up to {shown} are missing");
        }
        rounds
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        for _ in 0..BATCHES {
            let revisions = pair.each_ref().map(|key| revision(&index, key));
            let writes = [0, 1].map(|side| update(&pair[side], revisions[side], ""));
            commit(&index, suite::commit(writes));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("the reader's assertions hold") > 0);
        }
    });
    assert_eq!(index.revision(), start + 2 * BATCHES);
}

#[test]
fn a_pin_keeps_the_past_and_owes_what_was_asked_meanwhile() {
    let index = index(Limits { history_bytes_max: 5_000, ..Limits::default() });
    let key = Key::new(&resource("things"), "", "x");
    commit(&index, suite::commit([create(&key, "pinned")]));
    let pinned = index.pin();
    let write = || commit(&index, suite::commit([update(&key, revision(&index, &key), &"x".repeat(1_000))]));
    (0..50).for_each(|_| write());
    let page = index.list(&query(&key, Some(pinned))).expect("a pinned revision is kept");
    assert_eq!(suite::body(&page.objects[0]), "pinned");
    let asked = index.revision();
    index.compact(asked);
    assert_eq!(index.floor().0, pinned, "not past the pin");
    index.unpin();
    assert!(index.list(&query(&key, Some(pinned))).is_ok(), "the floor moves with commits alone");
    write();
    assert_eq!(index.floor().0, asked, "what was asked for is made up for");
    assert!(matches!(index.list(&query(&key, Some(pinned))), Err(Error::Compacted { .. })));
}
