//! `ReplicaSet`: a number of pods of one template.

use sdk_api::k8s_openapi::api::apps::v1::ReplicaSet;
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::kind::ScalePaths;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};

use super::template::{self, CONTAINERS, IMAGES, SELECTOR};

const SCALE: ScalePaths = ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" };

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::integer("Desired", ".spec.replicas"),
    Column::integer("Current", ".status.replicas"),
    Column::integer("Ready", ".status.readyReplicas"),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const FIELDS: &[FieldOf] = &[FieldOf {
    name: "status.replicas",
    value: |set| sdk_plugin::cells::number(&set["status"]["replicas"]).to_string().into(),
}];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ReplicaSetRules)
        .short_names(&["rs"])
        .categories(&["all"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .scale(SCALE)
        .status()
        .generation()
}

struct ReplicaSetRules;
impl Strategy for ReplicaSetRules {
    type Object = ReplicaSet;

    fn default(&self, set: &mut ReplicaSet) {
        let Some(spec) = &mut set.spec else { return };
        spec.replicas.get_or_insert(1);
        if let Some(template) = &mut spec.template {
            sdk_workload::template_defaults(template);
        }
    }

    fn prepare_create(&self, new: &mut ReplicaSet, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &ReplicaSet, old: Option<&ReplicaSet>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        checks::not_negative(&mut found, "spec.replicas", spec.replicas);
        checks::not_negative(&mut found, "spec.minReadySeconds", spec.min_ready_seconds);
        template::selector(&mut found, &spec.selector, "deployment");
        let pods = spec.template.unwrap_or_default();
        template::template(&mut found, &spec.selector, &pods, "ReplicaSet");
        if spec.replicas.is_some_and(|replicas| replicas > 1) {
            let before = old.and_then(|old| old.spec.as_ref()?.template.as_ref());
            template::read_only_disks(&mut found, &pods, before);
        }
        if let Some(before) = old.and_then(|old| old.spec.as_ref()) {
            checks::unchanged(&mut found, "spec.selector", &spec.selector, &before.selector);
        }
        found
    }

    fn warnings(&self, new: &ReplicaSet) -> Vec<String> {
        let template = new.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let mut all = sdk_workload::name_warnings(&new.metadata);
        all.extend(template.into_iter().flat_map(|pods| sdk_workload::template_warnings(pods, "spec.template")));
        all
    }

    fn validate_status(&self, new: &ReplicaSet, _old: &ReplicaSet) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        template::counts(
            &mut found,
            &[
                ("replicas", Some(status.replicas.into())),
                ("fullyLabeledReplicas", status.fully_labeled_replicas.map(i64::from)),
                ("readyReplicas", status.ready_replicas.map(i64::from)),
                ("availableReplicas", status.available_replicas.map(i64::from)),
                ("terminatingReplicas", status.terminating_replicas.map(i64::from)),
                ("observedGeneration", status.observed_generation),
            ],
        );
        template::parts_of(
            &mut found,
            ("status.replicas", Some(status.replicas)),
            &[
                ("fullyLabeledReplicas", status.fully_labeled_replicas),
                ("readyReplicas", status.ready_replicas),
                ("availableReplicas", status.available_replicas),
            ],
        );
        let ready = ("readyReplicas", status.ready_replicas);
        template::parts_of(&mut found, ready, &[("availableReplicas", status.available_replicas)]);
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::template::samples;

    fn set(spec: Value) -> ReplicaSet {
        let mut set = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
        ReplicaSetRules.default(&mut set);
        set
    }

    #[test]
    fn specs_are_checked() {
        for (case, changes, wrong) in [
            ("plain", vec![], vec![]),
            ("negative replicas", vec![("replicas", json!(-1))], vec!["spec.replicas"]),
            ("negative readiness", vec![("minReadySeconds", json!(-1))], vec!["spec.minReadySeconds"]),
            (
                "labels that do not match",
                vec![("template.metadata", json!({"labels": {"app": "db"}}))],
                vec!["spec.template.metadata.labels"],
            ),
            ("no labels", vec![("template.metadata", Value::Null)], vec!["spec.template.metadata.labels"]),
        ] {
            let found = ReplicaSetRules.validate(&set(samples::spec(&changes)), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
        assert_eq!(set(samples::spec(&[])).spec.unwrap().replicas, Some(1));
    }
}
