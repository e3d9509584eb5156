//! `HorizontalPodAutoscaler`, version 1: one CPU percentage. Stored as version 2; what it cannot say travels in
//! annotations, as upstream does it.

use sdk_api::GroupVersionKind;
use sdk_api::k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use sdk_plugin::{Kind, StoredAs};
use serde_json::{Value, json};

use super::annotations_v1 as annotations;
use super::horizontal_pod_autoscaler::COLUMNS;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// The row. The columns are computed from the stored form.
pub fn kind() -> Kind {
    let stored_kind = GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
    let stored = StoredAs::new(stored_kind, to_stored, from_stored);
    Kind::plain::<HorizontalPodAutoscaler>()
        .short_names(&["hpa"])
        .categories(&["all"])
        .columns(COLUMNS)
        .status()
        .stored_as(stored)
}

fn is_cpu(metric: &Value, number: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu" && number.is_number()
}

/// Takes a field out of a part of the document.
fn take(document: &mut Value, part: &str, field: &str) -> Option<Value> {
    document.get_mut(part)?.as_object_mut()?.remove(field)
}

/// Takes an annotation that holds JSON.
fn take_annotation(document: &mut Value, name: &str) -> Option<Value> {
    let annotations = document.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(name)?;
    serde_json::from_str(text.as_str()?).ok()
}

fn put_annotation(document: &mut Value, name: &str, value: &Value) {
    if document["metadata"]["annotations"].is_null() {
        document["metadata"]["annotations"] = json!({});
    }
    document["metadata"]["annotations"][name] = value.to_string().into();
}

fn drop_empty_annotations(document: &mut Value) {
    if document["metadata"]["annotations"].as_object().is_some_and(|annotations| annotations.is_empty()) {
        take(document, "metadata", "annotations");
    }
}

fn to_stored(hpa: &mut Value) {
    hpa["apiVersion"] = "autoscaling/v2".into();
    let mut metrics = match take_annotation(hpa, METRICS) {
        Some(Value::Array(metrics)) => metrics.iter().map(annotations::spec_from_v1).collect(),
        _ => Vec::new(),
    };
    if let Some(percent) = take(hpa, "spec", "targetCPUUtilizationPercentage") {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if !metrics.is_empty() {
        hpa["spec"]["metrics"] = metrics.into();
    }
    if let Some(behavior) = take_annotation(hpa, BEHAVIOR) {
        hpa["spec"]["behavior"] = annotations::uncapitalised(&behavior);
    }
    // The annotation has all metrics, that of the CPU among them with its raw value.
    let percent = take(hpa, "status", "currentCPUUtilizationPercentage");
    match (take_annotation(hpa, CURRENT_METRICS), percent) {
        (Some(Value::Array(current)), _) => {
            hpa["status"]["currentMetrics"] = current.iter().map(annotations::status_from_v1).collect();
        }
        (_, Some(percent)) => {
            let value = json!({"averageUtilization": percent});
            hpa["status"]["currentMetrics"] =
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": value}}]);
        }
        (_, None) => {}
    }
    if let Some(conditions) = take_annotation(hpa, CONDITIONS) {
        hpa["status"]["conditions"] = conditions;
    }
    drop_empty_annotations(hpa);
}

fn from_stored(hpa: &mut Value) {
    hpa["apiVersion"] = "autoscaling/v1".into();
    if let Some(Value::Array(mut metrics)) = take(hpa, "spec", "metrics") {
        let cpu = metrics.iter().position(|m| is_cpu(m, &m["resource"]["target"]["averageUtilization"]));
        if let Some(at) = cpu {
            let cpu = metrics.remove(at);
            hpa["spec"]["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"].clone();
        }
        if !metrics.is_empty() {
            put_annotation(hpa, METRICS, &metrics.iter().map(annotations::spec_to_v1).collect());
        }
    }
    if let Some(behavior) = take(hpa, "spec", "behavior") {
        put_annotation(hpa, BEHAVIOR, &annotations::capitalised(&behavior));
    }
    if let Some(Value::Array(current)) = take(hpa, "status", "currentMetrics") {
        if let Some(cpu) = current.iter().find(|m| is_cpu(m, &m["resource"]["current"]["averageUtilization"])) {
            hpa["status"]["currentCPUUtilizationPercentage"] = cpu["resource"]["current"]["averageUtilization"].clone();
        }
        if !current.is_empty() {
            put_annotation(hpa, CURRENT_METRICS, &current.iter().map(annotations::status_to_v1).collect());
        }
    }
    if let Some(conditions) = take(hpa, "status", "conditions") {
        put_annotation(hpa, CONDITIONS, &conditions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_survives_the_way_through_version_2() {
        let ours = json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}, "status": {"currentReplicas": 1},
        });
        let mut hpa = ours.clone();
        to_stored(&mut hpa);
        assert_eq!(hpa["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
        assert_eq!(hpa["spec"]["targetCPUUtilizationPercentage"], Value::Null);
        from_stored(&mut hpa);
        assert_eq!(hpa, ours);
    }

    #[test]
    fn what_version_1_cannot_say_survives_in_annotations() {
        let target = json!({"type": "AverageValue", "averageValue": "1Gi"});
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": target}});
        let theirs = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 3, "metrics": [memory], "behavior": {"scaleUp": {"selectPolicy": "Min"}}},
            "status": {
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "current": {"averageUtilization": 5, "averageValue": "50m"}}}],
            },
        });
        let mut hpa = theirs.clone();
        from_stored(&mut hpa);
        assert_eq!(hpa["spec"], json!({"maxReplicas": 3}));
        assert_eq!(hpa["metadata"]["annotations"].as_object().unwrap().len(), 4);
        assert_eq!(hpa["status"]["currentCPUUtilizationPercentage"], 5);
        to_stored(&mut hpa);
        assert_eq!(hpa, theirs);
    }
}
