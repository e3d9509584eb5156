//! The `autoscaling` API group: HorizontalPodAutoscaler in both of its versions.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `autoscaling`.
pub struct Autoscaling;

impl Plugin for Autoscaling {
    fn name(&self) -> &'static str {
        "autoscaling"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
