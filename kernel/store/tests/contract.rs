//! The contract suite on both backends of this crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel_store::{FaultDisk, LogStore, MemoryStore, Options, Store, suite};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    suite::run(async |clock, limits| Arc::new(MemoryStore::new(clock, limits)) as Arc<dyn Store>, 0..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    let open = async |clock, limits| {
        let dir = dir.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        let options = Options { limits, ..Options::new(dir, clock) };
        Arc::new(LogStore::open(options).unwrap().0) as Arc<dyn Store>
    };
    suite::run(open, 0..6).await;
}

/// The log with segments and checkpoints so small that they change all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_log_keeps_the_contract() {
    let open = async |clock, limits| {
        let options = Options {
            limits,
            disk: Arc::new(FaultDisk::new()),
            segment_bytes: 4_096,
            ahead_bytes: 512,
            checkpoint_bytes: 8_192,
            ..Options::new("data", clock)
        };
        Arc::new(LogStore::open(options).unwrap().0) as Arc<dyn Store>
    };
    suite::run(open, 10..20).await;
}
