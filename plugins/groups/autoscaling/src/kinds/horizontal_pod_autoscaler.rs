//! `HorizontalPodAutoscaler`, version 2: a number of replicas that follows metrics.

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

    fn validate(&self, new: &HorizontalPodAutoscaler, _old: Option<&HorizontalPodAutoscaler>) -> Violations {
        let mut found = Violations::default();
        let spec = &new.spec;
        if let Some(min) = spec.min_replicas.filter(|min| *min < 1) {
            found.invalid("spec.minReplicas", min, "must be greater than or equal to 1");
        }
        if spec.max_replicas < 1 {
            found.invalid("spec.maxReplicas", spec.max_replicas, "must be greater than 0");
        }
        if spec.min_replicas.is_some_and(|min| spec.max_replicas < min) {
            let why = "must be greater than or equal to `minReplicas`";
            found.invalid("spec.maxReplicas", spec.max_replicas, why);
        }
        let target = &spec.scale_target_ref;
        for (name, value) in [("kind", &target.kind), ("name", &target.name)] {
            if value.is_empty() {
                found.required(format!("spec.scaleTargetRef.{name}"), "");
            }
            for problem in sdk_api::names::path_segment(value) {
                found.invalid(format!("spec.scaleTargetRef.{name}"), value.as_str(), problem);
            }
        }
        for (at, metric) in spec.metrics.iter().flatten().enumerate() {
            validate_metric(&mut found, &format!("spec.metrics[{at}]"), metric);
        }
        if let Some(behavior) = &spec.behavior {
            for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
                if let Some(rules) = rules {
                    validate_rules(&mut found, &format!("spec.behavior.{name}"), rules);
                }
            }
        }
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

fn validate_metric(found: &mut Violations, field: &str, metric: &MetricSpec) {
    let sources = [
        ("Object", "object", metric.object.is_some()),
        ("External", "external", metric.external.is_some()),
        ("Pods", "pods", metric.pods.is_some()),
        ("Resource", "resource", metric.resource.is_some()),
        ("ContainerResource", "containerResource", metric.container_resource.is_some()),
    ];
    let kind = metric.type_.as_str();
    if kind.is_empty() {
        found.required(format!("{field}.type"), "must specify a metric source type");
        return;
    }
    let Some((_, wanted, present)) = sources.iter().find(|(known, _, _)| *known == kind) else {
        found.not_supported(format!("{field}.type"), kind, &sources.map(|(known, _, _)| known));
        return;
    };
    if !present {
        let why = format!("must populate information for the given metric source (only {wanted:?})");
        found.required(format!("{field}.{wanted}"), why);
    }
    for (_, other, _) in sources.iter().filter(|(_, name, present)| *present && name != wanted) {
        found.forbidden(format!("{field}.{other}"), "must populate the given metric source only");
    }
    let named = metric.resource.as_ref().map(|source| ("resource", &source.name, &source.target));
    let contained =
        metric.container_resource.as_ref().map(|source| ("containerResource", &source.name, &source.target));
    for (source, name, target) in named.into_iter().chain(contained) {
        let field = format!("{field}.{source}");
        if name.is_empty() {
            found.required(format!("{field}.name"), "must specify a resource name");
        }
        checks::positive(found, format!("{field}.target.averageUtilization"), target.average_utilization);
        match (target.average_utilization.is_some(), target.average_value.is_some()) {
            (false, false) => found.required(
                format!("{field}.target.averageUtilization"),
                "must set either a target raw value or a target utilization",
            ),
            (true, true) => found.forbidden(
                format!("{field}.target.averageValue"),
                "may not set both a target raw value and a target utilization",
            ),
            _ => {}
        }
        if !matches!(target.type_.as_str(), "Utilization" | "Value" | "AverageValue") {
            let field = format!("{field}.target.type");
            found.invalid(field, target.type_.as_str(), "must be either Utilization, Value, or AverageValue");
        }
    }
}

fn validate_rules(found: &mut Violations, field: &str, rules: &HPAScalingRules) {
    const WINDOW_MAX: i32 = 3600;
    const PERIOD_MAX: i32 = 1800;
    if let Some(window) = rules.stabilization_window_seconds {
        checks::not_negative(found, format!("{field}.stabilizationWindowSeconds"), Some(window));
        if window > WINDOW_MAX {
            let why = format!("must be less than or equal to {WINDOW_MAX}");
            found.invalid(format!("{field}.stabilizationWindowSeconds"), window, why);
        }
    }
    if let Some(policy) = rules.select_policy.as_deref()
        && !matches!(policy, "Max" | "Min" | "Disabled")
    {
        found.not_supported(format!("{field}.selectPolicy"), policy, &["Disabled", "Max", "Min"]);
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        found.required(format!("{field}.policies"), "must specify at least one Policy");
    }
    for (at, policy) in policies.iter().enumerate() {
        let field = format!("{field}.policies[{at}]");
        if !matches!(policy.type_.as_str(), "Pods" | "Percent") {
            found.not_supported(format!("{field}.type"), policy.type_.as_str(), &["Percent", "Pods"]);
        }
        checks::positive(found, format!("{field}.value"), Some(policy.value));
        checks::positive(found, format!("{field}.periodSeconds"), Some(policy.period_seconds));
        if policy.period_seconds > PERIOD_MAX {
            let why = format!("must be less than or equal to {PERIOD_MAX}");
            found.invalid(format!("{field}.periodSeconds"), policy.period_seconds, why);
        }
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
    fn autoscalers_are_checked() {
        for (case, spec, wrong) in [
            ("plain", json!({"maxReplicas": 3}), vec![]),
            ("no maximum", json!({}), vec!["spec.maxReplicas", "spec.maxReplicas"]),
            ("upside down", json!({"minReplicas": 5, "maxReplicas": 3}), vec!["spec.maxReplicas"]),
            ("zero", json!({"minReplicas": 0, "maxReplicas": 3}), vec!["spec.minReplicas"]),
            (
                "no target",
                json!({"maxReplicas": 3, "scaleTargetRef": {}}),
                vec!["spec.scaleTargetRef.kind", "spec.scaleTargetRef.name"],
            ),
            (
                "a metric without its source",
                json!({"maxReplicas": 3, "metrics": [{"type": "Pods"}]}),
                vec!["spec.metrics[0].pods"],
            ),
            (
                "an unknown policy",
                json!({"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Often"}}}),
                vec!["spec.behavior.scaleUp.selectPolicy"],
            ),
        ] {
            assert_eq!(HpaStrategy.validate(&hpa(spec), None).fields(), wrong, "{case}");
        }
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
