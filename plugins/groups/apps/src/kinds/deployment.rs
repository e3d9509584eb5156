//! `Deployment`: replicas of a template, and their orderly change.

use sdk_api::k8s_openapi::api::apps::v1::{Deployment, DeploymentStrategy, RollingUpdateDeployment};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::cells::number;
use sdk_plugin::kind::ScalePaths;
use sdk_plugin::{Column, Kind, Part, PartOf, Strategy};
use serde_json::{Value, json};

use super::template::{self, CONTAINERS, IMAGES, SELECTOR};

const SCALE: ScalePaths = ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" };

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Ready", |deployment, _| {
        let (spec, status) = (&deployment["spec"], &deployment["status"]);
        format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])).into()
    })
    .describe("Number of the pod with ready state"),
    Column::compute("Up-to-date", |deployment, _| number(&deployment["status"]["updatedReplicas"]).into()),
    Column::compute("Available", |deployment, _| number(&deployment["status"]["availableReplicas"]).into()),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(DeploymentRules)
        .short_names(&["deploy"])
        .categories(&["all"])
        .columns(COLUMNS)
        .scale(SCALE)
        .part("status", Status)
        .generation()
}

/// Controllers write the status and metadata, but for the labels.
struct Status;
impl Part for Status {
    fn read(&self, object: &Value) -> Result<Value, sdk_api::Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), sdk_api::Status> {
        let labels = object["metadata"].get("labels").cloned();
        PartOf { fields: &["status"], metadata: true }.write(object, new)?;
        match (labels, object["metadata"].as_object_mut()) {
            (Some(labels), Some(metadata)) => drop(metadata.insert("labels".into(), labels)),
            (None, Some(metadata)) => drop(metadata.remove("labels")),
            (_, None) => {}
        }
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        let all = PartOf { fields: &["status"], metadata: true }.writes();
        all.into_iter().filter(|path| path != "metadata.labels").collect()
    }
}

struct DeploymentRules;
impl Strategy for DeploymentRules {
    type Object = Deployment;

    fn default(&self, deployment: &mut Deployment) {
        let spec = deployment.spec.get_or_insert_default();
        sdk_workload::template_defaults(&mut spec.template);
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        spec.progress_deadline_seconds.get_or_insert(600);
        let strategy = spec.strategy.get_or_insert_default();
        if strategy.type_.as_deref().is_none_or(str::is_empty) {
            strategy.type_ = Some("RollingUpdate".into());
        }
        if strategy.type_.as_deref() == Some("RollingUpdate") {
            let rolling = strategy.rolling_update.get_or_insert_default();
            let quarter = || IntOrString::String("25%".into());
            rolling.max_surge.get_or_insert_with(quarter);
            rolling.max_unavailable.get_or_insert_with(quarter);
        }
    }

    fn prepare_create(&self, new: &mut Deployment, _now: Timestamp) {
        new.status = None;
    }

    /// New annotations count as a generation, since some of them, such as the change cause, are carried to ReplicaSets.
    fn prepare_update(&self, new: &mut Deployment, old: &Deployment, _now: Timestamp) {
        let annotations = |deployment: &Deployment| deployment.metadata.annotations.clone().unwrap_or_default();
        if new.spec == old.spec && annotations(new) != annotations(old) {
            new.metadata.generation = Some(old.metadata.generation.unwrap_or(0) + 1);
        }
    }

    fn validate(&self, new: &Deployment, old: Option<&Deployment>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        checks::not_negative(&mut found, "spec.replicas", spec.replicas);
        template::selector(&mut found, &spec.selector, "deployment");
        template::template(&mut found, &spec.selector, &spec.template, "ReplicaSet");
        validate_strategy(&mut found, &spec.strategy.unwrap_or_default());
        checks::not_negative(&mut found, "spec.minReadySeconds", spec.min_ready_seconds);
        checks::not_negative(&mut found, "spec.revisionHistoryLimit", spec.revision_history_limit);
        checks::not_negative(&mut found, "spec.progressDeadlineSeconds", spec.progress_deadline_seconds);
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        if let Some(deadline) = spec.progress_deadline_seconds.filter(|deadline| *deadline <= min_ready) {
            found.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
        }
        if let Some(before) = old.and_then(|old| old.spec.as_ref()) {
            checks::unchanged(&mut found, "spec.selector", &spec.selector, &before.selector);
        }
        if spec.replicas.is_some_and(|replicas| replicas > 1) {
            let before = old.and_then(|old| old.spec.as_ref()).map(|spec| &spec.template);
            template::read_only_disks(&mut found, &spec.template, before);
        }
        found
    }

    fn warnings(&self, new: &Deployment) -> Vec<String> {
        let mut all = sdk_workload::name_warnings(&new.metadata);
        all.extend(new.spec.iter().flat_map(|spec| sdk_workload::template_warnings(&spec.template, "spec.template")));
        all
    }

    fn validate_status(&self, new: &Deployment, old: &Deployment) -> Violations {
        let mut found = Violations::default();
        let (status, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
        template::counts(
            &mut found,
            &[
                ("observedGeneration", status.observed_generation),
                ("replicas", status.replicas.map(i64::from)),
                ("updatedReplicas", status.updated_replicas.map(i64::from)),
                ("readyReplicas", status.ready_replicas.map(i64::from)),
                ("availableReplicas", status.available_replicas.map(i64::from)),
                ("unavailableReplicas", status.unavailable_replicas.map(i64::from)),
                ("terminatingReplicas", status.terminating_replicas.map(i64::from)),
                ("collisionCount", status.collision_count.map(i64::from)),
            ],
        );
        template::parts_of(
            &mut found,
            ("status.replicas", status.replicas),
            &[
                ("updatedReplicas", status.updated_replicas),
                ("readyReplicas", status.ready_replicas),
                ("availableReplicas", status.available_replicas),
            ],
        );
        let ready = ("readyReplicas", status.ready_replicas);
        template::parts_of(&mut found, ready, &[("availableReplicas", status.available_replicas)]);
        template::collisions(&mut found, status.collision_count, before.collision_count);
        found
    }
}

fn validate_strategy(found: &mut Violations, strategy: &DeploymentStrategy) {
    const FIELD: &str = "spec.strategy.rollingUpdate";
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("Recreate", Some(_)) => {
            found.forbidden(FIELD, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => found.required(FIELD, "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => validate_rolling_update(found, FIELD, rolling),
        _ => found.not_supported("spec.strategy", json!(strategy), &["Recreate", "RollingUpdate"]),
    }
}

fn validate_rolling_update(found: &mut Violations, field: &str, rolling: &RollingUpdateDeployment) {
    let (surge, unavailable) = (rolling.max_surge.as_ref(), rolling.max_unavailable.as_ref());
    let unavailable_field = format!("{field}.maxUnavailable");
    checks::int_or_percent(found, &unavailable_field, unavailable);
    checks::int_or_percent(found, format!("{field}.maxSurge"), surge);
    if checks::amount(unavailable) == 0 && checks::amount(surge) == 0 {
        let value = unavailable.map_or_else(|| json!(0), checks::int_or_string_value);
        found.invalid(&unavailable_field, value, "may not be 0 when `maxSurge` is 0");
    }
    checks::at_most_100_percent(found, &unavailable_field, unavailable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::template::samples;

    fn deployment(spec: Value) -> Deployment {
        let mut deployment = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
        DeploymentRules.default(&mut deployment);
        deployment
    }

    #[test]
    fn defaults_are_upstreams() {
        let spec = serde_json::to_value(deployment(samples::spec(&[])).spec).unwrap();
        for (field, value) in [
            ("replicas", json!(1)),
            ("revisionHistoryLimit", json!(10)),
            ("progressDeadlineSeconds", json!(600)),
            (
                "strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            ),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
        let recreate = deployment(samples::spec(&[("strategy", json!({"type": "Recreate"}))]));
        assert_eq!(recreate.spec.unwrap().strategy.unwrap().rolling_update, None);
    }

    #[test]
    fn a_missing_spec_is_one_with_defaults() {
        let mut deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "web"}})).unwrap();
        DeploymentRules.default(&mut deployment);
        assert_eq!(
            DeploymentRules.validate(&deployment, None).summary(),
            "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not \
             match template `labels`, spec.template.spec.containers: Required value]"
        );
    }

    #[test]
    fn specs_are_checked() {
        let rolling = |surge: Value, unavailable: Value| {
            let numbers = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            json!({"type": "RollingUpdate", "rollingUpdate": numbers})
        };
        for (case, changes, wrong) in [
            ("plain", vec![], ""),
            (
                "negative replicas",
                vec![("replicas", json!(-1))],
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "no selector",
                vec![("selector", Value::Null)],
                "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: \
                 `selector` does not match template `labels`]",
            ),
            (
                "an empty selector",
                vec![("selector", json!({"matchLabels": {}}))],
                "spec.selector: Invalid value: {\"matchLabels\":{}}: empty selector is invalid for deployment",
            ),
            (
                "another selector",
                vec![("selector", json!({"matchLabels": {"app": "db"}}))],
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template \
                 `labels`",
            ),
            (
                "an unknown strategy",
                vec![("strategy", json!({"type": "Hope"}))],
                "spec.strategy: Unsupported value: {\"type\":\"Hope\"}: supported values: \"Recreate\", \
                 \"RollingUpdate\"",
            ),
            (
                "recreate with numbers",
                vec![("strategy", json!({"type": "Recreate", "rollingUpdate": {}}))],
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                "no room to move",
                vec![("strategy", rolling(json!(0), json!("0%")))],
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ),
            (
                "more than all",
                vec![("strategy", rolling(json!(1), json!("101%")))],
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ),
            ("a surge of more than all", vec![("strategy", rolling(json!("200%"), json!(0)))], ""),
            (
                "a deadline before readiness",
                vec![("minReadySeconds", json!(600))],
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
            ),
            (
                "pods that end",
                vec![("template.spec.restartPolicy", json!("Never"))],
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                "pods with a deadline",
                vec![("template.spec.activeDeadlineSeconds", json!(5))],
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not \
                 Supported",
            ),
        ] {
            let found = DeploymentRules.validate(&deployment(samples::spec(&changes)), None);
            let summary = if found.is_empty() { String::new() } else { found.summary() };
            assert_eq!(summary, wrong, "{case}");
        }
    }

    #[test]
    fn the_selector_stays() {
        let old = deployment(samples::spec(&[]));
        let labels = json!({"app": "web", "tier": "front"});
        let changes = [("selector.matchLabels", labels.clone()), ("template.metadata.labels", labels)];
        let found = DeploymentRules.validate(&deployment(samples::spec(&changes)), Some(&old));
        assert_eq!(
            found.summary(),
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"tier\":\"front\"}}: field is immutable"
        );
        let scaled = deployment(samples::spec(&[("replicas", json!(5))]));
        assert!(DeploymentRules.validate(&scaled, Some(&old)).is_empty());
    }

    #[test]
    fn annotations_count_as_a_generation() {
        let with = |spec: Value, annotation: &str| -> Deployment {
            serde_json::from_value(json!({
                "metadata": {"name": "web", "generation": 4, "annotations": {"cause": annotation}}, "spec": spec,
            }))
            .unwrap()
        };
        let old = with(samples::spec(&[]), "a");
        let scaled = samples::spec(&[("replicas", json!(2))]);
        for (case, mut new, generation) in [
            ("the same", with(samples::spec(&[]), "a"), 4),
            ("an annotation", with(samples::spec(&[]), "b"), 5),
            // The registry counts changes of the spec.
            ("an annotation and the spec", with(scaled, "b"), 4),
        ] {
            DeploymentRules.prepare_update(&mut new, &old, Timestamp::UNIX_EPOCH);
            assert_eq!(new.metadata.generation, Some(generation), "{case}");
        }
    }

    #[test]
    fn the_status_leaves_labels_alone() {
        let mut stored = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1}});
        let new = json!({
            "metadata": {"labels": {"a": "2"}, "annotations": {"b": "c"}}, "spec": {"replicas": 9},
            "status": {"replicas": 1},
        });
        Status.write(&mut stored, &new).unwrap();
        let kept = json!({
            "metadata": {"labels": {"a": "1"}, "annotations": {"b": "c"}}, "spec": {"replicas": 1},
            "status": {"replicas": 1},
        });
        assert_eq!(stored, kept);
    }

    #[test]
    fn names_and_disks_that_several_pods_cannot_share() {
        let disk = |read_only: bool| {
            let volume = json!({"name": "d", "gcePersistentDisk": {"pdName": "d", "readOnly": read_only}});
            vec![("replicas", json!(2)), ("template.spec.volumes", json!([volume]))]
        };
        let field = "spec.template.spec.volumes[0].gcePersistentDisk.readOnly";
        let written = deployment(samples::spec(&disk(false)));
        assert_eq!(DeploymentRules.validate(&written, None).fields(), [field]);
        assert!(DeploymentRules.validate(&written, Some(&written)).is_empty());
        assert!(DeploymentRules.validate(&deployment(samples::spec(&disk(true))), None).is_empty());

        let mut dotted = deployment(samples::spec(&[]));
        dotted.metadata.name = Some("a.b".into());
        assert!(DeploymentRules.warnings(&dotted)[0].starts_with("metadata.name: this is used in Pod names"));
        dotted.metadata.resource_version = Some("5".into());
        assert_eq!(DeploymentRules.warnings(&dotted), Vec::<String>::new());
    }

    #[test]
    fn counts_of_a_status_agree() {
        for (case, status, wrong) in [
            ("empty", json!({}), vec![]),
            ("more ready than there are", json!({"replicas": 1, "readyReplicas": 2}), vec!["status.readyReplicas"]),
            (
                "more available than ready",
                json!({"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}),
                vec!["status.availableReplicas"],
            ),
            ("fewer collisions", json!({"collisionCount": 0}), vec!["status.collisionCount"]),
            ("negative", json!({"collisionCount": 1, "unavailableReplicas": -1}), vec!["status.unavailableReplicas"]),
        ] {
            let with = |status: Value| -> Deployment {
                serde_json::from_value(json!({"metadata": {"name": "web"}, "status": status})).unwrap()
            };
            let collisions = if status["collisionCount"].is_null() { json!({}) } else { json!({"collisionCount": 1}) };
            let found = DeploymentRules.validate_status(&with(status), &with(collisions));
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
