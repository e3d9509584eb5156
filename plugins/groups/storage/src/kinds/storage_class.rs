//! `StorageClass`: how volumes of a class are made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::core::v1::TopologySelectorTerm;
use sdk_api::k8s_openapi::api::storage::v1::StorageClass;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

use super::drivers;

/// Marks the class that claims without one get.
pub const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const IS_DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";

const COLUMNS: &[Column] = &[
    Column { cell: sdk_plugin::Cell::Compute(shown_name), ..Column::NAME },
    Column::path("Provisioner", ".provisioner").describe("provisioner indicates the type of the provisioner."),
    Column::compute("ReclaimPolicy", |class, _| class["reclaimPolicy"].as_str().unwrap_or("Delete").into()),
    Column::compute("VolumeBindingMode", |class, _| class["volumeBindingMode"].as_str().unwrap_or("Immediate").into()),
    Column::compute("AllowVolumeExpansion", |class, _| class["allowVolumeExpansion"].as_bool().unwrap_or(false).into()),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(StorageClassStrategy).short_names(&["sc"]).columns(COLUMNS).delete_answers_object()
}

fn shown_name(class: &Value, _now: Timestamp) -> Value {
    let name = class["metadata"]["name"].as_str().unwrap_or_default();
    let annotations = &class["metadata"]["annotations"];
    if annotations[IS_DEFAULT] == "true" || annotations[IS_DEFAULT_BETA] == "true" {
        return format!("{name} (default)").into();
    }
    name.into()
}

struct StorageClassStrategy;
impl Strategy for StorageClassStrategy {
    type Object = StorageClass;

    fn default(&self, class: &mut StorageClass) {
        class.reclaim_policy.get_or_insert_with(|| "Delete".into());
        class.volume_binding_mode.get_or_insert_with(|| "Immediate".into());
    }

    fn validate(&self, new: &StorageClass, old: Option<&StorageClass>) -> Violations {
        let mut found = Violations::default();
        drivers::provisioner(&mut found, "provisioner", &new.provisioner);
        drivers::parameters(&mut found, new.parameters.as_ref(), false);
        match new.reclaim_policy.as_deref() {
            None | Some("Delete" | "Retain") => {}
            Some(other) => found.not_supported("reclaimPolicy", other, &["Delete", "Retain"]),
        }
        match new.volume_binding_mode.as_deref() {
            None => found.required("volumeBindingMode", ""),
            Some("Immediate" | "WaitForFirstConsumer") => {}
            Some(other) => found.not_supported("volumeBindingMode", other, &["Immediate", "WaitForFirstConsumer"]),
        }
        topologies(&mut found, new.allowed_topologies.as_deref().unwrap_or_default());
        if let Some(old) = old {
            if new.parameters != old.parameters {
                found.forbidden("parameters", "updates to parameters are forbidden.");
            }
            if new.provisioner != old.provisioner {
                found.forbidden("provisioner", "updates to provisioner are forbidden.");
            }
            if new.reclaim_policy != old.reclaim_policy {
                found.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.");
            }
            checks::unchanged(&mut found, "volumeBindingMode", &new.volume_binding_mode, &old.volume_binding_mode);
        }
        found
    }
}

/// Where volumes may be: each key once in a term, each value once, and no term twice.
fn topologies(found: &mut Violations, terms: &[TopologySelectorTerm]) {
    let mut seen = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let field = format!("allowedTopologies[{at}].matchLabelExpressions");
        let mut keys = BTreeMap::new();
        for (at, requirement) in term.match_label_expressions.iter().flatten().enumerate() {
            let field = format!("{field}[{at}]");
            let (key, values) = (requirement.key.as_str(), &requirement.values);
            if values.is_empty() {
                found.required(format!("{field}.values"), "");
            }
            for (at, value) in values.iter().enumerate().filter(|(at, value)| values[..*at].contains(value)) {
                found.duplicate(format!("{field}.values[{at}]"), value.as_str());
            }
            each_invalid(found, format!("{field}.key"), key, names::qualified_name(key));
            if keys.insert(key, values.iter().collect::<BTreeSet<_>>()).is_some() {
                found.duplicate(format!("{field}.key"), key);
            }
        }
        if seen.contains(&keys) {
            found.duplicate(field, "");
        }
        seen.push(keys);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(mut body: Value) -> StorageClass {
        body["metadata"] = json!({"name": "c"});
        let mut class = serde_json::from_value(body).unwrap();
        StorageClassStrategy.default(&mut class);
        class
    }

    #[test]
    fn classes_are_checked_and_mostly_immutable() {
        let old = class(json!({"provisioner": "example.com/disk", "parameters": {"type": "ssd"}}));
        for (case, body, update, wrong) in [
            ("plain", json!({"provisioner": "example.com/disk"}), false, vec![]),
            ("no provisioner", json!({}), false, vec!["provisioner"]),
            ("a bad policy", json!({"provisioner": "p", "reclaimPolicy": "Recycle"}), false, vec!["reclaimPolicy"]),
            ("an empty key", json!({"provisioner": "p", "parameters": {"": "x"}}), false, vec!["parameters"]),
            (
                "too much to say",
                json!({"provisioner": "p", "parameters": {"a": "x".repeat(256 << 10)}}),
                false,
                vec!["parameters"],
            ),
            (
                "topologies",
                json!({"provisioner": "p", "allowedTopologies": [
                    {"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]},
                    {"matchLabelExpressions": [{"key": "zone", "values": ["b", "a"]}]},
                    {"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}, {"key": "zone", "values": []}]},
                ]}),
                false,
                vec![
                    "allowedTopologies[1].matchLabelExpressions",
                    "allowedTopologies[2].matchLabelExpressions[0].values[1]",
                    "allowedTopologies[2].matchLabelExpressions[1].values",
                    "allowedTopologies[2].matchLabelExpressions[1].key",
                ],
            ),
            ("a bad mode", json!({"provisioner": "p", "volumeBindingMode": "Never"}), false, vec!["volumeBindingMode"]),
            (
                "same again, now expandable",
                json!({"provisioner": "example.com/disk", "parameters": {"type": "ssd"}, "allowVolumeExpansion": true}),
                true,
                vec![],
            ),
            (
                "everything else",
                json!({"provisioner": "p", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"}),
                true,
                vec!["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"],
            ),
        ] {
            let found = StorageClassStrategy.validate(&class(body), update.then_some(&old));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
