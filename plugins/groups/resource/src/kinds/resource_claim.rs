//! `ResourceClaim`: the wish for devices, and what was given.

use sdk_api::k8s_openapi::api::resource::v1::ResourceClaim;
use sdk_api::{Violations, checks};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("State", |claim, _| state(claim).into())
        .describe("A summary of the current state (allocated, pending, reserved, etc.)."),
    Column::AGE,
];

fn state(claim: &Value) -> String {
    let mut states = Vec::new();
    if !claim["metadata"]["deletionTimestamp"].is_null() {
        states.push("deleted");
    }
    if claim["status"]["allocation"].is_null() {
        if claim["metadata"]["deletionTimestamp"].is_null() {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if claim["status"]["reservedFor"].as_array().is_some_and(|users| !users.is_empty()) {
            states.push("reserved");
        }
    }
    states.join(",")
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(ResourceClaimStrategy).columns(COLUMNS).status()
}

struct ResourceClaimStrategy;
impl Strategy for ResourceClaimStrategy {
    type Object = ResourceClaim;

    fn validate(&self, new: &ResourceClaim, old: Option<&ResourceClaim>) -> Violations {
        let mut found = Violations::default();
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec", &new.spec, &old.spec);
        }
        found
    }
}
