//! The `authentication.k8s.io` API group: TokenReview and SelfSubjectReview, which are answered.

pub mod kinds;

use sdk_plugin::{Plugin, Subject, Tables};
use serde_json::{Value, json};

/// The plugin that serves `authentication.k8s.io`.
pub struct Authentication;

impl Plugin for Authentication {
    fn name(&self) -> &'static str {
        "authentication"
    }

    fn register(&self, tables: &mut Tables) {
        kinds::register(tables);
    }
}

/// A user as the API writes it; empty fields are left out.
fn user_info(user: &Subject) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

#[cfg(test)]
mod tests;
