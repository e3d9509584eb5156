//! The `batch` API group: Job and CronJob.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `batch`.
pub struct Batch;

impl Plugin for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
