//! The `apiregistration.k8s.io` API group: APIService, and who registers what is served.

pub mod controllers;
pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `apiregistration.k8s.io`.
pub struct Apiregistration;

impl Plugin for Apiregistration {
    fn name(&self) -> &'static str {
        "apiregistration"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
