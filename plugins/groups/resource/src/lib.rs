//! The `resource.k8s.io` API group: the kinds of dynamic resource allocation.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `resource.k8s.io`.
pub struct Resource;

impl Plugin for Resource {
    fn name(&self) -> &'static str {
        "resource"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
