//! What version 1 keeps in annotations: metrics in the form that they had there, behavior with capital letters.
//!
//! Source: `pkg/apis/autoscaling/v1/conversion.go`. Upstream writes what Go makes of types without field names of their
//! own, so that others who read these annotations expect capitals in `behavior`.

use serde_json::{Map, Value, json};

/// Where version 2 has a field and where version 1 has it, below the part of the document that the metric's type names.
type Places = &'static [(&'static str, &'static str)];

/// Parts by the type of the metric, for targets.
const SPECS: [(&str, &str, Places); 5] = [
    (
        "Resource",
        "resource",
        &[
            ("name", "name"),
            ("target.averageUtilization", "targetAverageUtilization"),
            ("target.averageValue", "targetAverageValue"),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("target.averageUtilization", "targetAverageUtilization"),
            ("target.averageValue", "targetAverageValue"),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            ("metric.name", "metricName"),
            ("metric.selector", "selector"),
            ("target.averageValue", "targetAverageValue"),
        ],
    ),
    (
        "Object",
        "object",
        &[
            ("describedObject", "target"),
            ("metric.name", "metricName"),
            ("metric.selector", "selector"),
            ("target.value", "targetValue"),
            ("target.averageValue", "averageValue"),
        ],
    ),
    (
        "External",
        "external",
        &[
            ("metric.name", "metricName"),
            ("metric.selector", "metricSelector"),
            ("target.value", "targetValue"),
            ("target.averageValue", "targetAverageValue"),
        ],
    ),
];

/// The same for what was measured.
const STATUSES: [(&str, &str, Places); 5] = [
    (
        "Resource",
        "resource",
        &[
            ("name", "name"),
            ("current.averageUtilization", "currentAverageUtilization"),
            ("current.averageValue", "currentAverageValue"),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("current.averageUtilization", "currentAverageUtilization"),
            ("current.averageValue", "currentAverageValue"),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            ("metric.name", "metricName"),
            ("metric.selector", "selector"),
            ("current.averageValue", "currentAverageValue"),
        ],
    ),
    (
        "Object",
        "object",
        &[
            ("describedObject", "target"),
            ("metric.name", "metricName"),
            ("metric.selector", "selector"),
            ("current.value", "currentValue"),
            ("current.averageValue", "averageValue"),
        ],
    ),
    (
        "External",
        "external",
        &[
            ("metric.name", "metricName"),
            ("metric.selector", "metricSelector"),
            ("current.value", "currentValue"),
            ("current.averageValue", "currentAverageValue"),
        ],
    ),
];

/// A metric of the spec, as version 1 writes it.
pub(super) fn spec_to_v1(metric: &Value) -> Value {
    to_v1(metric, &SPECS)
}

/// And back. The type of the target, which version 1 does not say, is told by its fields.
pub(super) fn spec_from_v1(metric: &Value) -> Value {
    let (mut metric, Some(part)) = from_v1(metric, &SPECS) else { return metric.clone() };
    let target = &mut metric[part]["target"];
    let has = |field: &str| !target[field].is_null();
    let type_ = match (has("averageUtilization"), has("averageValue")) {
        (true, _) => "Utilization",
        (false, true) => "AverageValue",
        (false, false) => "Value",
    };
    if type_ == "AverageValue"
        && let Some(fields) = target.as_object_mut()
    {
        // Where version 1 cannot leave the value out it is zero.
        fields.remove("value");
    }
    target["type"] = type_.into();
    metric
}

/// A metric of the status, as version 1 writes it.
pub(super) fn status_to_v1(metric: &Value) -> Value {
    to_v1(metric, &STATUSES)
}

/// And back.
pub(super) fn status_from_v1(metric: &Value) -> Value {
    from_v1(metric, &STATUSES).0
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn to_v1(metric: &Value, table: &[(&str, &str, Places)]) -> Value {
    let Some((type_, part, places)) = table.iter().find(|(type_, _, _)| metric["type"] == *type_) else {
        return metric.clone();
    };
    let mut fields = Map::new();
    for (ours, theirs) in *places {
        if let Some(value) = metric[*part].pointer(&pointer(ours)) {
            fields.insert((*theirs).to_owned(), value.clone());
        }
    }
    json!({"type": type_, *part: fields})
}

/// The metric, and which part of it is used.
fn from_v1(metric: &Value, table: &[(&str, &'static str, Places)]) -> (Value, Option<&'static str>) {
    let Some((type_, part, places)) = table.iter().find(|(type_, _, _)| metric["type"] == *type_) else {
        return (metric.clone(), None);
    };
    let mut fields = json!({});
    for (ours, theirs) in *places {
        let value = &metric[*part][*theirs];
        if value.is_null() {
            continue;
        }
        match ours.split_once('.') {
            Some((outer, inner)) => fields[outer][inner] = value.clone(),
            None => fields[*ours] = value.clone(),
        }
    }
    (json!({"type": type_, *part: fields}), Some(part))
}

/// Behavior with the first letter of each field as a capital.
pub(super) fn capitalised(behavior: &Value) -> Value {
    renamed(behavior, |first| first.to_ascii_uppercase())
}

/// And back.
pub(super) fn uncapitalised(behavior: &Value) -> Value {
    renamed(behavior, |first| first.to_ascii_lowercase())
}

fn renamed(value: &Value, letter: fn(char) -> char) -> Value {
    match value {
        Value::Object(fields) => {
            let rename = |name: &str| -> String {
                let mut letters = name.chars();
                letters.next().map(letter).into_iter().chain(letters).collect()
            };
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (rename(name), renamed(value, letter))).collect())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, letter)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_version_1s_form_in_annotations() {
        let selector = json!({"matchLabels": {"a": "b"}});
        for (case, ours, v1) in [
            (
                "resource",
                json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}),
                json!({"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}),
            ),
            (
                "container",
                json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                    "target": {"type": "Utilization", "averageUtilization": 60}}}),
                json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "targetAverageUtilization": 60}}),
            ),
            (
                "pods",
                json!({"type": "Pods", "pods": {"metric": {"name": "m", "selector": selector},
                    "target": {"type": "AverageValue", "averageValue": "5"}}}),
                json!({"type": "Pods", "pods": {"metricName": "m", "selector": selector, "targetAverageValue": "5"}}),
            ),
            (
                "object",
                json!({"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i"}, "metric": {"name": "m"},
                    "target": {"type": "Value", "value": "2k"}}}),
                json!({"type": "Object", "object": {"target": {"kind": "Ingress", "name": "i"}, "metricName": "m", "targetValue": "2k"}}),
            ),
            (
                "external",
                json!({"type": "External", "external": {"metric": {"name": "m", "selector": selector},
                    "target": {"type": "AverageValue", "averageValue": "30"}}}),
                json!({"type": "External", "external": {"metricName": "m", "metricSelector": selector, "targetAverageValue": "30"}}),
            ),
        ] {
            assert_eq!(spec_to_v1(&ours), v1, "{case}");
            assert_eq!(spec_from_v1(&v1), ours, "{case}");
        }
        let measured = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5, "averageValue": "50m"}}});
        let v1 = json!({"type": "Resource", "resource": {"name": "cpu", "currentAverageUtilization": 5, "currentAverageValue": "50m"}});
        assert_eq!((status_to_v1(&measured), status_from_v1(&v1)), (v1, measured));
    }

    #[test]
    fn behavior_has_capitals() {
        let ours = json!({"scaleUp": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4}]}});
        let theirs = json!({"ScaleUp": {"SelectPolicy": "Max", "Policies": [{"Type": "Pods", "Value": 4}]}});
        assert_eq!(capitalised(&ours), theirs);
        assert_eq!(uncapitalised(&theirs), ours);
        assert_eq!(uncapitalised(&json!({"ScaleDown": null})), json!({}), "what Go writes of nothing");
    }
}
