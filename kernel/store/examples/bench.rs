//! How fast the log store is on this machine: `cargo run --release -p kernel-store --example bench [DIR]`.
//!
//! The directory must be on the disk that is meant (not a tmpfs); a folder in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel_store::{Commit, ListQuery, LogStore, MemoryStore, Options, Precondition, Put, RevisionHole, Store, Write};
use sdk_api::{GroupResource, Key, SystemClock};

const OBJECTS: usize = 29_000;
const PODS: usize = 100_000;

fn write(resource: &str, name: &str, bytes: usize) -> Write {
    let key = Key::new(&GroupResource::new("", resource), "default", name);
    let head = format!(r#"{{"metadata":{{"name":"{name}","namespace":"default","resourceVersion":""#);
    let room = bytes.saturating_sub(head.len() + 20);
    let tail = format!(r#""}},"data":{{"text":"{}"}}}}"#, "x".repeat(room));
    let value = RevisionHole { head: head.into(), tail: tail.into() };
    Write { key, precondition: Precondition::Absent, put: Some(Put { value }), last: None, author: "bench".into() }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// So many writers, each with one commit at a time, for about two seconds.
async fn creates(store: &Arc<dyn Store>, what: &str, writers: usize) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, what) = (store.clone(), what.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < Duration::from_secs(2) {
                    let commit = Commit {
                        writes: vec![write("configmaps", &format!("{what}-{writer}-{}", times.len()), 1_024)],
                    };
                    let begun = Instant::now();
                    store.commit(commit).await.expect("a new name");
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    println!("{what:32} {writers:3} writers: {rate:8.0} commits/s, median {:?}", median(times));
}

async fn fill(store: &dyn Store, resource: &str, count: usize, bytes: usize) {
    for from in (0..count).step_by(500) {
        let numbers = from..count.min(from + 500);
        let writes = numbers.map(|number| write(resource, &format!("object-{number:06}"), bytes)).collect();
        store.commit(Commit { writes }).await.expect("new names");
    }
}

fn list(store: &dyn Store, resource: &str) {
    let query =
        ListQuery { resource: GroupResource::new("", resource), namespace: None, at: None, after: None, limit: 0 };
    let times = (0..20).map(|_| {
        let begun = Instant::now();
        let page = store.list(&query).expect("the newest");
        let took = begun.elapsed();
        assert_eq!(page.objects.len(), OBJECTS);
        took
    });
    println!("{:32} {OBJECTS} objects: median {:?}", "list", median(times.collect()));
}

#[tokio::main]
async fn main() {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("kernel-store-bench");
    let _ = std::fs::remove_dir_all(&dir);
    let clock = Arc::new(SystemClock::default());
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), Default::default()));
    creates(&memory, "memory, create of 1 KiB", 1).await;
    let open = || {
        let begun = Instant::now();
        let (store, report) = LogStore::open(Options::new(&dir, clock.clone())).expect("the directory is ours");
        (Arc::new(store) as Arc<dyn Store>, report, begun.elapsed())
    };
    let (store, _, took) = open();
    println!("{:32} {took:?}", "start of an empty directory");
    for writers in [1, 8, 64, 256] {
        creates(&store, &format!("log, create of 1 KiB by {writers}"), writers).await;
    }
    fill(&*store, "lists", OBJECTS, 1_024).await;
    list(&*store, "lists");
    store.close().await;
    drop(store);
    std::fs::remove_dir_all(&dir).expect("ours");

    let (store, _, _) = open();
    let begun = Instant::now();
    fill(&*store, "pods", PODS, 2_867).await;
    println!("{:32} {PODS} pods of 2.8 KiB: {:?}", "fill, 500 in a commit", begun.elapsed());
    store.close().await;
    drop(store);
    for _ in 0..3 {
        let (store, report, took) = open();
        println!("{:32} {} objects, {} replayed: {took:?}", "restart", report.objects, report.replayed);
        store.close().await;
    }
    std::fs::remove_dir_all(&dir).expect("ours");
}
