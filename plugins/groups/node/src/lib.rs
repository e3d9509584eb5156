//! The `node.k8s.io` API group: RuntimeClass.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `node.k8s.io`.
pub struct Node;

impl Plugin for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
