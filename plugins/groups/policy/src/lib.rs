//! The `policy` API group: PodDisruptionBudget.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `policy`.
pub struct Policy;

impl Plugin for Policy {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
