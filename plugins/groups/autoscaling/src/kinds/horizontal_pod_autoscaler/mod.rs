//! `HorizontalPodAutoscaler`, version 2: a number of replicas that follows metrics.

mod validate;

use sdk_api::k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler, MetricSpec, MetricTarget, ResourceMetricSource,
};
use sdk_api::{Timestamp, Violations, checks};
use sdk_plugin::cells::{UNSET, number};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Reference", |hpa, _| {
        let target = &hpa["spec"]["scaleTargetRef"];
        let text = |field: &str| target[field].as_str().unwrap_or_default();
        format!("{}/{}", text("kind"), text("name")).into()
    }),
    Column::compute("Targets", |hpa, _| targets(hpa).into()),
    Column::compute("MinPods", |hpa, _| match hpa["spec"]["minReplicas"].as_i64() {
        Some(number) => number.to_string().into(),
        None => UNSET.into(),
    }),
    Column::compute("MaxPods", |hpa, _| number(&hpa["spec"]["maxReplicas"]).into()),
    Column::compute("Replicas", |hpa, _| number(&hpa["status"]["currentReplicas"]).into()),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(HpaStrategy).short_names(&["hpa"]).categories(&["all"]).columns(COLUMNS).status()
}

/// The source of a metric, under the name that its type has in the document.
fn source(metric: &Value) -> (&str, &Value) {
    let kind = metric["type"].as_str().unwrap_or_default();
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return (kind, &Value::Null),
    };
    (kind, &metric[field])
}

fn targets(hpa: &Value) -> String {
    const SHOWN: usize = 2;
    let metrics = hpa["spec"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    if metrics.is_empty() {
        return "<none>".into();
    }
    let current = |at: usize, field: &str| {
        let (_, source) = source(&hpa["status"]["currentMetrics"][at]);
        source["current"][field].clone()
    };
    let text = |value: Value, otherwise: &str| match value {
        Value::String(text) => text,
        Value::Number(number) => format!("{number}%"),
        _ => otherwise.to_owned(),
    };
    let all: Vec<_> = metrics
        .iter()
        .enumerate()
        .map(|(at, metric)| {
            let (kind, source) = source(metric);
            let target = &source["target"];
            let field = if !target["averageValue"].is_null() { "averageValue" } else { "value" };
            let of = |field: &str, otherwise| text(target[field].clone(), otherwise);
            let now = |field: &str| text(current(at, field), "<unknown>");
            match kind {
                "External" | "Object" if field == "averageValue" => format!("{}/{} (avg)", now(field), of(field, "")),
                "External" | "Object" => format!("{}/{}", now("value"), of("value", "<auto>")),
                "Pods" => format!("{}/{}", now("averageValue"), of("averageValue", "<auto>")),
                "Resource" | "ContainerResource" => {
                    let name = source["name"].as_str().unwrap_or_default();
                    let field = if field == "averageValue" { field } else { "averageUtilization" };
                    format!("{name}: {}/{}", now(field), of(field, "<auto>"))
                }
                _ => "<unknown type>".into(),
            }
        })
        .collect();
    if all.len() > SHOWN {
        return format!("{} + {} more...", all[..SHOWN].join(", "), all.len() - SHOWN);
    }
    all.join(", ")
}

struct HpaStrategy;
impl Strategy for HpaStrategy {
    type Object = HorizontalPodAutoscaler;

    fn default(&self, hpa: &mut HorizontalPodAutoscaler) {
        let spec = &mut hpa.spec;
        spec.min_replicas.get_or_insert(1);
        if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
            spec.metrics = Some(vec![cpu(80)]);
        }
        if let Some(behavior) = &mut spec.behavior {
            let up = behavior.scale_up.get_or_insert_default();
            default_rules(up, Some(0), &[("Pods", 4, 15), ("Percent", 100, 15)]);
            let down = behavior.scale_down.get_or_insert_default();
            default_rules(down, None, &[("Percent", 100, 15)]);
        }
    }

    fn prepare_create(&self, new: &mut HorizontalPodAutoscaler, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &HorizontalPodAutoscaler, old: Option<&HorizontalPodAutoscaler>) -> Violations {
        let mut found = Violations::default();
        // What scales to zero already may go on.
        let min = i32::from(old.is_none_or(|old| old.spec.min_replicas != Some(0)));
        validate::spec(&mut found, &new.spec, min);
        found
    }

    fn validate_status(&self, new: &HorizontalPodAutoscaler, _old: &HorizontalPodAutoscaler) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        checks::not_negative(&mut found, "status.currentReplicas", status.current_replicas);
        checks::not_negative(&mut found, "status.desiredReplicas", Some(status.desired_replicas));
        found
    }
}

/// The metric "this much of the requested CPU".
pub(super) fn cpu(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn default_rules(rules: &mut HPAScalingRules, window: Option<i32>, policies: &[(&str, i32, i32)]) {
    if rules.stabilization_window_seconds.is_none() {
        rules.stabilization_window_seconds = window;
    }
    rules.select_policy.get_or_insert_with(|| "Max".into());
    if rules.policies.is_none() {
        let policy = |(kind, value, seconds): &(&str, i32, i32)| HPAScalingPolicy {
            type_: (*kind).into(),
            value: *value,
            period_seconds: *seconds,
        };
        rules.policies = Some(policies.iter().map(policy).collect());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hpa(mut spec: Value) -> HorizontalPodAutoscaler {
        if spec["scaleTargetRef"].is_null() {
            spec["scaleTargetRef"] = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
        }
        let mut hpa = serde_json::from_value(json!({"metadata": {"name": "h"}, "spec": spec})).unwrap();
        HpaStrategy.default(&mut hpa);
        hpa
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        let filled = serde_json::to_value(hpa(json!({"maxReplicas": 3, "behavior": {}})).spec).unwrap();
        assert_eq!(filled["minReplicas"], 1);
        assert_eq!(
            filled["metrics"][0]["resource"]["target"],
            json!({"type": "Utilization", "averageUtilization": 80})
        );
        let up = json!([
            {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
        ]);
        assert_eq!(filled["behavior"]["scaleUp"]["policies"], up);
        assert_eq!(filled["behavior"]["scaleDown"]["selectPolicy"], "Max");
        assert!(HpaStrategy.validate(&hpa(json!({"maxReplicas": 3, "behavior": {}})), None).is_empty());
    }

    #[test]
    fn zero_is_only_for_those_that_have_it() {
        let object = json!({"type": "Object", "object": {
            "describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "q"},
            "target": {"type": "Value", "value": "1"},
        }});
        let zero = || hpa(json!({"minReplicas": 0, "maxReplicas": 3, "metrics": [object]}));
        assert_eq!(HpaStrategy.validate(&zero(), None).fields(), ["spec.minReplicas"]);
        assert!(HpaStrategy.validate(&zero(), Some(&zero())).is_empty());
    }

    #[test]
    fn counts_are_not_negative() {
        let mut counted = hpa(json!({"maxReplicas": 3}));
        counted.status = Some(serde_json::from_value(json!({"currentReplicas": -1, "desiredReplicas": 1})).unwrap());
        assert_eq!(HpaStrategy.validate_status(&counted, &counted).fields(), ["status.currentReplicas"]);
    }

    #[test]
    fn targets_show_now_and_wanted() {
        let document = json!({
            "metadata": {"name": "h"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                    {"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": {"averageValue": "10"}}},
                ],
            },
            "status": {"currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}},
            ]},
        });
        let cells: Vec<_> = COLUMNS[..6].iter().map(|c| c.value(&document, Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(cells[1..4], ["Deployment/web", "cpu: 12%/80%, <unknown>/10", "<unset>"].map(Value::from));
        assert_eq!(cells[4..], [Value::from(3), Value::from(0)]);
    }
}
