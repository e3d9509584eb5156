//! The `discovery` API group: its kinds and the controllers that act on them.

pub mod controllers;
pub mod kinds;

use sdk_plugin::{Plugin, Tables};

pub struct Discovery;

impl Plugin for Discovery {
    fn name(&self) -> &'static str {
        "discovery"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
        controllers::register(tables);
    }
}
