//! The `certificates.k8s.io` API group: CertificateSigningRequest.

pub mod kinds;

use sdk_plugin::{Plugin, Tables};

/// The plugin that serves `certificates.k8s.io`.
pub struct Certificates;

impl Plugin for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}
