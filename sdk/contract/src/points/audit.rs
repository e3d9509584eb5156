//! Audit sink: a plugin receives what was done, in batches, at least once.

use serde::{Deserialize, Serialize};

/// A batch; the blobs are `audit.k8s.io/v1` Events as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Batch {
    pub count: u32,
}

/// How many from the first on need not come again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Accepted {
    pub accepted: u32,
}

crate::extension_point! {
    /// Receives audit events.
    pub trait AuditSink: 8, "audit", versions 1..=1, vectors "../../vectors/audit.json" {
        /// Takes a batch, or the first part of it.
        1 idempotent write(Batch) -> Accepted;
    }
}
