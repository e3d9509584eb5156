//! Write hooks: what a kind must reserve before it is written and give back if it is not, such as an IP address.

use async_trait::async_trait;
use sdk_api::{Object, Status};
use serde_json::Value;

use crate::agent::Context;

/// Reserves things for a write. Runs after defaulting and mutating admission, before validation.
#[async_trait]
pub trait WriteHook: Send + Sync + 'static {
    /// Called once, before the first write of the kind: reads what is in use.
    async fn start(&self, _context: Context) -> Result<(), String> {
        Ok(())
    }
    /// Reserves for the write and may fill in `new`. In a dry run nothing stays reserved.
    async fn before(
        &self,
        new: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Option<Box<dyn HookGuard>>, Status>;
    /// The object is gone; what it held is free again.
    fn deleted(&self, _old: &Object) {}
}

/// A reservation. Dropped without `committed`, it is given back.
pub trait HookGuard: Send {
    fn committed(self: Box<Self>);
}
