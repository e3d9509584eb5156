//! `ReplicationController`: the oldest way to keep a number of pods.

use sdk_api::k8s_openapi::api::core::v1::ReplicationController;
use sdk_api::{LabelSelector, Timestamp, Violations};
use sdk_client::Propagation;
use sdk_plugin::cells::{labels_text, template_containers, template_images};
use sdk_plugin::kind::ScalePaths;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use sdk_workload::{Options, template_defaults, validate_template};

use super::fields::at;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::integer("Desired", ".spec.replicas"),
    Column::integer("Current", ".status.replicas"),
    Column::integer("Ready", ".status.readyReplicas"),
    Column::AGE,
    Column::compute("Containers", template_containers).wide(),
    Column::compute("Images", template_images).wide(),
    Column::compute("Selector", |rc, _| labels_text(&rc["spec"]["selector"]).into()).wide(),
];

const FIELDS: &[FieldOf] = &[FieldOf {
    name: "status.replicas",
    value: |rc| match at(rc, ".status.replicas") {
        none if none.is_empty() => "0".into(),
        count => count,
    },
}];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ControllerStrategy)
        .short_names(&["rc"])
        .categories(&["all"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .generation()
        .propagation(Propagation::Orphan)
        .status()
        .scale(ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" })
}

struct ControllerStrategy;
impl Strategy for ControllerStrategy {
    type Object = ReplicationController;

    fn default(&self, rc: &mut ReplicationController) {
        let spec = rc.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        let Some(template) = &mut spec.template else { return };
        template_defaults(template);
        let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        if labels.is_empty() {
            return;
        }
        if spec.selector.as_ref().is_none_or(|selector| selector.is_empty()) {
            spec.selector = Some(labels.clone());
        }
        if rc.metadata.labels.as_ref().is_none_or(|labels| labels.is_empty()) {
            rc.metadata.labels = Some(labels);
        }
    }

    fn prepare_create(&self, new: &mut ReplicationController, _now: Timestamp) {
        new.status = Some(Default::default());
    }

    fn validate(&self, new: &ReplicationController, _old: Option<&ReplicationController>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        for (field, value) in [("minReadySeconds", spec.min_ready_seconds), ("replicas", spec.replicas)] {
            if let Some(value) = value.filter(|value| *value < 0) {
                found.invalid(format!("spec.{field}"), value, "must be greater than or equal to 0");
            }
        }
        let selector = spec.selector.unwrap_or_default();
        if selector.is_empty() {
            found.required("spec.selector", "");
        }
        let Some(template) = &spec.template else {
            found.required("spec.template", "");
            return found;
        };
        let labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        if !selector.is_empty() && !LabelSelector::from_labels(&selector).matches(&labels) {
            let shown = serde_json::to_value(&labels).unwrap_or_default();
            found.invalid("spec.template.metadata.labels", shown, "`selector` does not match template `labels`");
        }
        found.extend(validate_template(template, "spec.template", Options::default()));
        let pod = template.spec.clone().unwrap_or_default();
        if let Some(policy) = pod.restart_policy.as_deref().filter(|policy| *policy != "Always") {
            found.not_supported("spec.template.spec.restartPolicy", policy, &["Always"]);
        }
        if pod.active_deadline_seconds.is_some() {
            let why = "activeDeadlineSeconds in ReplicationController is not Supported";
            found.forbidden("spec.template.spec.activeDeadlineSeconds", why);
        }
        found
    }

    fn validate_status(&self, new: &ReplicationController, _old: &ReplicationController) -> Violations {
        let mut found = Violations::default();
        let status = new.status.clone().unwrap_or_default();
        let number = |field: Option<i32>| i64::from(field.unwrap_or(0));
        let counts = [
            ("replicas", i64::from(status.replicas)),
            ("fullyLabeledReplicas", number(status.fully_labeled_replicas)),
            ("readyReplicas", number(status.ready_replicas)),
            ("availableReplicas", number(status.available_replicas)),
            ("observedGeneration", status.observed_generation.unwrap_or(0)),
        ];
        for (field, count) in counts {
            sdk_api::checks::not_negative(&mut found, format!("status.{field}"), Some(count));
        }
        for (field, count) in counts[1..4].iter().filter(|(_, count)| *count > counts[0].1) {
            found.invalid(format!("status.{field}"), *count, "cannot be greater than status.replicas");
        }
        if counts[3].1 > counts[2].1 {
            found.invalid("status.availableReplicas", counts[3].1, "cannot be greater than readyReplicas");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn controller(spec: Value) -> ReplicationController {
        let mut rc = serde_json::from_value(json!({ "spec": spec })).unwrap();
        ControllerStrategy.default(&mut rc);
        rc
    }

    #[test]
    fn selector_and_labels_come_from_the_template() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let rc = controller(json!({"template": template}));
        let spec = rc.spec.as_ref().unwrap();
        assert_eq!(spec.replicas, Some(1));
        assert_eq!(serde_json::to_value(&spec.selector).unwrap(), json!({"a": "b"}));
        assert_eq!(rc.metadata.labels, spec.selector);
        assert!(ControllerStrategy.validate(&rc, None).is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let pod = json!({"containers": [{"name": "c", "image": "i"}]});
        for (case, spec, wrong) in [
            ("nothing", json!({}), vec!["spec.selector", "spec.template"]),
            (
                "another label",
                json!({"selector": {"a": "x"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}),
                vec!["spec.template.metadata.labels"],
            ),
            (
                "less than none",
                json!({"replicas": -1, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}}),
                vec!["spec.replicas"],
            ),
            (
                "pods that end",
                json!({"template": {"metadata": {"labels": {"a": "b"}},
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}),
                vec!["spec.template.spec.restartPolicy"],
            ),
        ] {
            assert_eq!(ControllerStrategy.validate(&controller(spec), None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn counts_of_a_status_fit_together() {
        for (case, status, wrong) in [
            ("good", json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 1}), vec![]),
            ("more ready than there are", json!({"replicas": 1, "readyReplicas": 2}), vec!["status.readyReplicas"]),
            (
                "more available than ready",
                json!({"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}),
                vec!["status.availableReplicas"],
            ),
            (
                "less than none",
                json!({"replicas": 0, "readyReplicas": -1}),
                vec!["status.readyReplicas", "status.availableReplicas"],
            ),
        ] {
            let rc: ReplicationController = serde_json::from_value(json!({ "status": status })).unwrap();
            assert_eq!(ControllerStrategy.validate_status(&rc, &rc).fields(), wrong, "{case}");
        }
    }
}
