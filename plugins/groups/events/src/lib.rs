//! The `events.k8s.io` API group: Event, another form of the core kind.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `events.k8s.io`.
pub struct Events;

impl Plugin for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
