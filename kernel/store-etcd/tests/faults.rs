//! etcd killed under load, compacted while nobody looked, gone back in time, and not there.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kernel_store::suite::{body, commit, create, resource, update};
use kernel_store::{Error, Event, EventKind, Store};
use kernel_store_etcd::EtcdStore;
use kernel_store_etcd::testing::Etcd;
use sdk_api::{GroupResource, Key};
use support::{churn, done, open, options};

/// How often etcd is killed.
const KILLS: usize = 3;
const WRITERS: usize = 4;

fn things() -> GroupResource {
    resource("things")
}

fn key(name: &str) -> Key {
    Key::new(&things(), "a", name)
}

/// Follows a collection from a revision until it has seen the deletion of `end`; gives all events.
async fn follow(store: Arc<dyn Store>, mut after: u64) -> Vec<Arc<Event>> {
    let mut changes = store.changes(&things());
    let mut all: Vec<Arc<Event>> = Vec::new();
    loop {
        changes.borrow_and_update();
        loop {
            let (events, complete) = store.events(&things(), after, 7).expect("nothing is compacted here");
            all.extend(events.iter().cloned());
            after = complete;
            if events.len() < 7 {
                break;
            }
        }
        if all.iter().any(|event| event.object.name() == "end") {
            return all;
        }
        changes.changed().await.expect("the store lives");
    }
}

/// Writers count up, each an object of its own, while etcd is killed and started again. Every acknowledged write happened,
/// none happened twice, and watchers through both servers see the same events, without gap or repetition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(dir.path());
    let stores = [open(&etcd, "").await, open(&etcd, "").await];
    let start = stores[0].revision();
    let watchers: Vec<_> = stores.iter().map(|store| tokio::spawn(follow(store.clone(), start))).collect();
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(count_up(stores[number % 2].clone(), key(&format!("w{number}")), enough.clone())))
        .collect();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(500)).await;
        etcd.kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::task::block_in_place(|| etcd.restart());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    enough.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut failures) = (0, 0);
    for writer in writers {
        let (count, failed) = writer.await.expect("no panic");
        acknowledged += count;
        failures += failed;
    }
    println!("{acknowledged} writes, {failures} of unknown outcome");
    assert!(acknowledged > 20 * KILLS, "{acknowledged} writes got through");
    loop {
        match stores[0].commit(commit([create(&key("end"), "")])).await {
            Ok(_) => break,
            // It may have happened, the first time.
            Err(Error::Precondition { .. }) => break,
            Err(_) => {}
        }
    }
    let mut told = Vec::new();
    for watcher in watchers {
        let events = watcher.await.expect("no panic");
        assert!(events.windows(2).all(|pair| pair[0].revision() < pair[1].revision()), "in order, once");
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for event in &events {
            let count = body(&event.object).parse().unwrap_or(0);
            let before = counts.insert(event.object.name().to_owned(), (count, event.revision()));
            let previous = event.previous.as_ref().map(|object| object.revision());
            assert_eq!(previous, before.map(|(_, revision)| revision), "no event is missing");
            assert_eq!(event.kind == EventKind::Created, before.is_none());
            assert_eq!(count, before.map_or(0, |(count, _)| count + 1), "nothing happens twice");
        }
        told.push(events.iter().map(|event| (event.revision(), event.object.raw().clone())).collect::<Vec<_>>());
    }
    assert!(told[0].len() > acknowledged);
    assert_eq!(told[0], told[1], "both servers tell the same");
}

/// Counts up in an object; gives how often that was acknowledged, and how often nobody knew.
async fn count_up(store: Arc<dyn Store>, key: Key, enough: Arc<AtomicBool>) -> (usize, usize) {
    let (mut acknowledged, mut unknown) = (0, 0);
    let mut known: Option<(u64, u64)> = None;
    while !enough.load(Ordering::Relaxed) {
        let write = match known {
            None => create(&key, "0"),
            Some((count, revision)) => update(&key, revision, &(count + 1).to_string()),
        };
        match store.commit(commit([write])).await {
            Ok(done) => {
                let object = &done.objects[0];
                let count = body(object).parse().expect("a number");
                assert_eq!(count, known.map_or(0, |(count, _)| count + 1));
                known = Some((count, object.revision()));
                acknowledged += 1;
            }
            // Only after an outcome that nobody knew: it had happened.
            Err(Error::Precondition { current: Some(current), .. }) => {
                let count: u64 = body(&current).parse().expect("a number");
                assert!(unknown > 0 && count == known.map_or(0, |(count, _)| count + 1), "{count} after {known:?}");
                known = Some((count, current.revision()));
            }
            Err(Error::Unavailable { .. }) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
    }
    (acknowledged, unknown)
}

/// A server that was cut off while others wrote and etcd was compacted ends its watches and has the newest state; it
/// neither skips nor invents anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_while_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let relay = support::relay(etcd.port).await;
    let cut = Arc::new(EtcdStore::open(relay.options(&etcd)).await.expect("etcd answers"));
    let writer = open(&etcd, "").await;
    for name in ["stays", "changes", "goes"] {
        done(&*writer, create(&key(name), "before")).await;
    }
    let seen = cut.barrier().await.expect("etcd answers");
    relay.cut().await;
    let gone = writer.get(&key("goes")).expect("created").revision();
    done(&*writer, kernel_store::suite::delete(&key("goes"), gone)).await;
    let newest = churn(&*writer, &key("changes"), 5).await;
    let new = done(&*writer, create(&key("new"), "later")).await.revision();
    support::compact(&etcd, newest).await;
    assert!(cut.get(&key("goes")).is_some(), "it cannot know");
    assert!(tokio::time::timeout(Duration::from_secs(30), cut.barrier()).await.expect("it gives up").is_err());
    assert!(cut.health().is_err());
    let mut changes = cut.changes(&things());
    changes.mark_unchanged();
    relay.mend();
    cut.reach(new, Duration::from_secs(30)).await.expect("it finds its way back");
    changes.changed().await.expect("watches are woken");
    let missed = cut.events(&things(), seen, 100);
    assert!(matches!(missed, Err(Error::Compacted { oldest, .. }) if oldest >= newest), "{missed:?}");
    let names = |store: &dyn Store| -> Vec<_> {
        let query = kernel_store::ListQuery { resource: things(), namespace: None, at: None, after: None, limit: 0 };
        let page = store.list(&query).expect("the newest");
        page.objects.iter().map(|object| (object.name().to_owned(), object.revision(), body(object))).collect()
    };
    assert_eq!(names(&*cut), names(&*writer));
    assert_eq!(cut.health(), Ok(()));
    // It goes on as before.
    let next = churn(&*writer, &key("changes"), 1).await;
    cut.barrier().await.expect("etcd answers");
    let (events, _) = cut.events(&things(), new, 9).expect("kept");
    assert_eq!(events.iter().map(|event| event.revision()).collect::<Vec<_>>(), [next]);
}

/// Without a compaction, a server that was cut off misses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let relay = support::relay(etcd.port).await;
    let cut = Arc::new(EtcdStore::open(relay.options(&etcd)).await.expect("etcd answers"));
    let writer = open(&etcd, "").await;
    let start = churn(&*writer, &key("x"), 3).await;
    cut.barrier().await.expect("etcd answers");
    relay.cut().await;
    let newest = churn(&*writer, &key("x"), 20).await;
    relay.mend();
    cut.reach(newest, Duration::from_secs(30)).await.expect("it finds its way back");
    assert_eq!(cut.events(&things(), start, 100).expect("kept").0.len(), 20);
}

/// An etcd that lost what it had acknowledged is refused, in words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_back_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(dir.path());
    let store = open(&etcd, "").await;
    churn(&*store, &key("x"), 3).await;
    etcd.kill();
    support::copy(&etcd.data(), &dir.path().join("backup"));
    etcd.restart();
    let newest = churn(&*store, &key("x"), 5).await;
    etcd.kill();
    std::fs::remove_dir_all(etcd.data()).unwrap();
    support::copy(&dir.path().join("backup"), &etcd.data());
    etcd.restart();
    let mut health = store.health();
    for _ in 0..600 {
        if health.as_ref().is_err_and(|why| why.contains("bump-revision")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        health = store.health();
    }
    assert!(health.as_ref().is_err_and(|why| why.contains("bump-revision")), "{health:?}");
    let refused = store.commit(commit([update(&key("x"), newest, "")])).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(store.barrier().await.is_err(), "no read is called consistent");
    assert_eq!(store.revision(), newest, "what was shown stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(dir.path());
    etcd.kill();
    let error = EtcdStore::open(options(&etcd, "")).await.err().expect("nobody listens").to_string();
    assert!(error.contains(&etcd.port.to_string()) && error.contains("refused"), "{error}");
}
