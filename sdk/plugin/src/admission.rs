//! Admission: plugins that change or refuse a write before it is stored.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::{GroupVersionKind, Object, Status};
use sdk_client::Subject;
use serde_json::Value;

use crate::agent::Context;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// A write on its way to the store.
#[derive(Debug)]
pub struct AdmissionRequest {
    pub operation: Operation,
    pub user: Subject,
    pub kind: GroupVersionKind,
    /// Plural, in lower case.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    /// Empty for a creation with a generated name.
    pub name: String,
    /// The new state; `Null` for a deletion. Mutating admission changes it in place.
    pub object: Value,
    /// The stored state, for updates and deletions.
    pub old: Option<Arc<Object>>,
    pub dry_run: bool,
    /// Shown to the client as `Warning` headers.
    pub warnings: Vec<String>,
}

/// An admission plugin. Where it stands in the chain is decided in `admission/src/chain.rs`, not here.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// Called once before the first write.
    async fn start(&self, _context: Context) -> Result<(), String> {
        Ok(())
    }
    /// Whether it wants to see this write at all.
    fn handles(&self, request: &AdmissionRequest) -> bool;
    /// Whether [`mutate`](Self::mutate) may ever change the object. One that only refuses there says no, which saves the
    /// comparison of the object before and after.
    fn mutates(&self) -> bool {
        true
    }
    /// Changes `request.object`, or refuses. Runs in order, one after the other.
    async fn mutate(&self, _request: &mut AdmissionRequest) -> Result<(), Status> {
        Ok(())
    }
    /// Refuses, or not. Runs after all changes.
    async fn validate(&self, _request: &AdmissionRequest) -> Result<(), Status> {
        Ok(())
    }
}
