//! The `storage.k8s.io` API group: StorageClass and the kinds of CSI.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `storage.k8s.io`.
pub struct Storage;

impl Plugin for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
