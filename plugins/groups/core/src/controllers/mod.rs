//! The controllers of the core group, one file each.

pub mod bootstrap;
mod endpoint;
mod garbage_collector;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod pod_garbage_collector;
mod root_ca;
mod service_account;

use std::sync::Arc;

use sdk_plugin::Tables;

use crate::Settings;

pub use bootstrap::Bootstrap;

pub fn register(tables: &mut Tables, settings: &Settings) {
    tables.controller(namespace::NamespaceController);
    tables.controller(service_account::ServiceAccountController);
    tables.controller(root_ca::RootCaCertPublisher { root_ca: settings.root_ca.clone() });
    tables.controller(endpoint::EndpointController);
    tables.controller(node_lifecycle::NodeLifecycle::default());
    tables.dyn_controller(Arc::new(node_ipam::NodeIpam { pod_cidr: settings.pod_cidr }));
    tables.dyn_controller(Arc::new(pod_garbage_collector::PodGarbageCollector::default()));
    tables.dyn_controller(Arc::new(garbage_collector::GarbageCollector));
}
