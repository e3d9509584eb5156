//! How long the longest commit takes beside a checkpoint: `cargo run --release -p kernel-store --example stall [DIR]`.
//!
//! The directory must be on the disk that is meant (not a tmpfs); a folder in it is made and removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel_store::{Commit, LogStore, Options, Precondition, Put, RevisionHole, Store, Write};
use sdk_api::{GroupResource, Key, SystemClock};

const OBJECTS: usize = 100_000;
const OBJECT_BYTES: usize = 1_024;
const WRITERS: usize = 8;
const PHASE: Duration = Duration::from_secs(10);

fn write(name: &str) -> Write {
    let key = Key::new(&GroupResource::new("", "configmaps"), "default", name);
    let head = format!(r#"{{"metadata":{{"name":"{name}","namespace":"default","resourceVersion":""#);
    let tail = format!(r#""}},"data":{{"text":"{}"}}}}"#, "x".repeat(OBJECT_BYTES.saturating_sub(head.len() + 20)));
    let value = RevisionHole { head: head.into(), tail: tail.into() };
    Write { key, precondition: Precondition::Absent, put: Some(Put { value }), last: None, author: "stall".into() }
}

/// Creates and deletes for a while; prints how long single commits took.
async fn phase(store: &Arc<LogStore>, what: &str) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, what) = (store.clone(), what.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < PHASE {
                    let create = write(&format!("{what}-{writer}-{}", times.len()));
                    let begun = Instant::now();
                    store.commit(Commit { writes: vec![create] }).await.expect("a new name");
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
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{what:20} {} commits: median {:?}, 99% {:?}, 99.9% {:?}, longest {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

#[tokio::main]
async fn main() {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("kernel-store-stall");
    let _ = std::fs::remove_dir_all(&dir);
    for (what, checkpoint_bytes) in [("no checkpoints", u64::MAX), ("checkpoints", 1 << 20)] {
        let options = Options { checkpoint_bytes, ..Options::new(&dir, Arc::new(SystemClock::default())) };
        let (store, _) = LogStore::open(options).expect("the directory is ours");
        let store = Arc::new(store);
        for from in (0..OBJECTS).step_by(500) {
            let writes = (from..from + 500).map(|number| write(&format!("object-{number:06}"))).collect();
            store.commit(Commit { writes }).await.expect("new names");
        }
        phase(&store, what).await;
        store.close().await;
        drop(store);
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
