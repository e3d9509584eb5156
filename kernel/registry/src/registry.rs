//! The registry: the kind table over a store, with the admission chain between.

use std::sync::{Arc, Mutex};

use kernel_store::{Error, Store};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use sdk_api::{Clock, GroupVersionKind, Key, Object, Status};
use sdk_plugin::{Admission, Kind, KindRows};
use sdk_schema::SchemaRef;
use serde_json::Value;
use tokio::sync::watch;

use crate::table::KindTable;

/// What a registry is made of.
pub struct Setup {
    pub store: Arc<dyn Store>,
    pub table: KindTable,
    /// In the order of the chain.
    pub admission: Vec<Arc<dyn Admission>>,
    pub clock: Arc<dyn Clock>,
    /// For generated names and uids.
    pub seed: u64,
}

/// All that is done to objects, for every kind alike.
pub struct Registry {
    pub(crate) store: Arc<dyn Store>,
    /// Replaced as a whole when rows come or go.
    table: watch::Sender<Arc<KindTable>>,
    pub(crate) admission: Vec<Arc<dyn Admission>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Mutex<SmallRng>,
}

impl Registry {
    pub fn new(setup: Setup) -> Self {
        Self {
            store: setup.store,
            table: watch::Sender::new(Arc::new(setup.table)),
            admission: setup.admission,
            clock: setup.clock,
            rng: Mutex::new(SmallRng::seed_from_u64(setup.seed)),
        }
    }

    /// The kind table as it is now. A request that looks twice takes it once and keeps it.
    pub fn table(&self) -> Arc<KindTable> {
        self.table.borrow().clone()
    }

    /// Tells of every new table after this call.
    pub fn table_changes(&self) -> watch::Receiver<Arc<KindTable>> {
        self.table.subscribe()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The schema of a kind's documents.
    pub fn schema(&self, gvk: &GroupVersionKind) -> Option<SchemaRef> {
        self.table().schema(gvk)
    }

    /// Where an object that `kind` serves is kept.
    pub fn key(&self, kind: &Arc<Kind>, namespace: &str, name: &str) -> Key {
        Key::new(&self.hub(kind).group_resource(), namespace, name)
    }

    /// The row that stores what `kind` serves.
    pub(crate) fn hub(&self, kind: &Arc<Kind>) -> Arc<Kind> {
        self.table.borrow().hub(kind)
    }

    /// Whether there is an object of this name now.
    pub async fn exists(&self, kind: &Arc<Kind>, namespace: &str, name: &str) -> Result<bool, Status> {
        self.settle(None).await?;
        Ok(self.store.get(&self.key(kind, namespace, name)).is_some())
    }

    /// The stored object in the version that `kind` serves.
    pub(crate) fn present(&self, kind: &Arc<Kind>, stored: &Arc<Object>) -> Arc<Object> {
        presented(kind, &self.hub(kind), stored).map_or_else(|| stored.clone(), Arc::new)
    }

    /// The stored object as its row reads it today, still in the version in which it is stored.
    pub(crate) fn fresh(&self, kind: &Arc<Kind>, stored: Arc<Object>) -> Arc<Object> {
        let hub = self.hub(kind);
        presented(&hub, &hub, &stored).map_or(stored, Arc::new)
    }

    /// A random uid, version 4. Source: RFC 9562 section 5.4.
    pub fn new_uid(&self) -> String {
        let bytes: [u8; 16] = rand::Rng::random(&mut *self.rng.lock().expect("no one panics while drawing"));
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

impl KindRows for Registry {
    fn replace(&self, owner: &str, rows: Vec<Kind>) -> Result<(), String> {
        let mut outcome = Ok(());
        self.table.send_if_modified(|table| match table.with(owner, rows) {
            Ok(new) => {
                *table = Arc::new(new);
                true
            }
            Err(taken) => {
                outcome = Err(taken);
                false
            }
        });
        outcome
    }

    fn rows(&self) -> Vec<Arc<Kind>> {
        self.table().rows().to_vec()
    }
}

/// The stored object in the version that `kind` serves, where it is another document than the stored one. `hub` is the
/// row that stores it.
pub(crate) fn presented(kind: &Kind, hub: &Kind, stored: &Object) -> Option<Object> {
    let fresh = hub.strategy.refresh(stored);
    let tree = match &kind.stored_as {
        None => fresh?,
        Some(other) => {
            let mut tree = fresh.unwrap_or_else(|| Value::clone(&stored.document()));
            (other.from_stored)(&mut tree);
            tree
        }
    };
    Some(Object::new(stored.key().clone(), stored.revision(), tree.to_string().into()))
}

/// A store's failure as the API says it; inner detail goes to the log.
pub(crate) fn store_status(error: Error) -> Status {
    match error {
        Error::Compacted { asked, oldest } => {
            Status::expired(format!("The provided resource version is too old: {asked} ({oldest} is the oldest kept)"))
        }
        Error::Future { asked, current } => Status::too_large_resource_version(asked, current),
        Error::Precondition { key, .. } => Status::modified(&key.resource, &key.name),
        Error::Unavailable { why } => {
            tracing::error!(%why, "The store cannot write.");
            Status::unavailable("the store cannot write at the moment")
        }
    }
}
