//! `MemoryStore`: a store without a disk, for tests and for clusters that may be forgotten.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sdk_api::{Clock, GroupResource, Key, Object};
use tokio::sync::watch;

use crate::index::Index;
use crate::stage::{Stage, committed};
use crate::{Commit, Committed, Error, Event, Floor, History, IndexBy, Limits, ListQuery, Page, Store};

/// A store that lives as long as its process.
pub struct MemoryStore {
    index: Index,
    clock: Arc<dyn Clock>,
    /// Commits pass one at a time.
    order: Mutex<()>,
    closed: AtomicBool,
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { index: Index::new(clock.clone(), limits), clock, order: Mutex::new(()), closed: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn revision(&self) -> u64 {
        self.index.revision()
    }

    async fn barrier(&self) -> Result<u64, Error> {
        Ok(self.index.revision())
    }

    async fn reach(&self, revision: u64, wait: Duration) -> Result<(), Error> {
        self.index.reach(revision, wait).await
    }

    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.index.get(key)
    }

    fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        self.index.list(query)
    }

    fn select(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        by: &IndexBy,
        values: &[String],
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        self.index.select(resource, namespace, by, values)
    }

    fn count(&self, resource: &GroupResource) -> usize {
        self.index.count(resource)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        let _turn = self.order.lock().expect("nothing panics under this lock");
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Unavailable { why: "the store is closed".into() });
        }
        let mut stage = Stage::new(&self.index, self.index.revision() + 1, self.clock.now());
        stage.add(commit)?;
        let done = committed(stage.changes());
        self.index.apply(stage.into_changes());
        Ok(done)
    }

    fn events(&self, resource: &GroupResource, after: u64, max: usize) -> Result<(Vec<Arc<Event>>, u64), Error> {
        self.index.events(resource, after, max)
    }

    fn changes(&self, resource: &GroupResource) -> watch::Receiver<u64> {
        self.index.changes(resource)
    }

    fn history(&self, key: &Key) -> Vec<History> {
        self.index.history(key)
    }

    fn floor(&self) -> Floor {
        self.index.floor()
    }

    fn compact(&self, revision: u64) {
        self.index.compact(revision);
    }

    async fn close(&self) {
        let _turn = self.order.lock().expect("nothing panics under this lock");
        self.closed.store(true, Ordering::SeqCst);
    }
}
