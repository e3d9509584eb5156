//! The contract suite on etcd.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel_store::{Store, suite};
use kernel_store_etcd::testing::Etcd;
use kernel_store_etcd::{EtcdStore, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(dir.path());
    let count = AtomicU64::new(0);
    let open = async |clock, limits| {
        let prefix = format!("/suite/{}", count.fetch_add(1, Ordering::Relaxed));
        let options = Options { clock, limits, ..support::options(&etcd, &prefix) };
        Arc::new(EtcdStore::open(options).await.expect("etcd answers")) as Arc<dyn Store>
    };
    suite::run(open, 0..4).await;
}
