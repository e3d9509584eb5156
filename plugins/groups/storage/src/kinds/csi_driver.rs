//! `CSIDriver`: what a volume driver can do.

use sdk_api::k8s_openapi::api::storage::v1::CSIDriver;
use sdk_api::{Violations, checks};
use sdk_plugin::cells::{UNSET, strings};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("AttachRequired", |driver, _| spec_bool(driver, "attachRequired", true)).typed("boolean"),
    Column::compute("PodInfoOnMount", |driver, _| spec_bool(driver, "podInfoOnMount", false)).typed("boolean"),
    Column::compute("StorageCapacity", |driver, _| spec_bool(driver, "storageCapacity", false)).typed("boolean"),
    Column::compute("TokenRequests", |driver, _| {
        listed(strings(&driver["spec"]["tokenRequests"], "audience").collect())
    }),
    Column::compute("RequiresRepublish", |driver, _| spec_bool(driver, "requiresRepublish", false)).typed("boolean"),
    Column::compute("Modes", |driver, _| listed(strings(&driver["spec"]["volumeLifecycleModes"], "").collect())),
    Column::AGE,
];

fn spec_bool(driver: &Value, field: &str, default: bool) -> Value {
    driver["spec"][field].as_bool().unwrap_or(default).into()
}

fn listed(items: Vec<&str>) -> Value {
    if items.is_empty() { UNSET.into() } else { items.join(",").into() }
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(CsiDriverStrategy).columns(COLUMNS).generation().revision_required()
}

struct CsiDriverStrategy;
impl Strategy for CsiDriverStrategy {
    type Object = CSIDriver;

    fn default(&self, driver: &mut CSIDriver) {
        let spec = &mut driver.spec;
        spec.attach_required.get_or_insert(true);
        spec.pod_info_on_mount.get_or_insert(false);
        spec.storage_capacity.get_or_insert(false);
        spec.fs_group_policy.get_or_insert_with(|| "ReadWriteOnceWithFSType".into());
        if spec.volume_lifecycle_modes.as_ref().is_none_or(Vec::is_empty) {
            spec.volume_lifecycle_modes = Some(vec!["Persistent".into()]);
        }
        spec.requires_republish.get_or_insert(false);
        spec.se_linux_mount.get_or_insert(false);
    }

    fn validate(&self, new: &CSIDriver, old: Option<&CSIDriver>) -> Violations {
        let mut found = Violations::default();
        for (at, mode) in new.spec.volume_lifecycle_modes.iter().flatten().enumerate() {
            if !matches!(mode.as_str(), "Persistent" | "Ephemeral") {
                let field = format!("spec.volumeLifecycleModes[{at}]");
                found.not_supported(field, mode.as_str(), &["Ephemeral", "Persistent"]);
            }
        }
        if let Some(policy) = new.spec.fs_group_policy.as_deref()
            && !matches!(policy, "ReadWriteOnceWithFSType" | "File" | "None")
        {
            found.not_supported("spec.fsGroupPolicy", policy, &["ReadWriteOnceWithFSType", "File", "None"]);
        }
        if let Some(old) = old {
            let (new, old) = (&new.spec, &old.spec);
            checks::unchanged(&mut found, "spec.attachRequired", &new.attach_required, &old.attach_required);
            let (new, old) = (&new.volume_lifecycle_modes, &old.volume_lifecycle_modes);
            checks::unchanged(&mut found, "spec.volumeLifecycleModes", new, old);
        }
        found
    }
}
