//! Admission: the chain as one list, the built-in plugins, one file each, and the kinds by which users will add to it.

pub mod builtin;
pub mod chain;
pub mod kinds;

mod refuse;
mod world;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

use crate::world::World;

/// The built-in admission plugins, and the kinds of `admissionregistration.k8s.io`.
pub fn plugin() -> impl Plugin {
    Builtin
}

struct Builtin;

impl Plugin for Builtin {
    fn name(&self) -> &'static str {
        "admission"
    }

    fn register(&self, tables: &mut Tables) {
        let world = Arc::new(World::default());
        for admission in builtin::all(&world) {
            tables.admission(admission);
        }
        kinds::register(tables);
    }
}
