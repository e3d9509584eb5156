//! What the tests share: stores in an etcd of the test's own.

#![allow(dead_code, reason = "every test uses its own part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel_store::suite::{commit, create, update};
use kernel_store::{Store, Write};
use kernel_store_etcd::testing::Etcd;
use kernel_store_etcd::{Address, EtcdStore, Options};
use sdk_api::{Key, Object, SystemClock};

/// Options for a store that compacts nothing.
pub fn options(etcd: &Etcd, prefix: &str) -> Options {
    static INSTANCE: AtomicU64 = AtomicU64::new(1);
    let address = Address::parse(&etcd.address(prefix), None).expect("an address");
    let instance = INSTANCE.fetch_add(1, Ordering::Relaxed);
    Options { compaction: None, ..Options::new(address, Arc::new(SystemClock::default()), instance) }
}

/// A store that compacts nothing.
pub async fn open(etcd: &Etcd, prefix: &str) -> Arc<dyn Store> {
    Arc::new(EtcdStore::open(options(etcd, prefix)).await.expect("etcd answers"))
}

/// Commits one write that must succeed; gives the object.
pub async fn done(store: &dyn Store, write: Write) -> Arc<Object> {
    let committed = store.commit(commit([write])).await.expect("the precondition holds");
    committed.objects.into_iter().next().expect("one object a write")
}

/// Writes an object again and again, from what any store wrote last; gives its newest revision.
pub async fn churn(store: &dyn Store, key: &Key, rounds: usize) -> u64 {
    store.barrier().await.expect("etcd answers");
    let mut revision = match store.get(key) {
        Some(object) => object.revision(),
        None => done(store, create(key, "first")).await.revision(),
    };
    for round in 0..rounds {
        revision = done(store, update(key, revision, &round.to_string())).await.revision();
    }
    revision
}

/// A relay before an etcd, which can be cut.
pub struct Relay {
    port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Relay {
    /// Options for a store whose way to etcd is this one.
    pub fn options(&self, etcd: &Etcd) -> Options {
        let address = Address::parse(&format!("etcd://127.0.0.1:{}", self.port), None).expect("an address");
        Options { address, ..options(etcd, "") }
    }

    /// Ends all connections and lets nobody through.
    pub async fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

pub async fn relay(to: u16) -> Relay {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (open, state) = tokio::sync::watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut state = state.clone();
            tokio::spawn(async move {
                if !*state.borrow() {
                    return;
                }
                let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", to)).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = state.wait_for(|open| !*open) => {}
                }
            });
        }
    });
    Relay { port, open }
}

/// Compacts etcd to a revision, as its own tool does.
pub async fn compact(etcd: &Etcd, revision: u64) {
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--fail", "-d", &format!("{{\"revision\":\"{revision}\"}}")])
        .arg(format!("http://127.0.0.1:{}/v3/kv/compaction", etcd.port))
        .output()
        .await
        .expect("curl is there: run ./setup packages");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a file").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
