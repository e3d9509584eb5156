//! The core API group (`v1`): its kinds and the controllers that act on them.

pub mod controllers;
pub mod hooks;
pub mod kinds;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables, TokenIssuer};

/// What the core group must be told.
#[derive(Clone)]
pub struct Settings {
    /// Where cluster IPs come from, such as `10.96.0.0/16`. The first address is the API server's own Service.
    pub service_cidr: ipnet::IpNet,
    /// First and last node port, 30000 to 32767 by default.
    pub node_ports: (u16, u16),
    /// Where nodes get their pod networks from, such as `10.244.0.0/16`, each a /24.
    pub pod_cidr: ipnet::IpNet,
    /// PEM of the CA that signs the API server's certificate, for `kube-root-ca.crt`.
    pub root_ca: String,
    pub tokens: Arc<dyn TokenIssuer>,
    /// How long an event stays after its last write, 1 hour by default. Source: `--event-ttl`.
    pub event_ttl: std::time::Duration,
    /// Whether other servers write to the same store.
    pub shared_store: bool,
}

pub struct Core {
    pub settings: Settings,
}

impl Plugin for Core {
    fn name(&self) -> &'static str {
        "core"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables, &self.settings);
        controllers::register(tables, &self.settings);
    }
}
