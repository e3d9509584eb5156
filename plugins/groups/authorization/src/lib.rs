//! The `authorization.k8s.io` API group: the reviews of what a user may do, which are answered.

mod access;
pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `authorization.k8s.io`.
pub struct Authorization;

impl Plugin for Authorization {
    fn name(&self) -> &'static str {
        "authorization"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}

#[cfg(test)]
mod tests;
