//! Service-account tokens: issued, and checked. Source: KEP-1205, bound service account tokens.

mod check;
mod claims;
mod keys;
mod tokens;

use std::sync::Arc;

use sdk_plugin::{Plugin, Tables};

pub use keys::Error;
pub use tokens::{ServiceAccountTokens, Settings};

/// The plugin that authenticates by service-account tokens.
pub struct ServiceAccount(pub Arc<ServiceAccountTokens>);

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "authn-serviceaccount"
    }

    fn register(&self, tables: &mut Tables) {
        tables.authenticator(self.0.clone());
    }
}

#[cfg(test)]
mod tests;
