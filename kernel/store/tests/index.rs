//! What the index does for backends of other crates: a state that takes the place of all, and revisions without a change.

use std::sync::Arc;

use kernel_store::index::{Change, Index, Version};
use kernel_store::suite::{ManualClock, resource, value};
use kernel_store::{Error, Event, EventKind, Limits, ListQuery};
use sdk_api::{Clock, Key, Object};

fn key(name: &str) -> Key {
    Key::new(&resource("things"), "a", name)
}

fn version(name: &str, revision: u64) -> Version {
    let hole = value(&key(name), &format!("at {revision}"));
    Version {
        object: Arc::new(Object::new(key(name), revision, hole.fill(revision))),
        kind: EventKind::Updated,
        time: ManualClock::default().now(),
        author: "somebody".into(),
        hole: u32::try_from(hole.head.len()).unwrap(),
    }
}

fn change(index: &Index, name: &str, revision: u64) -> Change {
    let (made, replaced) = (version(name, revision), index.version(&key(name)));
    let event = Event {
        kind: if replaced.is_some() { EventKind::Updated } else { EventKind::Created },
        object: made.object.clone(),
        previous: replaced.as_ref().map(|version| version.object.clone()),
        time: made.time,
        author: made.author.clone(),
    };
    Change { event: Arc::new(event), replaced, made: Some(made) }
}

fn index() -> Index {
    Index::new(Arc::new(ManualClock::default()), Limits::default())
}

fn list(index: &Index, at: Option<u64>) -> Result<Vec<(String, u64)>, Error> {
    let query = ListQuery { resource: resource("things"), namespace: None, at, after: None, limit: 0 };
    let page = index.list(&query)?;
    Ok(page.objects.iter().map(|object| (object.name().to_owned(), object.revision())).collect())
}

#[test]
fn a_state_takes_the_place_of_all_and_wakes_who_watches() {
    let index = index();
    let (things, never) = (resource("things"), resource("never"));
    index.replace(10, vec![version("x", 4), version("y", 9)]);
    assert_eq!((index.revision(), index.floor().0), (10, 10));
    for (name, revision) in [("x", 11), ("z", 12)] {
        index.apply(vec![change(&index, name, revision)]);
    }
    let mut watchers = [index.changes(&things), index.changes(&never)];
    watchers.iter_mut().for_each(|watcher| watcher.mark_unchanged());
    index.replace(20, vec![version("x", 11), version("y", 15)]);
    assert_eq!(list(&index, None).unwrap(), [("x".into(), 11), ("y".into(), 15)], "z is gone, y was changed");
    for watcher in &watchers {
        assert!(watcher.has_changed().unwrap(), "a watch must learn that it missed something");
    }
    for (resource, after) in [(&things, 10), (&things, 19), (&never, 12)] {
        assert!(matches!(index.events(resource, after, 9), Err(Error::Compacted { oldest: 20, .. })), "{after}");
    }
    assert!(matches!(list(&index, Some(12)), Err(Error::Compacted { .. })));
    assert!(index.history(&key("z")).is_empty());
    index.apply(vec![change(&index, "y", 21)]);
    let (events, complete) = index.events(&things, 20, 9).unwrap();
    assert_eq!((events.len(), events[0].previous.as_ref().map(|o| o.revision()), complete), (1, Some(15), 21));
    assert_eq!(list(&index, Some(20)).unwrap(), [("x".into(), 11), ("y".into(), 15)]);
}

#[tokio::test]
async fn revisions_pass_without_a_change() {
    let index = index();
    index.replace(10, Vec::new());
    index.advance(15);
    index.advance(12);
    index.passed(15).await;
    assert_eq!((index.revision(), index.events(&resource("things"), 10, 9).unwrap().1), (15, 15));
}

/// Another program may write several objects at one revision; whoever pages through the events gets them all.
#[test]
fn events_of_one_revision_stay_together() {
    let index = index();
    index.replace(10, Vec::new());
    let changes = ["x", "y", "z"].map(|name| change(&index, name, 11));
    index.apply(changes.into());
    index.apply(vec![change(&index, "x", 12)]);
    let (events, complete) = index.events(&resource("things"), 10, 2).unwrap();
    assert_eq!((events.len(), complete), (3, 11));
    assert_eq!(index.events(&resource("things"), complete, 2).unwrap().0.len(), 1);
}
