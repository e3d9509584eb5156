//! What only shows below a store: readers racing with batches, and pins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sdk_api::{Clock, Key};

use super::Index;
use crate::stage::Stage;
use crate::suite::{self, ManualClock, create, delete, resource, update};
use crate::{Commit, Error, IndexBy, Limits, ListQuery};

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

/// What an index finds is what a reading of the whole collection finds, whatever happened before it was made and after.
#[test]
fn an_index_finds_what_a_scan_finds() {
    const OBJECTS: u64 = 400;
    let by = IndexBy {
        name: "body".into(),
        value: Arc::new(|object| object.document()["body"].as_str().filter(|body| *body != "none").map(str::to_owned)),
    };
    let bodies = ["a", "b", "none"];
    let index = index(Limits::default());
    let key =
        |number: u64| Key::new(&resource("things"), ["n", "n-1", "m"][(number % 3) as usize], &format!("o{number:03}"));
    let all = query(&key(0), None);
    let compare = |when: &str| {
        for (namespace, values) in
            [(None, vec!["a"]), (None, vec!["b", "a", "b"]), (Some("n"), vec!["a", "b"]), (None, vec!["c"])]
        {
            let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
            let (revision, found) = index.select(&resource("things"), namespace, &by, &values).expect("it is large");
            let page = index.list(&all).unwrap();
            let wanted: Vec<_> = page
                .objects
                .iter()
                .filter(|object| namespace.is_none_or(|namespace| object.namespace() == namespace))
                .filter(|object| (by.value)(object).is_some_and(|value| values.contains(&value)))
                .map(|object| (object.key().clone(), object.revision()))
                .collect();
            let found: Vec<_> = found.iter().map(|object| (object.key().clone(), object.revision())).collect();
            assert_eq!((revision, found), (page.revision, wanted), "{when}: {namespace:?} {values:?}");
        }
    };
    assert!(index.select(&resource("things"), None, &by, &["a".to_owned()]).is_none(), "nothing there yet");
    for number in 0..OBJECTS {
        commit(&index, suite::commit([create(&key(number), bodies[(number % 2) as usize])]));
    }
    compare("as it was made");
    for number in (0..OBJECTS).step_by(3) {
        let at = revision(&index, &key(number));
        commit(&index, suite::commit([update(&key(number), at, bodies[(number % 5 % 3) as usize])]));
    }
    compare("after updates");
    for number in (0..OBJECTS).step_by(7) {
        let at = revision(&index, &key(number));
        commit(&index, suite::commit([delete(&key(number), at)]));
    }
    compare("after deletions");
    for number in (0..OBJECTS).step_by(14) {
        commit(&index, suite::commit([create(&key(number), "b")]));
    }
    compare("after some came back");
}

/// An index that is made while others write misses nothing of what they do.
#[test]
fn an_index_is_made_beside_the_writers() {
    let index = index(Limits::default());
    let key = |number: u64| Key::new(&resource("things"), "", &format!("o{number:03}"));
    for number in 0..300 {
        commit(&index, suite::commit([create(&key(number), "old")]));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..300).cycle().take(3_000) {
                let at = revision(&index, &key(number));
                commit(
                    &index,
                    suite::commit([update(&key(number), at, if at.is_multiple_of(2) { "even" } else { "odd" })]),
                );
            }
            done.store(true, Ordering::SeqCst);
        });
        for round in 0_u64.. {
            // A new index each time.
            let by = IndexBy {
                name: format!("body {round}").into(),
                value: Arc::new(|object| object.document()["body"].as_str().map(str::to_owned)),
            };
            let values = ["old", "even", "odd"].map(str::to_owned);
            if let Some((_, found)) = index.select(&resource("things"), None, &by, &values) {
                assert_eq!(found.len(), 300, "round {round}");
            }
            if done.load(Ordering::SeqCst) {
                break;
            }
        }
    });
}
