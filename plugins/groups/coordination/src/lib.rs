//! The `coordination.k8s.io` API group: Lease.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `coordination.k8s.io`.
pub struct Coordination;

impl Plugin for Coordination {
    fn name(&self) -> &'static str {
        "coordination"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
