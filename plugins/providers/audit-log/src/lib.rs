//! Audit events to a file, one JSON document a line. Source: Kubernetes documentation, "Auditing", log backend.

mod file;
mod sink;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

pub use file::Rotation;
pub use sink::{AuditLog, Settings};

/// The plugin that writes audit events to a file.
pub struct Audit(pub Arc<AuditLog>);

impl Plugin for Audit {
    fn name(&self) -> &'static str {
        "audit-log"
    }

    fn register(&self, tables: &mut Tables) {
        tables.audit_sink(self.0.clone());
    }
}
