//! `VolumeAttributesClass`: attributes of volumes that can change while they are in use.

use sdk_api::k8s_openapi::api::storage::v1::VolumeAttributesClass;
use sdk_api::{Violations, checks};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[Column::NAME, Column::path("DriverName", ".driverName"), Column::AGE];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeAttributesClassStrategy).short_names(&["vac"]).columns(COLUMNS)
}

struct VolumeAttributesClassStrategy;
impl Strategy for VolumeAttributesClassStrategy {
    type Object = VolumeAttributesClass;

    fn validate(&self, new: &VolumeAttributesClass, old: Option<&VolumeAttributesClass>) -> Violations {
        let mut found = Violations::default();
        if new.driver_name.is_empty() {
            found.required("driverName", "");
        }
        if new.parameters.as_ref().is_none_or(|parameters| parameters.is_empty()) {
            found.required("parameters", "");
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "driverName", &new.driver_name, &old.driver_name);
            checks::unchanged(&mut found, "parameters", &new.parameters, &old.parameters);
        }
        found
    }
}
