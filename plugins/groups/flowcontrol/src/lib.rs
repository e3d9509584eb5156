//! The `flowcontrol.apiserver.k8s.io` API group: FlowSchema and PriorityLevelConfiguration.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `flowcontrol.apiserver.k8s.io`.
pub struct Flowcontrol;

impl Plugin for Flowcontrol {
    fn name(&self) -> &'static str {
        "flowcontrol"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
