//! The kinds of the core group, one file each.

mod binding;
mod component_status;
mod config_map;
mod endpoints;
mod event;
mod fields;
mod limit_range;
mod namespace;
mod node;
mod persistent_volume;
mod persistent_volume_claim;
pub mod pod;
mod pod_template;
mod replication_controller;
mod resource_quota;
mod secret;
pub mod service;
mod service_account;

use sdk_plugin::Tables;

use crate::Settings;

/// Registers all kinds of the group.
pub fn register(tables: &mut Tables, settings: &Settings) {
    tables.kind(binding::kind());
    tables.kind(component_status::kind());
    tables.kind(config_map::kind());
    tables.kind(endpoints::kind());
    tables.kind(event::kind().ttl(settings.event_ttl));
    tables.kind(limit_range::kind());
    tables.kind(namespace::kind());
    tables.kind(node::kind());
    tables.kind(persistent_volume::kind());
    tables.kind(persistent_volume_claim::kind());
    tables.kind(pod::kind());
    tables.kind(pod_template::kind());
    tables.kind(replication_controller::kind());
    tables.kind(resource_quota::kind());
    tables.kind(secret::kind());
    tables.kind(service::kind(settings));
    tables.kind(service_account::kind(settings));
}

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
