//! `PriorityClass`: a name for a pod priority.

use sdk_api::k8s_openapi::api::scheduling::v1::PriorityClass;
use sdk_api::{Violations, checks};
use sdk_plugin::{Column, Kind, Strategy};

/// The highest value that users may give; what is above is the system's.
pub const USER_VALUE_MAX: i32 = 1_000_000_000;

const SYSTEM_PREFIX: &str = "system-";

/// The classes that exist in every cluster: name, value, description.
pub const SYSTEM_CLASSES: [(&str, i32, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::integer("Value", ".value"),
    Column::compute("Global-Default", |class, _| class["globalDefault"].as_bool().unwrap_or(false).into())
        .typed("boolean"),
    Column::AGE,
    Column::path("PreemptionPolicy", ".preemptionPolicy"),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(PriorityClassStrategy).short_names(&["pc"]).columns(COLUMNS).generation()
}

struct PriorityClassStrategy;
impl Strategy for PriorityClassStrategy {
    type Object = PriorityClass;

    fn default(&self, class: &mut PriorityClass) {
        class.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".into());
    }

    fn validate(&self, new: &PriorityClass, old: Option<&PriorityClass>) -> Violations {
        let mut found = Violations::default();
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let given = new.value.unwrap_or(0);
        if name.starts_with(SYSTEM_PREFIX) {
            if let Err(why) = as_the_system_has_it(name, given, new.global_default.unwrap_or(false)) {
                let why = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                found.forbidden("metadata.name", why);
            }
        } else if given > USER_VALUE_MAX {
            found.forbidden("value", format!("maximum allowed value of a user defined priority is {USER_VALUE_MAX}"));
        }
        match new.preemption_policy.as_deref() {
            None | Some("PreemptLowerPriority" | "Never") => {}
            Some("") => found.required("preemptionPolicy", ""),
            Some(other) => found.not_supported("preemptionPolicy", other, &["PreemptLowerPriority", "Never"]),
        }
        if let Some(old) = old {
            if new.value != old.value {
                found.forbidden("value", "may not be changed in an update.");
            }
            checks::unchanged(&mut found, "preemptionPolicy", &new.preemption_policy, &old.preemption_policy);
        }
        found
    }
}

/// A class under a name of the system must be the system's own.
fn as_the_system_has_it(name: &str, value: i32, is_default: bool) -> Result<(), String> {
    match SYSTEM_CLASSES.iter().find(|(known, _, _)| *known == name) {
        None => Err(format!("{name} is not a known system priority class")),
        Some((_, known, _)) if *known != value => Err(format!("value of {name} PriorityClass must be {known}")),
        Some(_) if is_default => Err(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_names_have_their_owners() {
        for (case, name, value, old, wrong) in [
            ("a user's", "high", 1000, None, vec![]),
            ("too high", "high", USER_VALUE_MAX + 1, None, vec!["value"]),
            ("a reserved name", "system-mine", 1, None, vec!["metadata.name"]),
            ("the system's", "system-node-critical", 2_000_001_000, None, vec![]),
            ("the system's, changed", "system-node-critical", 5, None, vec!["metadata.name"]),
            ("another value", "high", 2, Some(1), vec!["value"]),
        ] {
            let class = |value: i32| -> PriorityClass {
                serde_json::from_value(json!({"metadata": {"name": name}, "value": value})).unwrap()
            };
            let found = PriorityClassStrategy.validate(&class(value), old.map(class).as_ref());
            assert_eq!(found.fields(), wrong, "{case}");
        }
        for (name, value, is_default, why) in [
            ("system-mine", 1, false, "system-mine is not a known system priority class"),
            ("system-node-critical", 5, false, "value of system-node-critical PriorityClass must be 2000001000"),
            (
                "system-node-critical",
                2_000_001_000,
                true,
                "globalDefault of system-node-critical PriorityClass must be false",
            ),
        ] {
            assert_eq!(as_the_system_has_it(name, value, is_default), Err(why.into()));
        }
    }
}
