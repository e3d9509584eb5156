//! `ResourceClaim`: the wish for devices, and what was given.

pub mod spec;
mod status;

use sdk_api::k8s_openapi::api::resource::v1::ResourceClaim;
use sdk_api::{Status, Timestamp, Violations, checks};
use sdk_plugin::{Column, Kind, Part, PartOf, Strategy};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("State", |claim, _| state(claim).into())
        .describe("A summary of the current state (allocated, pending, reserved, etc.)."),
    Column::AGE,
];

fn state(claim: &Value) -> String {
    let mut states = Vec::new();
    let deleted = !claim["metadata"]["deletionTimestamp"].is_null();
    if deleted {
        states.push("deleted");
    }
    if !claim["status"]["allocation"].is_null() {
        states.push("allocated");
        if claim["status"]["reservedFor"].as_array().is_some_and(|users| !users.is_empty()) {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    states.join(",")
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(ResourceClaimStrategy).columns(COLUMNS).delete_answers_object().part("status", Given)
}

/// What was given. A device that is taken back loses its status.
struct Given;
impl Part for Given {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let old = object.clone();
        PartOf { fields: &["status"], metadata: true }.write(object, new)?;
        status::drop_deallocated(object, &old);
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        PartOf { fields: &["status"], metadata: true }.writes()
    }
}

struct ResourceClaimStrategy;
impl Strategy for ResourceClaimStrategy {
    type Object = ResourceClaim;

    fn default(&self, claim: &mut ResourceClaim) {
        spec::default(&mut claim.spec);
    }

    fn prepare_create(&self, new: &mut ResourceClaim, _now: Timestamp) {
        new.status = None;
    }

    /// A spec does not change, so it is not checked again.
    fn validate(&self, new: &ResourceClaim, old: Option<&ResourceClaim>) -> Violations {
        let mut found = Violations::default();
        match old {
            None => spec::validate(&mut found, "spec", &new.spec),
            Some(old) => checks::unchanged(&mut found, "spec", &new.spec, &old.spec),
        }
        found
    }

    fn validate_status(&self, new: &ResourceClaim, old: &ResourceClaim) -> Violations {
        let mut found = Violations::default();
        status::validate(&mut found, new, old);
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_listed() {
        let gone = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        for (metadata, status, text) in [
            (json!({}), json!({}), "pending"),
            (json!({}), json!({"allocation": {}}), "allocated"),
            (json!({}), json!({"allocation": {}, "reservedFor": [{}]}), "allocated,reserved"),
            (gone.clone(), json!({}), "deleted"),
            (gone, json!({"allocation": {}}), "deleted,allocated"),
        ] {
            assert_eq!(state(&json!({"metadata": metadata, "status": status})), text);
        }
    }

    #[test]
    fn a_spec_stays() {
        let claim = |class: &str| -> ResourceClaim {
            let exactly = json!({"deviceClassName": class});
            let spec = json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}});
            let mut claim = serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
            ResourceClaimStrategy.default(&mut claim);
            claim
        };
        assert!(ResourceClaimStrategy.validate(&claim("a"), None).is_empty());
        assert!(ResourceClaimStrategy.validate(&claim("a"), Some(&claim("a"))).is_empty());
        assert_eq!(ResourceClaimStrategy.validate(&claim("b"), Some(&claim("a"))).fields(), ["spec"]);
    }
}
