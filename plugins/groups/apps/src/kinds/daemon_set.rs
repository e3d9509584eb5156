//! `DaemonSet`: one pod on every node.

use sdk_api::k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetUpdateStrategy};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::{Column, Kind, Strategy, cells};
use serde_json::json;

use super::template::{self, CONTAINERS, IMAGES, SELECTOR};

/// Counts changes of the template. The field it stood for is gone from the API; clients still read the annotation.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::integer("Desired", ".status.desiredNumberScheduled"),
    Column::integer("Current", ".status.currentNumberScheduled"),
    Column::integer("Ready", ".status.numberReady"),
    Column::integer("Up-to-date", ".status.updatedNumberScheduled"),
    Column::integer("Available", ".status.numberAvailable"),
    Column::compute("Node Selector", |set, _| {
        cells::labels_text(&set["spec"]["template"]["spec"]["nodeSelector"]).into()
    }),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(DaemonSetRules).short_names(&["ds"]).categories(&["all"]).columns(COLUMNS).status().generation()
}

struct DaemonSetRules;
impl Strategy for DaemonSetRules {
    type Object = DaemonSet;

    fn default(&self, set: &mut DaemonSet) {
        let Some(spec) = &mut set.spec else { return };
        sdk_workload::template_defaults(&mut spec.template);
        spec.revision_history_limit.get_or_insert(10);
        let strategy = spec.update_strategy.get_or_insert_default();
        if strategy.type_.as_deref().is_none_or(str::is_empty) {
            strategy.type_ = Some("RollingUpdate".into());
        }
        if strategy.type_.as_deref() == Some("RollingUpdate") {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
            rolling.max_surge.get_or_insert(IntOrString::Int(0));
        }
    }

    fn prepare_create(&self, new: &mut DaemonSet, _now: Timestamp) {
        new.status = None;
        count_template(new, 1);
    }

    fn prepare_update(&self, new: &mut DaemonSet, old: &DaemonSet, _now: Timestamp) {
        let template = |set: &DaemonSet| set.spec.as_ref().map(|spec| spec.template.clone());
        let annotations = old.metadata.annotations.as_ref();
        let before: i64 = annotations.and_then(|a| a.get(TEMPLATE_GENERATION)?.parse().ok()).unwrap_or(0);
        count_template(new, before.saturating_add(i64::from(template(new) != template(old))).max(1));
    }

    fn validate(&self, new: &DaemonSet, old: Option<&DaemonSet>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        template::selector(&mut found, &spec.selector, "daemonset");
        template::template(&mut found, &spec.selector, &spec.template, "DaemonSet");
        let before = old.and_then(|old| old.spec.as_ref()).map(|spec| &spec.template);
        template::read_only_disks(&mut found, &spec.template, before);
        checks::not_negative(&mut found, "spec.minReadySeconds", spec.min_ready_seconds);
        validate_strategy(&mut found, &spec.update_strategy.unwrap_or_default());
        checks::not_negative(&mut found, "spec.revisionHistoryLimit", spec.revision_history_limit);
        if let Some(before) = old.and_then(|old| old.spec.as_ref()) {
            checks::unchanged(&mut found, "spec.selector", &spec.selector, &before.selector);
        }
        found
    }

    fn warnings(&self, new: &DaemonSet) -> Vec<String> {
        let spec = new.spec.iter();
        spec.flat_map(|spec| sdk_workload::template_warnings(&spec.template, "spec.template")).collect()
    }

    fn validate_status(&self, new: &DaemonSet, old: &DaemonSet) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        template::counts(
            &mut found,
            &[
                ("currentNumberScheduled", Some(status.current_number_scheduled.into())),
                ("numberMisscheduled", Some(status.number_misscheduled.into())),
                ("desiredNumberScheduled", Some(status.desired_number_scheduled.into())),
                ("numberReady", Some(status.number_ready.into())),
                ("observedGeneration", status.observed_generation),
                ("updatedNumberScheduled", status.updated_number_scheduled.map(i64::from)),
                ("numberAvailable", status.number_available.map(i64::from)),
                ("numberUnavailable", status.number_unavailable.map(i64::from)),
                ("collisionCount", status.collision_count.map(i64::from)),
            ],
        );
        let before = old.status.as_ref().and_then(|status| status.collision_count);
        template::collisions(&mut found, status.collision_count, before);
        found
    }
}

fn count_template(set: &mut DaemonSet, count: i64) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_GENERATION.into(), count.to_string());
}

fn validate_strategy(found: &mut Violations, strategy: &DaemonSetUpdateStrategy) {
    const FIELD: &str = "spec.updateStrategy.rollingUpdate";
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => found.required(FIELD, ""),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref());
            for (name, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
                checks::int_or_percent(found, format!("{FIELD}.{name}"), value);
                checks::at_most_100_percent(found, format!("{FIELD}.{name}"), value);
            }
            match (checks::amount(unavailable) != 0, checks::amount(surge) != 0) {
                (true, true) => {
                    let value = surge.map_or_else(|| json!(0), checks::int_or_string_value);
                    found.invalid(format!("{FIELD}.maxSurge"), value, "may not be set when maxUnavailable is non-zero");
                }
                (false, false) => {
                    found.required(format!("{FIELD}.maxUnavailable"), "cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        _ => found.not_supported("spec.updateStrategy", json!(strategy), &["OnDelete", "RollingUpdate"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kinds::template::samples;

    fn set(spec: Value) -> DaemonSet {
        let mut set = serde_json::from_value(json!({"metadata": {"name": "agent"}, "spec": spec})).unwrap();
        DaemonSetRules.default(&mut set);
        set
    }

    #[test]
    fn specs_are_checked() {
        let rolling = |surge: Value, unavailable: Value| {
            vec![("updateStrategy", json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}))]
        };
        for (case, changes, wrong) in [
            ("plain", vec![], vec![]),
            ("on deletion", vec![("updateStrategy", json!({"type": "OnDelete"}))], vec![]),
            ("both ways", rolling(json!(1), json!(1)), vec!["spec.updateStrategy.rollingUpdate.maxSurge"]),
            ("neither way", rolling(json!(0), json!(0)), vec!["spec.updateStrategy.rollingUpdate.maxUnavailable"]),
            ("another way", vec![("updateStrategy", json!({"type": "Hope"}))], vec!["spec.updateStrategy"]),
            ("no selector", vec![("selector", json!(null))], vec!["spec.selector", "spec.template.metadata.labels"]),
        ] {
            let found = DaemonSetRules.validate(&set(samples::spec(&changes)), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn the_template_is_counted() {
        let now = Timestamp::UNIX_EPOCH;
        let count = |set: &DaemonSet| set.metadata.annotations.as_ref().unwrap()[TEMPLATE_GENERATION].clone();
        let mut first = set(samples::spec(&[]));
        DaemonSetRules.prepare_create(&mut first, now);
        assert_eq!(count(&first), "1");
        let mut same = set(samples::spec(&[("minReadySeconds", json!(3))]));
        DaemonSetRules.prepare_update(&mut same, &first, now);
        assert_eq!(count(&same), "1");
        let mut other = set(samples::spec(&[("template.metadata.labels.extra", json!("x"))]));
        DaemonSetRules.prepare_update(&mut other, &same, now);
        assert_eq!(count(&other), "2");
    }
}
