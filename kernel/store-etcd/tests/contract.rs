//! The contract suite on etcd.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use kernel_store::suite;
use support::Etcd;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let etcd = Etcd::start();
    let count = AtomicU64::new(0);
    let open = async |clock, limits| {
        let prefix = format!("/suite/{}", count.fetch_add(1, Ordering::Relaxed));
        etcd.open_with(&prefix, clock, limits).await
    };
    suite::run(open, 0..4).await;
}
