//! The `rbac.authorization.k8s.io` API group: roles and bindings, the authorizer that reads them, the default policy.

pub mod authorizer;
pub mod bootstrap;
pub mod controllers;
pub mod escalation;
pub mod kinds;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `rbac.authorization.k8s.io` and authorizes by it.
pub struct Rbac;

impl Plugin for Rbac {
    fn name(&self) -> &'static str {
        "rbac"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
        let authorizer = Arc::new(authorizer::RbacAuthorizer::awaiting(bootstrap::keys()));
        tables.admission(Arc::new(escalation::Escalation(authorizer.clone())));
        tables.authorizer(authorizer);
        tables.agent(Arc::new(bootstrap::BootstrapPolicy));
        tables.controller(controllers::aggregation::ClusterRoleAggregation);
    }
}
