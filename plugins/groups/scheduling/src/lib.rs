//! The `scheduling.k8s.io` API group: PriorityClass.

pub mod kinds;
pub mod system_classes;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `scheduling.k8s.io`.
pub struct Scheduling;

impl Plugin for Scheduling {
    fn name(&self) -> &'static str {
        "scheduling"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
        tables.agent(Arc::new(system_classes::SystemClasses));
    }
}
