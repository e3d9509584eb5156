//! `VolumeAttributesClass`: attributes of volumes that can change while they are in use.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::storage::v1::VolumeAttributesClass;
use sdk_plugin::{Column, Kind, Strategy};

use super::drivers;

const COLUMNS: &[Column] = &[Column::NAME, Column::path("DriverName", ".driverName"), Column::AGE];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeAttributesClassStrategy).short_names(&["vac"]).columns(COLUMNS).delete_answers_object()
}

struct VolumeAttributesClassStrategy;
impl Strategy for VolumeAttributesClassStrategy {
    type Object = VolumeAttributesClass;

    fn validate(&self, new: &VolumeAttributesClass, old: Option<&VolumeAttributesClass>) -> Violations {
        let mut found = Violations::default();
        if let Some(old) = old {
            if new.driver_name != old.driver_name {
                found.forbidden("driverName", "updates to driverName are forbidden.");
            }
            if new.parameters != old.parameters {
                found.forbidden("parameters", "updates to parameters are forbidden.");
            }
        }
        drivers::provisioner(&mut found, "driverName", &new.driver_name);
        drivers::parameters(&mut found, new.parameters.as_ref(), true);
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_do_not_change() {
        let class = |driver: &str, parameters: serde_json::Value| -> VolumeAttributesClass {
            let body = json!({"metadata": {"name": "c"}, "driverName": driver, "parameters": parameters});
            serde_json::from_value(body).unwrap()
        };
        let old = class("d.io", json!({"iops": "5"}));
        for (case, new, old, wrong) in [
            ("plain", class("d.io", json!({"iops": "5"})), None, vec![]),
            ("nothing", class("", json!({})), None, vec!["driverName", "parameters"]),
            ("the same", class("d.io", json!({"iops": "5"})), Some(&old), vec![]),
            ("another", class("e.io", json!({"iops": "6"})), Some(&old), vec!["driverName", "parameters"]),
        ] {
            assert_eq!(VolumeAttributesClassStrategy.validate(&new, old).fields(), wrong, "{case}");
        }
    }
}
