//! The `apps` API group: its kinds and the controllers that act on them.

pub mod controllers;
pub mod kinds;

use sdk_plugin::{Plugin, Tables};

pub struct Apps;

impl Plugin for Apps {
    fn name(&self) -> &'static str {
        "apps"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
        controllers::register(tables);
    }
}
