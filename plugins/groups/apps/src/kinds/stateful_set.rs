//! `StatefulSet`: pods with an identity and claims of their own.

use sdk_api::k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Timestamp, Violations, checks, names};
use sdk_plugin::cells::number;
use sdk_plugin::kind::ScalePaths;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::json;

use super::template::{self, CONTAINERS, IMAGES};

const SCALE: ScalePaths = ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" };

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Ready", |set, _| {
        format!("{}/{}", number(&set["status"]["readyReplicas"]), number(&set["spec"]["replicas"])).into()
    })
    .describe("Number of the pod with ready state"),
    Column::AGE,
    CONTAINERS,
    IMAGES,
];

const MUTABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
     forbidden";

/// The row. The name becomes part of the pods' host names, so it must be a label.
pub fn kind() -> Kind {
    Kind::of(StatefulSetRules)
        .short_names(&["sts"])
        .categories(&["all"])
        .columns(COLUMNS)
        .name_rule(names::dns1123_label)
        .scale(SCALE)
        .status()
        .generation()
}

struct StatefulSetRules;
impl Strategy for StatefulSetRules {
    type Object = StatefulSet;

    fn default(&self, set: &mut StatefulSet) {
        let Some(spec) = &mut set.spec else { return };
        sdk_workload::template_defaults(&mut spec.template);
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        if spec.pod_management_policy.as_deref().is_none_or(str::is_empty) {
            spec.pod_management_policy = Some("OrderedReady".into());
        }
        let strategy = spec.update_strategy.get_or_insert_default();
        if strategy.type_.as_deref().is_none_or(str::is_empty) {
            strategy.type_ = Some("RollingUpdate".into());
            strategy.rolling_update.get_or_insert_default();
        }
        if strategy.type_.as_deref() == Some("RollingUpdate")
            && let Some(rolling) = &mut strategy.rolling_update
        {
            rolling.partition.get_or_insert(0);
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        }
        let retention = spec.persistent_volume_claim_retention_policy.get_or_insert_default();
        retention.when_deleted.get_or_insert_with(|| "Retain".into());
        retention.when_scaled.get_or_insert_with(|| "Retain".into());
        for claim in spec.volume_claim_templates.iter_mut().flatten() {
            sdk_workload::claim_spec_defaults(claim.spec.get_or_insert_default());
            claim.status.get_or_insert_default().phase.get_or_insert_with(|| "Pending".into());
        }
    }

    fn prepare_create(&self, new: &mut StatefulSet, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &StatefulSet, old: Option<&StatefulSet>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        validate_policies(&mut found, &spec);
        checks::not_negative(&mut found, "spec.replicas", spec.replicas);
        checks::not_negative(&mut found, "spec.minReadySeconds", spec.min_ready_seconds);
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start);
        checks::not_negative(&mut found, "spec.ordinals.start", start);
        template::selector(&mut found, &spec.selector, "statefulset");
        template::template(&mut found, &spec.selector, &spec.template, "StatefulSet");
        if let Some(before) = old.and_then(|old| old.spec.as_ref()) {
            let mutable = StatefulSetSpec {
                replicas: spec.replicas,
                ordinals: spec.ordinals.clone(),
                template: spec.template.clone(),
                update_strategy: spec.update_strategy.clone(),
                revision_history_limit: spec.revision_history_limit,
                persistent_volume_claim_retention_policy: spec.persistent_volume_claim_retention_policy.clone(),
                min_ready_seconds: spec.min_ready_seconds,
                ..before.clone()
            };
            if mutable != spec {
                found.forbidden("spec", MUTABLE);
            }
        }
        found
    }

    fn warnings(&self, new: &StatefulSet) -> Vec<String> {
        let Some(spec) = &new.spec else { return Vec::new() };
        let mut all = sdk_workload::template_warnings(&spec.template, "spec.template");
        if spec.revision_history_limit.is_some_and(|limit| limit < 0) {
            all.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                    .into(),
            );
        }
        all
    }

    fn validate_status(&self, new: &StatefulSet, old: &StatefulSet) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        template::counts(
            &mut found,
            &[
                ("replicas", Some(status.replicas.into())),
                ("readyReplicas", status.ready_replicas.map(i64::from)),
                ("availableReplicas", status.available_replicas.map(i64::from)),
                ("currentReplicas", status.current_replicas.map(i64::from)),
                ("updatedReplicas", status.updated_replicas.map(i64::from)),
                ("observedGeneration", status.observed_generation),
                ("collisionCount", status.collision_count.map(i64::from)),
            ],
        );
        template::parts_of(
            &mut found,
            ("status.replicas", Some(status.replicas)),
            &[
                ("readyReplicas", status.ready_replicas),
                ("currentReplicas", status.current_replicas),
                ("updatedReplicas", status.updated_replicas),
                ("availableReplicas", status.available_replicas),
            ],
        );
        let ready = ("status.readyReplicas", status.ready_replicas);
        template::parts_of(&mut found, ready, &[("availableReplicas", status.available_replicas)]);
        let before = old.status.as_ref().and_then(|status| status.collision_count);
        template::collisions(&mut found, status.collision_count, before);
        found
    }
}

fn validate_policies(found: &mut Violations, spec: &StatefulSetSpec) {
    match spec.pod_management_policy.as_deref().unwrap_or_default() {
        "OrderedReady" | "Parallel" => {}
        "" => found.required("spec.podManagementPolicy", ""),
        other => found.invalid("spec.podManagementPolicy", other, "must be 'OrderedReady' or 'Parallel'"),
    }
    const FIELD: &str = "spec.updateStrategy.rollingUpdate";
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("", _) => found.required("spec.updateStrategy", ""),
        ("OnDelete", Some(rolling)) => {
            found.invalid(FIELD, json!(rolling), "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("OnDelete", None) | ("RollingUpdate", None) => {}
        ("RollingUpdate", Some(rolling)) => {
            checks::not_negative(found, format!("{FIELD}.partition"), rolling.partition);
            if let Some(unavailable) = &rolling.max_unavailable {
                let field = format!("{FIELD}.maxUnavailable");
                checks::int_or_percent(found, &field, Some(unavailable));
                if checks::amount(Some(unavailable)) == 0 {
                    found.invalid(&field, checks::int_or_string_value(unavailable), "cannot be 0");
                }
                checks::at_most_100_percent(found, &field, Some(unavailable));
            }
        }
        _ => found.invalid("spec.updateStrategy", json!(strategy), "must be 'RollingUpdate' or 'OnDelete'"),
    }
    let retention = spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
    for (name, policy) in [("whenDeleted", &retention.when_deleted), ("whenScaled", &retention.when_scaled)] {
        if let Some(policy) = policy.as_deref().filter(|policy| !matches!(*policy, "Retain" | "Delete")) {
            let field = format!("spec.persistentVolumeClaimRetentionPolicy.{name}");
            found.not_supported(field, policy, &["Delete", "Retain"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kinds::template::samples;

    fn set(spec: Value) -> StatefulSet {
        let mut set = serde_json::from_value(json!({"metadata": {"name": "db"}, "spec": spec})).unwrap();
        StatefulSetRules.default(&mut set);
        set
    }

    #[test]
    fn defaults_are_upstreams() {
        let claim = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
        let spec = set(samples::spec(&[("volumeClaimTemplates", claim)])).spec.unwrap();
        let spec = serde_json::to_value(spec).unwrap();
        for (field, value) in [
            ("replicas", json!(1)),
            ("revisionHistoryLimit", json!(10)),
            ("podManagementPolicy", json!("OrderedReady")),
            (
                "updateStrategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}),
            ),
            ("persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Retain", "whenScaled": "Retain"})),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
        let claim = &spec["volumeClaimTemplates"][0];
        assert_eq!(claim["spec"]["volumeMode"], "Filesystem");
        assert_eq!(claim["status"]["phase"], "Pending");
        assert_eq!(claim["kind"], "PersistentVolumeClaim");
    }

    #[test]
    fn specs_are_checked() {
        for (case, changes, wrong) in [
            ("plain", vec![], vec![]),
            ("an unknown policy", vec![("podManagementPolicy", json!("Chaos"))], vec!["spec.podManagementPolicy"]),
            ("an unknown strategy", vec![("updateStrategy", json!({"type": "Hope"}))], vec!["spec.updateStrategy"]),
            (
                "a partition on deletion",
                vec![("updateStrategy", json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}))],
                vec!["spec.updateStrategy.rollingUpdate"],
            ),
            (
                "a negative partition",
                vec![("updateStrategy", json!({"rollingUpdate": {"partition": -1}}))],
                vec!["spec.updateStrategy.rollingUpdate.partition"],
            ),
            ("a history without end", vec![("revisionHistoryLimit", json!(-1))], vec![]),
            ("a negative start", vec![("ordinals", json!({"start": -1}))], vec!["spec.ordinals.start"]),
            (
                "an unknown retention",
                vec![("persistentVolumeClaimRetentionPolicy", json!({"whenScaled": "Burn"}))],
                vec!["spec.persistentVolumeClaimRetentionPolicy.whenScaled"],
            ),
        ] {
            let found = StatefulSetRules.validate(&set(samples::spec(&changes)), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }

    #[test]
    fn little_of_the_spec_may_change() {
        let old = set(samples::spec(&[]));
        let image = json!([{"name": "web", "image": "web:2"}]);
        for (case, changes, wrong) in [
            ("a new image, more replicas", vec![("replicas", json!(3)), ("template.spec.containers", image)], vec![]),
            ("another service", vec![("serviceName", json!("db"))], vec!["spec"]),
            ("another policy", vec![("podManagementPolicy", json!("Parallel"))], vec!["spec"]),
        ] {
            let found = StatefulSetRules.validate(&set(samples::spec(&changes)), Some(&old));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
