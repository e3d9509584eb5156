//! Kinds that come and go while the server runs: custom resources, and whatever else makes rows at run time.

use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::Context;
use crate::kind::Kind;

/// The kind table, as those who add rows at run time see it. A row added here is served like any other.
pub trait KindRows: Send + Sync + 'static {
    /// Replaces all rows that `owner` has put in by these, in one step; no rows removes the owner. Discovery and OpenAPI
    /// follow at once, and watches of kinds that are gone end. Fails, with nothing changed, where a name is taken by a row
    /// that somebody else put in: the error says which.
    fn replace(&self, owner: &str, rows: Vec<Kind>) -> Result<(), String>;
    /// Every row there is, those of other owners included.
    fn rows(&self) -> Vec<Arc<Kind>>;
}

/// A part of a plugin that adds rows at run time.
#[async_trait]
pub trait KindSource: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// Called once, before the first request: puts in the rows that are known already. Later changes go through `rows` as
    /// they happen, until `context.stop`.
    async fn start(&self, context: Context, rows: Arc<dyn KindRows>) -> Result<(), String>;
}
