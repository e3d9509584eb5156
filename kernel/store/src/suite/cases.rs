//! The cases of the contract suite. Each gets a store that nobody has written to.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Key;

use super::{ManualClock, Model, Seeded, body, commit, create, delete, done, random_commit, resource, update, value};
use crate::{Commit, Error, EventKind, ListQuery, Precondition, Store, Write};

fn key(name: &str) -> Key {
    Key::new(&resource("things"), "a", name)
}

fn things(at: Option<u64>) -> ListQuery {
    ListQuery { resource: resource("things"), namespace: None, at, after: None, limit: 0 }
}

fn names(store: &dyn Store, at: Option<u64>) -> Vec<String> {
    store.list(&things(at)).expect("kept").objects.iter().map(|object| object.name().to_owned()).collect()
}

/// The key and the current revision of a failed precondition.
fn refused(outcome: Result<crate::Committed, Error>) -> (Key, Option<u64>) {
    match outcome {
        Err(Error::Precondition { key, current }) => (key, current.map(|object| object.revision())),
        other => panic!("a precondition should have failed: {other:?}"),
    }
}

pub async fn starts_empty(store: &dyn Store) {
    assert!(store.revision() > 0, "clients take revision 0 for `any`");
    assert_eq!(store.barrier().await.expect("a new store is well"), store.revision());
    let page = store.list(&things(None)).expect("nothing to miss");
    assert_eq!((page.revision, page.objects.len(), page.remaining), (store.revision(), 0, 0));
    let (events, complete) = store.events(&resource("things"), store.floor().0, 10).expect("nothing to miss");
    assert_eq!((events.len(), complete), (0, store.revision()));
    assert!(store.get(&key("x")).is_none() && store.history(&key("x")).is_empty());
    assert_eq!(store.count(&resource("things")), 0);
}

pub async fn preconditions(store: &dyn Store) {
    let x = key("x");
    assert_eq!(refused(store.commit(commit([update(&x, 1, "")])).await), (x.clone(), None), "update of nothing");
    assert_eq!(refused(store.commit(commit([delete(&x, 1)])).await), (x.clone(), None), "deletion of nothing");
    let nothing = Write { precondition: Precondition::Absent, ..delete(&x, 0) };
    assert_eq!(refused(store.commit(commit([nothing])).await), (x.clone(), None), "deletion of what must be absent");
    let before = store.revision();
    let first = done(store, create(&x, "one")).await.revision();
    assert_eq!(first, before + 1, "failed commits take no revision");
    assert_eq!(refused(store.commit(commit([create(&x, "two")])).await), (x.clone(), Some(first)));
    assert_eq!(refused(store.commit(commit([update(&x, first + 1, "two")])).await), (x.clone(), Some(first)));
    let second = done(store, update(&x, first, "two")).await.revision();
    assert_eq!(refused(store.commit(commit([delete(&x, first)])).await), (x.clone(), Some(second)));
    done(store, delete(&x, second)).await;
    assert_eq!(refused(store.commit(commit([update(&x, second, "three")])).await), (x.clone(), None));
    assert_eq!(body(&*done(store, create(&x, "again")).await), "again");
}

pub async fn all_or_nothing(store: &dyn Store) {
    if store.commit_writes_max() < 3 {
        return;
    }
    let (x, y, z) = (key("x"), key("y"), Key::new(&resource("items"), "b", "z"));
    let before = store.revision();
    let committed = store.commit(commit([create(&x, "1"), create(&z, "2"), create(&y, "3")])).await.expect("absent");
    let revisions: Vec<_> = committed.objects.iter().map(|object| object.revision()).collect();
    assert_eq!(revisions, [before + 1, before + 2, before + 3], "one revision a write, in order");
    assert_eq!(store.revision(), before + 3);
    let new = key("new");
    let mixed = commit([update(&x, before + 1, "!"), create(&new, "!"), update(&z, before + 1, "!")]);
    assert_eq!(refused(store.commit(mixed).await), (z, Some(before + 2)));
    assert_eq!((store.revision(), store.get(&new).is_none()), (before + 3, true));
    assert_eq!(body(&store.get(&x).expect("stands")), "1");
    let empty = store.commit(Commit::default()).await.expect("nothing to refuse");
    assert_eq!((empty.objects.len(), store.revision()), (0, before + 3));
}

/// Writes of one commit see the ones before them.
pub async fn one_commit_one_key(store: &dyn Store) {
    if store.commit_writes_max() < 2 {
        return;
    }
    let x = key("x");
    let first = done(store, create(&x, "old")).await.revision();
    assert_eq!(refused(store.commit(commit([update(&x, first, "a"), update(&x, first, "b")])).await).1, Some(first));
    let replaced = store.commit(commit([delete(&x, first), create(&x, "new")])).await.expect("one after the other");
    assert_eq!(body(&store.get(&x).expect("created")), "new");
    let (events, _) = store.events(&x.resource, first, 10).expect("kept");
    let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.previous.is_some())).collect();
    assert_eq!(kinds, [(EventKind::Deleted, true), (EventKind::Created, false)]);
    assert_eq!(replaced.objects.len(), 2);
}

/// A deletion's event shows the last state with the deletion's own revision.
pub async fn last_states(store: &dyn Store) {
    for (name, last, wanted) in [("kept", None, "as it was"), ("changed", Some("at last"), "at last")] {
        let key = key(name);
        let created = done(store, create(&key, "as it was")).await;
        let last = last.map(|body| value(&key, body));
        let gone = done(store, Write { last, ..delete(&key, created.revision()) }).await;
        let (events, _) = store.events(&key.resource, created.revision(), 10).expect("kept");
        assert_eq!((events.len(), events[0].kind, events[0].revision()), (1, EventKind::Deleted, gone.revision()));
        assert_eq!(*events[0].object.raw(), value(&key, wanted).fill(gone.revision()), "{name}");
        assert_eq!(events[0].object.meta().resource_version, gone.revision().to_string());
        assert_eq!(events[0].previous.as_ref().map(|object| object.revision()), Some(created.revision()));
    }
}

pub async fn order_and_pages(store: &dyn Store) {
    for (namespace, name) in
        [("b", "x"), ("a", "y"), ("a", "x"), ("a-b", "z"), ("a.b", "q"), ("", "cluster"), ("ab", "x")]
    {
        done(store, create(&Key::new(&resource("things"), namespace, name), name)).await;
    }
    let paths = |query: &ListQuery| {
        let page = store.list(query).expect("kept");
        let paths: Vec<_> = page.objects.iter().map(|o| format!("{}/{}", o.namespace(), o.name())).collect();
        (paths, page.remaining)
    };
    let all = ["/cluster", "a-b/z", "a.b/q", "a/x", "a/y", "ab/x", "b/x"];
    assert_eq!(paths(&things(None)), (all.map(String::from).to_vec(), 0), "by the bytes of namespace/name");
    for (case, namespace, after, limit, wanted, remaining) in [
        ("a page", None, None, 3, &all[..3], 4),
        ("the next", None, Some(("a.b", "q")), 3, &all[3..6], 1),
        ("the last", None, Some(("ab", "x")), 3, &all[6..], 0),
        ("after a name that is gone", None, Some(("a", "xx")), 0, &all[4..], 0),
        ("a namespace", Some("a"), None, 0, &all[3..5], 0),
        ("a page of a namespace", Some("a"), None, 1, &all[3..4], 1),
        ("the rest of a namespace", Some("a"), Some(("a", "x")), 1, &all[4..5], 0),
        ("a namespace that is behind", Some("a"), Some(("b", "x")), 0, &all[..0], 0),
    ] {
        let after = after.map(|(namespace, name): (&str, &str)| (namespace.into(), name.into()));
        let query = ListQuery { namespace: namespace.map(Into::into), after, limit, ..things(None) };
        assert_eq!(paths(&query), (wanted.iter().map(|path| path.to_string()).collect(), remaining), "{case}");
    }
}

pub async fn list_at_revisions(store: &dyn Store) {
    let empty = store.revision();
    let x1 = done(store, create(&key("x"), "1")).await.revision();
    let y1 = done(store, create(&key("y"), "1")).await.revision();
    let x2 = done(store, update(&key("x"), x1, "2")).await.revision();
    let gone = done(store, delete(&key("x"), x2)).await.revision();
    let back = done(store, create(&key("x"), "3")).await.revision();
    for (at, wanted) in [
        (empty, vec![]),
        (x1, vec![("x", "1")]),
        (y1, vec![("x", "1"), ("y", "1")]),
        (x2, vec![("x", "2"), ("y", "1")]),
        (gone, vec![("y", "1")]),
        (back, vec![("x", "3"), ("y", "1")]),
    ] {
        let page = store.list(&things(Some(at))).expect("kept");
        let got: Vec<_> = page.objects.iter().map(|object| (object.name(), body(object))).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(name, body)| (name, body.to_owned())).collect();
        assert_eq!((page.revision, got), (at, wanted), "at {at}");
    }
    let future = store.list(&things(Some(back + 1)));
    assert!(matches!(future, Err(Error::Future { asked, current }) if (asked, current) == (back + 1, back)));
    let elsewhere = ListQuery { resource: resource("never"), ..things(Some(back + 1)) };
    assert!(matches!(store.list(&elsewhere), Err(Error::Future { .. })), "the same of a collection nobody wrote to");
}

pub async fn events_from_anywhere(store: &dyn Store) {
    let start = store.revision();
    for number in 0..10 {
        done(store, create(&key(&format!("n{number}")), "")).await;
        done(store, create(&Key::new(&resource("items"), "", &format!("n{number}")), "")).await;
    }
    for after in start..=store.revision() {
        let wanted: Vec<u64> = (after + 1..=store.revision()).filter(|revision| (revision - start) % 2 == 1).collect();
        let (events, complete) = store.events(&resource("things"), after, 100).expect("kept");
        let got: Vec<_> = events.iter().map(|event| event.revision()).collect();
        assert_eq!((got, complete), (wanted.clone(), store.revision()), "after {after}");
        let (some, complete) = store.events(&resource("things"), after, 2).expect("kept");
        let got: Vec<_> = some.iter().map(|event| event.revision()).collect();
        assert_eq!(got, wanted.iter().copied().take(2).collect::<Vec<_>>());
        assert!(got.len() < 2 || complete >= got[1] && wanted.get(2).is_none_or(|next| complete < *next));
        assert_eq!(store.events(&resource("never"), after, 2).expect("kept").0.len(), 0);
    }
    let ahead = store.events(&resource("things"), store.revision() + 1, 1);
    assert!(matches!(ahead, Err(Error::Future { .. })), "{ahead:?}");
}

pub async fn compaction(store: &dyn Store) {
    let x1 = done(store, create(&key("x"), "1")).await.revision();
    let y1 = done(store, create(&key("y"), "1")).await.revision();
    let x2 = done(store, update(&key("x"), x1, "2")).await.revision();
    let gone = done(store, delete(&key("y"), y1)).await.revision();
    let x3 = done(store, update(&key("x"), x2, "3")).await.revision();
    store.compact(x2);
    assert_eq!(store.floor().0, x2);
    for asked in [x1, y1] {
        let list = store.list(&things(Some(asked)));
        assert!(matches!(list, Err(Error::Compacted { asked: a, oldest }) if (a, oldest) == (asked, x2)), "{list:?}");
        assert!(matches!(store.events(&resource("things"), asked, 9), Err(Error::Compacted { .. })));
        assert!(matches!(store.events(&resource("never"), asked, 9), Err(Error::Compacted { .. })));
    }
    assert_eq!(names(store, Some(x2)), ["x", "y"], "the floor itself can be read");
    assert_eq!(names(store, Some(gone)), ["x"]);
    let (events, _) = store.events(&resource("things"), x2, 9).expect("kept");
    assert_eq!(events.iter().map(|event| event.revision()).collect::<Vec<_>>(), [gone, x3]);
    store.compact(x1);
    assert_eq!(store.floor().0, x2, "the floor never falls");
    store.compact(x3 + 100);
    assert_eq!((store.floor().0, store.revision()), (x3, x3), "and never passes the newest revision");
    assert_eq!((names(store, None), body(&store.get(&key("x")).expect("stands"))), (vec!["x".into()], "3".into()));
    let x4 = done(store, update(&key("x"), x3, "4")).await.revision();
    assert_eq!(store.events(&resource("things"), x3, 9).expect("kept").0[0].revision(), x4);
}

/// A watch of a collection that nobody has written to must see its first object.
pub async fn first_object_is_seen(store: Arc<dyn Store>) {
    for round in 0..50 {
        let collection = resource(&format!("new{round}"));
        let mut changes = store.changes(&collection);
        let start = store.revision();
        let waiting = tokio::spawn({
            let (store, collection) = (store.clone(), collection.clone());
            async move {
                changes.changed().await.expect("the store lives");
                store.events(&collection, start, 10).expect("kept").0.len()
            }
        });
        done(&*store, create(&Key::new(&collection, "", "first"), "")).await;
        assert_eq!(waiting.await.expect("no panic"), 1);
    }
}

pub async fn changes_are_per_collection(store: &dyn Store) {
    let (mut here, mut there) = (store.changes(&resource("things")), store.changes(&resource("items")));
    here.mark_unchanged();
    there.mark_unchanged();
    done(store, create(&key("x"), "")).await;
    let newest = done(store, create(&key("y"), "")).await.revision();
    here.changed().await.expect("the store lives");
    assert_eq!(*here.borrow_and_update(), newest);
    assert!(!there.has_changed().expect("the store lives"), "nothing happened there");
    let item = done(store, create(&Key::new(&resource("items"), "", "x"), "")).await.revision();
    there.changed().await.expect("the store lives");
    assert_eq!((*there.borrow_and_update(), here.has_changed().expect("the store lives")), (item, false));
}

pub async fn reaching(store: Arc<dyn Store>, clock: &ManualClock) {
    let now = store.revision();
    store.reach(now, Duration::ZERO).await.expect("it is there");
    let early = tokio::spawn({
        let store = store.clone();
        async move { store.reach(now + 2, Duration::from_secs(3600)).await.map(|()| store.revision()) }
    });
    for name in ["x", "y"] {
        done(&*store, create(&key(name), "")).await;
    }
    assert!(early.await.expect("no panic").expect("reached") >= now + 2);
    let late = tokio::spawn({
        let store = store.clone();
        async move { store.reach(now + 9, Duration::from_secs(3)).await }
    });
    while clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(3));
    let outcome = late.await.expect("no panic");
    assert!(matches!(outcome, Err(Error::Future { asked, current }) if (asked, current) == (now + 9, now + 2)));
}

pub async fn history(store: &dyn Store, clock: &ManualClock) {
    let x = key("x");
    let mut wanted = Vec::new();
    let mut revision = 0;
    for (step, author) in ["ann", "bob", "ann"].into_iter().enumerate() {
        clock.advance(Duration::from_secs(1));
        let write = if step == 0 { create(&x, "0") } else { update(&x, revision, &step.to_string()) };
        revision = done(store, Write { author: author.into(), ..write }).await.revision();
        wanted.insert(0, (step.to_string(), author.to_owned(), sdk_api::Clock::now(clock)));
        done(store, create(&key(&format!("other{step}")), "")).await;
    }
    let read = || -> Vec<_> {
        let kept = store.history(&x);
        kept.iter().map(|h| (body(&h.event.object), h.event.author.to_string(), h.event.time)).collect()
    };
    assert_eq!(read(), wanted, "newest first");
    done(store, Write { author: "eve".into(), ..delete(&x, revision) }).await;
    assert_eq!(store.history(&x)[0].event.kind, EventKind::Deleted, "a deleted object keeps its history");
    assert_eq!(store.history(&x).len(), 4);
    revision = done(store, create(&x, "new")).await.revision();
    store.compact(store.revision());
    let kept = store.history(&x);
    assert_eq!((kept.len(), kept[0].event.revision()), (1, revision), "the newest state of an object stays");
}

/// Fifty create the same object; one succeeds, and the others are shown what it made.
pub async fn one_winner(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(commit([create(&key("x"), &number.to_string())])).await })
        })
        .collect();
    let (mut won, mut seen) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.expect("no panic") {
            Ok(committed) => won.push(committed.objects[0].revision()),
            Err(Error::Precondition { current: Some(object), .. }) => seen.push(object.revision()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((won.len(), seen.len()), (1, 49));
    assert!(seen.iter().all(|revision| *revision == won[0]));
    assert_eq!(store.revision(), won[0]);
}

/// Fifty add one to the same object, going round again when another was faster.
pub async fn counters_add_up(store: Arc<dyn Store>) {
    done(&*store, create(&key("counter"), "0")).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut current = store.get(&key("counter")).expect("created");
                loop {
                    let count: u32 = body(&current).parse().expect("a number");
                    let write = update(&key("counter"), current.revision(), &(count + 1).to_string());
                    match store.commit(commit([write])).await {
                        Ok(_) => return,
                        Err(Error::Precondition { current: Some(newer), .. }) => current = newer,
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(body(&store.get(&key("counter")).expect("stands")), "50");
    assert_eq!(store.history(&key("counter")).len(), 51);
}

/// While commits of pairs go on, a reader finds both of a pair or neither, and every event of the revision it sees. A
/// backend that takes one write at a time writes the left one first.
pub async fn readers_see_whole_commits(store: Arc<dyn Store>) {
    let pair = [key("left"), Key::new(&resource("items"), "", "right")];
    let start = store.revision();
    let at_once = store.commit_writes_max().min(2);
    let writer = tokio::spawn({
        let (store, pair) = (store.clone(), pair.clone());
        async move {
            let mut at = [0, 0];
            for round in 0..200 {
                let write = |side: usize| match round {
                    0 => create(&pair[side], "0"),
                    _ => update(&pair[side], at[side], &round.to_string()),
                };
                let mut next = Vec::new();
                for writes in [write(0), write(1)].chunks(at_once) {
                    let done = store.commit(commit(writes.to_vec())).await.expect("nobody else writes");
                    next.extend(done.objects.iter().map(|object| object.revision()));
                }
                at = [next[0], next[1]];
            }
        }
    });
    while !writer.is_finished() {
        let revision = store.revision();
        let events = |resource| store.events(resource, start, usize::MAX).expect("kept").0;
        let (left, right) = (events(&pair[0].resource), events(&pair[1].resource));
        let upto = |events: &[Arc<crate::Event>]| events.iter().filter(|event| event.revision() <= revision).count();
        assert_eq!((upto(&left) + upto(&right)) as u64, revision - start, "every event up to {revision}");
        let behind = 2 - at_once;
        assert!(right.len() + behind >= left.len(), "the right one was read later: {} and {}", left.len(), right.len());
        let page = store.list(&things(None)).expect("the newest");
        assert!(page.objects.iter().all(|object| object.revision() <= page.revision));
        tokio::task::yield_now().await;
    }
    writer.await.expect("no panic");
}

pub async fn too_large(store: &dyn Store) {
    let writes = |count: usize| commit((0..count).map(|number| create(&key(&format!("n{number}")), "")));
    let (before, max) = (store.revision(), store.commit_writes_max());
    assert!(matches!(store.commit(writes(max + 1)).await, Err(Error::Unavailable { .. })));
    assert_eq!((store.revision(), store.count(&resource("things"))), (before, 0));
    store.commit(writes(max)).await.expect("as many as allowed");
    assert_eq!(store.revision(), before + max as u64);
}

pub async fn closing(store: &dyn Store) {
    done(store, create(&key("x"), "")).await;
    store.close().await;
    assert!(matches!(store.commit(commit([create(&key("y"), "")])).await, Err(Error::Unavailable { .. })));
    store.close().await;
    assert_eq!(names(store, None), ["x"], "reads go on");
}

/// The store keeps at most `history_bytes_max` (here 20,000) of superseded states, however young. A backend may keep
/// more for a moment, while it needs them itself.
pub async fn bytes_are_bounded(store: &dyn Store) {
    let mut revision = done(store, create(&key("x"), "")).await.revision();
    let mut floor = store.floor().0;
    let mut kept = 0;
    for round in 0..2_000 {
        revision = done(store, update(&key("x"), revision, &"x".repeat(1_000))).await.revision();
        assert!(store.floor().0 >= floor, "the floor never falls");
        floor = store.floor().0;
        kept = store.events(&resource("things"), floor, 1_000).expect("kept").0.len();
        if round > 100 && kept <= 20 {
            break;
        }
    }
    assert!((5..=20).contains(&kept), "{kept} events of more than 1,000 bytes each");
    assert_eq!(store.history(&key("x")).len(), kept + 1);
}

/// Events stay for `history_age` (5 minutes) at least, and go some time after.
pub async fn age_is_kept(store: &dyn Store, clock: &ManualClock) {
    let start = store.revision();
    let mut revision = done(store, create(&key("x"), "")).await.revision();
    for _ in 0..10 {
        clock.advance(Duration::from_secs(29));
        revision = done(store, update(&key("x"), revision, "")).await.revision();
    }
    assert_eq!(store.events(&resource("things"), start, 100).expect("younger than five minutes").0.len(), 11);
    clock.advance(Duration::from_secs(301));
    done(store, update(&key("x"), revision, "")).await;
    assert!(matches!(store.events(&resource("things"), start, 100), Err(Error::Compacted { .. })));
    assert_eq!(store.events(&resource("things"), revision, 100).expect("the newest stays").0.len(), 1);
}

pub async fn random(store: &dyn Store, clock: &ManualClock, seed: u64) {
    let mut random = Seeded::new(seed);
    let mut model = Model::default();
    for step in 0..200 {
        let mut attempt = random_commit(&model, &mut random);
        attempt.writes.truncate(store.commit_writes_max());
        let outcome = store.commit(attempt.clone()).await;
        model.learn(&attempt, &outcome);
        match random.below(40) {
            0 => store.compact(random.below(store.revision() + 10)),
            1 => clock.advance(Duration::from_secs(random.below(100))),
            _ => {}
        }
        if step % 20 == 0 {
            model.check(store, &mut random);
        }
    }
    model.check(store, &mut random);
}
