//! `Service`: one address for many pods.

pub mod addresses;
mod columns;
pub mod strategy;
mod validate;

use std::sync::Arc;

use sdk_api::names;
use sdk_plugin::{Connect, FieldOf, Kind, WriteHook};

use super::fields::at;
use crate::Settings;
use crate::hooks::{ServiceHook, SharedServiceHook};

const FIELDS: &[FieldOf] = &[
    FieldOf { name: "spec.clusterIP", value: |service| at(service, ".spec.clusterIP") },
    FieldOf { name: "spec.type", value: |service| at(service, ".spec.type") },
];

/// The row.
pub fn kind(settings: &Settings) -> Kind {
    let (cidr, ports) = (settings.service_cidr, settings.node_ports);
    let hook: Arc<dyn WriteHook> = match settings.shared_store {
        true => Arc::new(SharedServiceHook::new(cidr, ports)),
        false => Arc::new(ServiceHook::new(cidr, ports, rand::random())),
    };
    Kind::of(strategy::ServiceStrategy)
        .short_names(&["svc"])
        .categories(&["all"])
        .columns(columns::COLUMNS)
        .fields(FIELDS)
        .name_rule(names::dns1035_label)
        .create_on_update()
        .delete_answers_object()
        .status()
        .connect("proxy", Connect::Proxy)
        .hook(hook)
}
