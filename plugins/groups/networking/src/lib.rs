//! The `networking.k8s.io` API group: Ingress, IngressClass, NetworkPolicy, ServiceCIDR and IPAddress.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `networking.k8s.io`.
pub struct Networking;

impl Plugin for Networking {
    fn name(&self) -> &'static str {
        "networking"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
