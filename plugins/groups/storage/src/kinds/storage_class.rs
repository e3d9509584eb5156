//! `StorageClass`: how volumes of a class are made.

use jiff::Timestamp;
use sdk_api::k8s_openapi::api::storage::v1::StorageClass;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

/// Marks the class that claims without one get.
pub const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const IS_DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";

const COLUMNS: &[Column] = &[
    Column { cell: sdk_plugin::Cell::Compute(shown_name), ..Column::NAME },
    Column::path("Provisioner", ".provisioner").describe("provisioner indicates the type of the provisioner."),
    Column::compute("ReclaimPolicy", |class, _| class["reclaimPolicy"].as_str().unwrap_or("Delete").into()),
    Column::compute("VolumeBindingMode", |class, _| class["volumeBindingMode"].as_str().unwrap_or("Immediate").into()),
    Column::compute("AllowVolumeExpansion", |class, _| class["allowVolumeExpansion"].as_bool().unwrap_or(false).into())
        .typed("boolean"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(StorageClassStrategy).short_names(&["sc"]).columns(COLUMNS)
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
        if new.provisioner.is_empty() {
            found.required("provisioner", "");
        }
        for problem in names::qualified_name(&new.provisioner.to_lowercase()) {
            if !new.provisioner.is_empty() {
                found.invalid("provisioner", new.provisioner.as_str(), problem);
            }
        }
        if new.parameters.iter().flatten().any(|(key, _)| key.is_empty()) {
            found.invalid("parameters", "", "field can not be empty.");
        }
        match new.reclaim_policy.as_deref() {
            None | Some("Delete" | "Retain") => {}
            Some(other) => found.not_supported("reclaimPolicy", other, &["Delete", "Retain"]),
        }
        match new.volume_binding_mode.as_deref() {
            None => found.required("volumeBindingMode", ""),
            Some("Immediate" | "WaitForFirstConsumer") => {}
            Some(other) => found.not_supported("volumeBindingMode", other, &["Immediate", "WaitForFirstConsumer"]),
        }
        for (at, term) in new.allowed_topologies.iter().flatten().enumerate() {
            for (e, requirement) in term.match_label_expressions.iter().flatten().enumerate() {
                let field = format!("allowedTopologies[{at}].matchLabelExpressions[{e}]");
                if requirement.values.is_empty() {
                    found.required(format!("{field}.values"), "");
                }
                for problem in names::qualified_name(&requirement.key) {
                    found.invalid(format!("{field}.key"), requirement.key.as_str(), problem);
                }
            }
        }
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
