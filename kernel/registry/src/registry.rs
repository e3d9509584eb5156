//! The registry: the kind table over a store, with the admission chain between.

use std::sync::{Arc, Mutex};

use kernel_store::{Error, Store};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use sdk_api::{Clock, Key, Object, Status};
use sdk_plugin::{Admission, Kind};
use sdk_schema::Schemas;
use serde_json::Value;

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
    pub(crate) table: KindTable,
    pub(crate) admission: Vec<Arc<dyn Admission>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Mutex<SmallRng>,
    pub(crate) schemas: &'static Schemas,
}

impl Registry {
    pub fn new(setup: Setup) -> Self {
        Self {
            store: setup.store,
            table: setup.table,
            admission: setup.admission,
            clock: setup.clock,
            rng: Mutex::new(SmallRng::seed_from_u64(setup.seed)),
            schemas: Schemas::builtin(),
        }
    }

    pub fn table(&self) -> &KindTable {
        &self.table
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn schemas(&self) -> &'static Schemas {
        self.schemas
    }

    /// Where an object that `kind` serves is kept.
    pub fn key(&self, kind: &Arc<Kind>, namespace: &str, name: &str) -> Key {
        Key::new(&self.table.hub(kind).group_resource(), namespace, name)
    }

    /// The stored object in the version that `kind` serves.
    pub(crate) fn present(&self, kind: &Kind, stored: &Arc<Object>) -> Arc<Object> {
        let Some(other) = &kind.stored_as else { return stored.clone() };
        let mut tree = Value::clone(stored.tree());
        (other.from_stored)(&mut tree);
        Arc::new(Object::new(stored.key().clone(), stored.revision(), tree.to_string().into()))
    }

    /// A random uid, version 4. Source: RFC 9562 section 5.4.
    pub fn new_uid(&self) -> String {
        let bytes: [u8; 16] = rand::Rng::random(&mut *self.rng.lock().expect("no one panics while drawing"));
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
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
