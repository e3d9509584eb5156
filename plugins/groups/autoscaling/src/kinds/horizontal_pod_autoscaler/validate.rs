//! What is wrong with an autoscaler, in upstream's words. Scaling to zero is not offered, as in 1.36.

use sdk_api::k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscalerSpec, MetricIdentifier, MetricSpec,
    MetricTarget,
};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{Quantity, Violations, domains::each_invalid, names};

const WINDOW_MAX: i32 = 3600;
const PERIOD_MAX: i32 = 1800;
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const SELECTIONS: [&str; 3] = ["Disabled", "Max", "Min"];
const POLICIES: [&str; 2] = ["Percent", "Pods"];

/// Checks the spec; `min` is the fewest replicas it may ask for.
pub fn spec(found: &mut Violations, spec: &HorizontalPodAutoscalerSpec, min: i32) {
    if let Some(replicas) = spec.min_replicas.filter(|replicas| *replicas < min) {
        found.invalid("spec.minReplicas", replicas, format!("must be greater than or equal to {min}"));
    }
    let max = spec.max_replicas;
    if max < 1 {
        found.invalid("spec.maxReplicas", max, "must be greater than 0");
    }
    if spec.min_replicas.is_some_and(|min| max < min) {
        found.invalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`");
    }
    reference(found, "spec.scaleTargetRef", &spec.scale_target_ref);
    for (at, metric) in spec.metrics.iter().flatten().enumerate() {
        self::metric(found, &format!("spec.metrics[{at}]"), metric);
    }
    let counts_others = |metric: &MetricSpec| matches!(metric.type_.as_str(), "Object" | "External");
    if spec.min_replicas == Some(0) && !spec.metrics.iter().flatten().any(counts_others) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        found.forbidden("spec.metrics", why);
    }
    let Some(behavior) = &spec.behavior else { return };
    for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        if let Some(rules) = rules {
            self::rules(found, &format!("spec.behavior.{name}"), rules);
        }
    }
}

fn reference(found: &mut Violations, field: &str, target: &CrossVersionObjectReference) {
    for (name, value) in [("kind", &target.kind), ("name", &target.name)] {
        segment(found, &format!("{field}.{name}"), value);
    }
}

/// A name that becomes part of a path.
fn segment(found: &mut Violations, field: &str, text: &str) {
    if text.is_empty() {
        found.required(field, "");
    }
    each_invalid(found, field, text, names::path_segment(text));
}

/// A metric is of one type, and says what belongs to that type alone.
fn metric(found: &mut Violations, field: &str, metric: &MetricSpec) {
    let kind = metric.type_.as_str();
    if kind.is_empty() {
        found.required(format!("{field}.type"), "must specify a metric source type");
    }
    if !TYPES.contains(&kind) {
        return found.not_supported(format!("{field}.type"), kind, &TYPES);
    }
    let given = [
        ("Object", "object", metric.object.is_some()),
        ("External", "external", metric.external.is_some()),
        ("Pods", "pods", metric.pods.is_some()),
        ("Resource", "resource", metric.resource.is_some()),
        ("ContainerResource", "containerResource", metric.container_resource.is_some()),
    ];
    // Upstream looks into the first source alone.
    match given.iter().find(|(_, _, given)| *given) {
        None => {}
        Some((_, name, _)) => source(found, &format!("{field}.{name}"), name, metric),
    }
    for (of, name, given) in given {
        if of == kind && !given {
            found.required(format!("{field}.{name}"), "must populate information for the given metric source");
        }
        if of != kind && given {
            found.forbidden(format!("{field}.{name}"), "must populate the given metric source only");
        }
    }
}

fn source(found: &mut Violations, field: &str, name: &str, metric: &MetricSpec) {
    let average = format!("{field}.target.averageValue");
    match name {
        "object" => {
            let Some(source) = &metric.object else { return };
            reference(found, &format!("{field}.describedObject"), &source.described_object);
            identifier(found, field, &source.metric);
            target(found, field, &source.target);
            if source.target.value.is_none() && source.target.average_value.is_none() {
                found.required(average, "must set either a target value or averageValue");
            }
        }
        "external" => {
            let Some(source) = &metric.external else { return };
            identifier(found, field, &source.metric);
            target(found, field, &source.target);
            match (&source.target.value, &source.target.average_value) {
                (None, None) => {
                    found.required(average, "must set either a target value for metric or a per-pod target");
                }
                (Some(_), Some(_)) => {
                    let why = "may not set both a target value for metric and a per-pod target";
                    found.forbidden(format!("{field}.target.value"), why);
                }
                _ => {}
            }
        }
        "pods" => {
            let Some(source) = &metric.pods else { return };
            identifier(found, field, &source.metric);
            target(found, field, &source.target);
            if source.target.average_value.is_none() {
                found.required(average, "must specify a positive target averageValue");
            }
        }
        "resource" => {
            let Some(source) = &metric.resource else { return };
            resource(found, field, &source.name, &source.target);
        }
        _ => {
            let Some(source) = &metric.container_resource else { return };
            if source.container.is_empty() {
                found.required(format!("{field}.container"), "must specify a container");
            }
            resource(found, field, &source.name, &source.target);
        }
    }
}

fn identifier(found: &mut Violations, field: &str, metric: &MetricIdentifier) {
    segment(found, &format!("{field}.metric.name"), &metric.name);
}

fn resource(found: &mut Violations, field: &str, name: &str, goal: &MetricTarget) {
    if name.is_empty() {
        found.required(format!("{field}.name"), "must specify a resource name");
    }
    target(found, field, goal);
    match (goal.average_utilization, &goal.average_value) {
        (None, None) => found.required(
            format!("{field}.target.averageUtilization"),
            "must set either a target raw value or a target utilization",
        ),
        (Some(_), Some(_)) => found.forbidden(
            format!("{field}.target.averageValue"),
            "may not set both a target raw value and a target utilization",
        ),
        _ => {}
    }
}

fn target(found: &mut Violations, field: &str, target: &MetricTarget) {
    let at = |name: &str| format!("{field}.target.{name}");
    let kind = target.type_.as_str();
    if kind.is_empty() {
        found.required(at("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        found.invalid(at("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for (name, amount) in [("value", &target.value), ("averageValue", &target.average_value)] {
        let is_positive = |amount: &ApiQuantity| {
            let amount = Quantity::of(amount);
            !amount.is_zero() && !amount.is_negative()
        };
        if let Some(amount) = amount.as_ref().filter(|amount| !is_positive(amount)) {
            found.invalid(at(name), amount.0.as_str(), "must be positive");
        }
    }
    if let Some(percent) = target.average_utilization.filter(|percent| *percent < 1) {
        found.invalid(at("averageUtilization"), percent, "must be greater than 0");
    }
}

/// How fast replicas may come or go.
fn rules(found: &mut Violations, field: &str, rules: &HPAScalingRules) {
    let at = |name: &str| format!("{field}.{name}");
    match rules.stabilization_window_seconds {
        Some(window) if window < 0 => {
            found.invalid(at("stabilizationWindowSeconds"), window, "must be greater than or equal to zero");
        }
        Some(window) if window > WINDOW_MAX => {
            let why = format!("must be less than or equal to {WINDOW_MAX}");
            found.invalid(at("stabilizationWindowSeconds"), window, why);
        }
        _ => {}
    }
    if let Some(policy) = rules.select_policy.as_deref().filter(|policy| !SELECTIONS.contains(policy)) {
        found.not_supported(at("selectPolicy"), policy, &SELECTIONS);
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    if policies.is_empty() {
        found.required(at("policies"), "must specify at least one Policy");
    }
    for (n, policy) in policies.iter().enumerate() {
        let at = |name: &str| format!("{field}.policies[{n}].{name}");
        if !POLICIES.contains(&policy.type_.as_str()) {
            found.not_supported(at("type"), policy.type_.as_str(), &POLICIES);
        }
        for (name, number) in [("value", policy.value), ("periodSeconds", policy.period_seconds)] {
            if number <= 0 {
                found.invalid(at(name), number, "must be greater than zero");
            }
        }
        if policy.period_seconds > PERIOD_MAX {
            let why = format!("must be less than or equal to {PERIOD_MAX}");
            found.invalid(at("periodSeconds"), policy.period_seconds, why);
        }
    }
    if let Some(tolerance) = rules.tolerance.as_ref().filter(|amount| Quantity::of(amount).is_negative()) {
        found.invalid(at("tolerance"), tolerance.0.as_str(), "must be greater than or equal to zero");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn autoscalers_are_checked() {
        let with = |metric: Value| json!({"maxReplicas": 3, "metrics": [metric]});
        let m = |name: &str| format!("spec.metrics[0].{name}");
        for (case, spec, wrong) in [
            ("plain", json!({"maxReplicas": 3}), vec![]),
            ("no maximum", json!({"minReplicas": 1}), vec!["spec.maxReplicas".into(), "spec.maxReplicas".into()]),
            ("upside down", json!({"minReplicas": 5, "maxReplicas": 3}), vec!["spec.maxReplicas".to_owned()]),
            (
                "zero",
                json!({"minReplicas": 0, "maxReplicas": 3}),
                vec!["spec.minReplicas".into(), "spec.metrics".into()],
            ),
            (
                "no target",
                json!({"maxReplicas": 3, "scaleTargetRef": {}}),
                vec!["spec.scaleTargetRef.kind".into(), "spec.scaleTargetRef.name".into()],
            ),
            ("no type", with(json!({})), vec![m("type"), m("type")]),
            ("a metric without its source", with(json!({"type": "Pods"})), vec![m("pods")]),
            (
                "a source of another type",
                with(
                    json!({"type": "Pods", "resource": {"name": "cpu", "target": {"type": "Value", "averageValue": "1"}}}),
                ),
                vec![m("pods"), m("resource")],
            ),
            (
                "a resource without a goal",
                with(json!({"type": "Resource", "resource": {"target": {}}})),
                vec![
                    m("resource.name"),
                    m("resource.target.type"),
                    m("resource.target.type"),
                    m("resource.target.averageUtilization"),
                ],
            ),
            (
                "a goal of nothing",
                with(json!({"type": "Resource", "resource":
                    {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}})),
                vec![m("resource.target.averageUtilization")],
            ),
            (
                "a container of no name",
                with(json!({"type": "ContainerResource", "containerResource":
                    {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}})),
                vec![m("containerResource.container")],
            ),
            (
                "pods",
                with(json!({"type": "Pods", "pods": {"metric": {"name": "qps"}, "target":
                    {"type": "AverageValue", "averageValue": "-1"}}})),
                vec![m("pods.target.averageValue")],
            ),
            (
                "an object of no name",
                with(json!({"type": "Object", "object": {"describedObject": {"kind": "Service"}, "metric": {},
                    "target": {"type": "Value"}}})),
                vec![m("object.describedObject.name"), m("object.metric.name"), m("object.target.averageValue")],
            ),
            (
                "two goals",
                with(json!({"type": "External", "external": {"metric": {"name": "q/p"},
                    "target": {"type": "Value", "value": "1", "averageValue": "1"}}})),
                vec![m("external.metric.name"), m("external.target.value")],
            ),
            (
                "behavior",
                json!({"maxReplicas": 3, "behavior": {"scaleUp": {
                    "selectPolicy": "Often", "stabilizationWindowSeconds": 3601, "tolerance": "-1",
                    "policies": [{"type": "Half", "value": 0, "periodSeconds": 1801}],
                }, "scaleDown": {}}}),
                [
                    "scaleUp.stabilizationWindowSeconds",
                    "scaleUp.selectPolicy",
                    "scaleUp.policies[0].type",
                    "scaleUp.policies[0].value",
                    "scaleUp.policies[0].periodSeconds",
                    "scaleUp.tolerance",
                    "scaleDown.policies",
                ]
                .map(|name| format!("spec.behavior.{name}"))
                .to_vec(),
            ),
        ] {
            let mut document = spec;
            if document["scaleTargetRef"].is_null() {
                document["scaleTargetRef"] = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
            }
            let mut found = Violations::default();
            super::spec(&mut found, &serde_json::from_value(document).unwrap(), 1);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
