//! `ControllerRevision`: an earlier state of a workload, kept for a rollback.

use sdk_api::k8s_openapi::api::apps::v1::ControllerRevision;
use sdk_api::{GroupVersion, Violations, checks};
use sdk_plugin::cells::{NONE, number};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::{Value, json};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Controller", |revision, _| controller(revision).into()).describe("Controller of the object"),
    Column::compute("Revision", |revision, _| number(&revision["revision"]).into())
        .describe("Revision indicates the revision of the state represented by Data."),
    Column::AGE,
];

fn controller(revision: &Value) -> String {
    let owners = revision["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner["controller"] == true) else { return NONE.into() };
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let group = GroupVersion::parse(text("apiVersion")).group;
    let kind = text("kind").to_lowercase();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", text("name"))
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(ControllerRevisionRules).columns(COLUMNS)
}

struct ControllerRevisionRules;
impl Strategy for ControllerRevisionRules {
    type Object = ControllerRevision;

    fn validate(&self, new: &ControllerRevision, old: Option<&ControllerRevision>) -> Violations {
        let mut found = Violations::default();
        if new.data.is_none() {
            found.required("data", "data is mandatory");
        }
        checks::not_negative(&mut found, "revision", Some(new.revision));
        if let Some(old) = old
            && new.data != old.data
        {
            found.invalid("data", json!(new.data), "field is immutable");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_kept_as_it_was() {
        let revision = |data: Value, number: i64| -> ControllerRevision {
            serde_json::from_value(json!({"metadata": {"name": "r"}, "data": data, "revision": number})).unwrap()
        };
        let old = revision(json!({"spec": 1}), 1);
        for (case, new, old, wrong) in [
            ("plain", revision(json!({"spec": 1}), 1), None, vec![]),
            ("no data", revision(Value::Null, 1), None, vec!["data"]),
            ("negative", revision(json!({}), -1), None, vec!["revision"]),
            ("a new number", revision(json!({"spec": 1}), 2), Some(&old), vec![]),
            ("new data", revision(json!({"spec": 2}), 1), Some(&old), vec!["data"]),
        ] {
            assert_eq!(ControllerRevisionRules.validate(&new, old).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn the_controller_is_shown_with_its_kind() {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true}]);
        assert_eq!(controller(&json!({"metadata": {"ownerReferences": owner}})), "statefulset.apps/db");
        assert_eq!(controller(&json!({})), "<none>");
    }
}
