//! `CSIDriver`: what a volume driver can do.

use sdk_api::k8s_openapi::api::storage::v1::{CSIDriver, TokenRequest};
use sdk_api::{Violations, checks};
use sdk_plugin::cells::{UNSET, strings};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const FS_GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const MODES: [&str; 2] = ["Ephemeral", "Persistent"];

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
    Kind::of(CsiDriverStrategy).columns(COLUMNS).delete_answers_object().generation().revision_required()
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
        let spec = &new.spec;
        if let Some(policy) = spec.fs_group_policy.as_deref().filter(|policy| !FS_GROUP_POLICIES.contains(policy)) {
            found.not_supported("spec.fsGroupPolicy", policy, &FS_GROUP_POLICIES);
        }
        token_requests(&mut found, spec.token_requests.as_deref().unwrap_or_default());
        for mode in spec.volume_lifecycle_modes.iter().flatten().filter(|mode| !MODES.contains(&mode.as_str())) {
            found.not_supported("spec.volumeLifecycleModes", mode.as_str(), &MODES);
        }
        if let Some(seconds) = spec.node_allocatable_update_period_seconds.filter(|seconds| *seconds < 10) {
            let why = "must be greater than or equal to 10 seconds";
            found.invalid("spec.nodeAllocatableUpdatePeriodSeconds", seconds, why);
        }
        if let Some(old) = old {
            let (new, old) = (&new.spec, &old.spec);
            // The path is upstream's.
            checks::unchanged(&mut found, "spec.attachedRequired", &new.attach_required, &old.attach_required);
            let (new, old) = (&new.volume_lifecycle_modes, &old.volume_lifecycle_modes);
            checks::unchanged(&mut found, "spec.volumeLifecycleModes", new, old);
        }
        found
    }
}

/// Tokens that a driver wants of its pods, one an audience.
fn token_requests(found: &mut Violations, requests: &[TokenRequest]) {
    for (at, request) in requests.iter().enumerate() {
        let field = format!("spec.tokenRequests[{at}]");
        if requests[..at].iter().any(|earlier| earlier.audience == request.audience) {
            found.duplicate(format!("{field}.audience"), request.audience.as_str());
            continue;
        }
        let why = match request.expiration_seconds {
            Some(seconds) if seconds < 600 => "may not specify a duration less than 10 minutes",
            Some(seconds) if seconds > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        found.invalid(format!("{field}.expirationSeconds"), request.expiration_seconds.unwrap_or(0), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn driver(spec: Value) -> CSIDriver {
        let mut driver = serde_json::from_value(json!({"metadata": {"name": "d.io"}, "spec": spec})).unwrap();
        CsiDriverStrategy.default(&mut driver);
        driver
    }

    #[test]
    fn drivers_are_checked() {
        for (case, spec, wrong) in [
            ("plain", json!({}), vec![]),
            ("an unknown mode", json!({"volumeLifecycleModes": ["Forever"]}), vec!["spec.volumeLifecycleModes"]),
            ("an unknown policy", json!({"fsGroupPolicy": "Maybe"}), vec!["spec.fsGroupPolicy"]),
            (
                "asked too often",
                json!({"nodeAllocatableUpdatePeriodSeconds": 9}),
                vec!["spec.nodeAllocatableUpdatePeriodSeconds"],
            ),
            (
                "tokens",
                json!({"tokenRequests": [
                    {"audience": "a", "expirationSeconds": 599}, {"audience": "a"},
                    {"audience": "b", "expirationSeconds": 4_294_967_297_i64}, {"audience": ""},
                ]}),
                vec![
                    "spec.tokenRequests[0].expirationSeconds",
                    "spec.tokenRequests[1].audience",
                    "spec.tokenRequests[2].expirationSeconds",
                ],
            ),
        ] {
            assert_eq!(CsiDriverStrategy.validate(&driver(spec), None).fields(), wrong, "{case}");
        }
        let changed = driver(json!({"attachRequired": false, "volumeLifecycleModes": ["Ephemeral"]}));
        let found = CsiDriverStrategy.validate(&changed, Some(&driver(json!({}))));
        assert_eq!(found.fields(), ["spec.attachedRequired", "spec.volumeLifecycleModes"]);
    }
}
