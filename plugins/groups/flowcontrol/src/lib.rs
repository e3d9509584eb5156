//! The `flowcontrol.apiserver.k8s.io` API group: FlowSchema and PriorityLevelConfiguration. The API server's
//! dispatcher works by them.

pub mod bootstrap;
pub mod keeper;
pub mod kinds;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `flowcontrol.apiserver.k8s.io`.
pub struct Flowcontrol;

impl Plugin for Flowcontrol {
    fn name(&self) -> &'static str {
        "flowcontrol"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
        tables.agent(Arc::new(keeper::Keeper));
    }
}
