//! The informers as `plan` sees them.

use std::sync::Arc;

use sdk_api::{GroupResource, Key, Object};
use sdk_plugin::{Cache, Failure};

use crate::catalogue::Catalogue;
use crate::informer::Informers;

/// The shared informers and the kind table, as a [`Cache`]. Collections that nobody opened are empty.
#[derive(Clone)]
pub struct InformerCache {
    informers: Informers,
    catalogue: Arc<dyn Catalogue>,
    failure: Option<Failure>,
}

impl InformerCache {
    pub fn new(informers: Informers, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { informers, catalogue, failure: None }
    }

    /// The same cache for a key whose last plan ended so.
    pub fn after(&self, failure: Option<Failure>) -> Self {
        Self { failure, ..self.clone() }
    }
}

impl Cache for InformerCache {
    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.informers.opened(&key.resource)?.get(&key.namespace, &key.name)
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>> {
        self.informers.opened(resource).map(|informer| informer.list(namespace)).unwrap_or_default()
    }

    fn owned_by(&self, resource: &GroupResource, uid: &str) -> Vec<Arc<Object>> {
        self.informers.opened(resource).map(|informer| informer.owned_by(uid)).unwrap_or_default()
    }

    fn orphans(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>> {
        self.informers.opened(resource).map(|informer| informer.orphans(namespace)).unwrap_or_default()
    }

    /// Those whose first list has arrived: what is not in such a collection does not exist, as far as the cache goes.
    fn resources(&self) -> Vec<GroupResource> {
        self.informers.synced_resources()
    }

    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)> {
        self.catalogue.resolve(api_version, kind)
    }

    fn last_failure(&self) -> Option<Failure> {
        self.failure.clone()
    }
}
