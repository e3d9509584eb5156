//! `LimitRange`: what pods, containers and claims of a namespace may ask for.

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::{Quantity, Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::{each_invalid, resources};

const COLUMNS: &[Column] = &[Column::NAME, Column::path("Created At", ".metadata.creationTimestamp")];

/// The row.
pub fn kind() -> Kind {
    Kind::of(LimitRangeStrategy).short_names(&["limits"]).columns(COLUMNS).create_on_update()
}

type Amounts = BTreeMap<String, ApiQuantity>;

struct LimitRangeStrategy;
impl Strategy for LimitRangeStrategy {
    type Object = LimitRange;

    fn default(&self, range: &mut LimitRange) {
        for item in range.spec.iter_mut().flat_map(|spec| &mut spec.limits).filter(|item| item.type_ == "Container") {
            item_defaults(item);
        }
    }

    fn validate(&self, new: &LimitRange, _old: Option<&LimitRange>) -> Violations {
        let mut found = Violations::default();
        let mut types = BTreeSet::new();
        for (i, item) in new.spec.iter().flat_map(|spec| &spec.limits).enumerate() {
            let path = format!("spec.limits[{i}]");
            if !types.insert(&item.type_) {
                found.duplicate(format!("{path}.type"), item.type_.as_str());
            }
            self::item(&mut found, item, &path);
        }
        found
    }
}

/// What is not limited by default is limited by the most; what is not requested by default, by the limit, else the least.
fn item_defaults(item: &mut LimitRangeItem) {
    let fill = |into: &mut Option<Amounts>, from: &Option<Amounts>| {
        for (name, amount) in from.iter().flatten() {
            into.get_or_insert_default().entry(name.clone()).or_insert_with(|| amount.clone());
        }
    };
    fill(&mut item.default, &item.max);
    fill(&mut item.default_request, &item.default);
    fill(&mut item.default_request, &item.min);
}

fn item(found: &mut Violations, item: &LimitRangeItem, path: &str) {
    let sides = [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio),
    ];
    each_invalid(found, &format!("{path}.type"), &item.type_, names::qualified_name(&item.type_));
    for (side, amounts) in sides {
        for (name, amount) in amounts.iter().flatten() {
            let path = format!("{path}.{side}[{name}]");
            each_invalid(found, &path, name, names::qualified_name(name));
            resources::amount(found, name, amount, &path);
        }
    }
    if item.type_ == "Pod" {
        for (side, amounts) in [("default", &item.default), ("defaultRequest", &item.default_request)] {
            if amounts.as_ref().is_some_and(|amounts| !amounts.is_empty()) {
                found.forbidden(format!("{path}.{side}"), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    if item.type_ == "PersistentVolumeClaim" {
        let storage =
            |amounts: &Option<Amounts>| amounts.as_ref().is_some_and(|amounts| amounts.contains_key("storage"));
        if !storage(&item.min) && !storage(&item.max) {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            found.required(format!("{path}.limits"), why);
        }
    }
    let names: BTreeSet<&String> =
        sides.iter().flat_map(|(_, amounts)| amounts.iter().flatten()).map(|(n, _)| n).collect();
    for name in names {
        order(found, item, name, path);
    }
}

/// The least must not exceed the default request, nor that the default, nor that the most.
fn order(found: &mut Violations, item: &LimitRangeItem, name: &str, path: &str) {
    let of = |amounts: &Option<Amounts>| amounts.as_ref().and_then(|amounts| amounts.get(name)).map(Quantity::of);
    let rising = [
        ("min", "min", of(&item.min)),
        ("defaultRequest", "default request", of(&item.default_request)),
        ("default", "default", of(&item.default)),
        ("max", "max", of(&item.max)),
    ];
    for (i, (side, words, low)) in rising.iter().enumerate() {
        for (_, others, high) in &rising[i + 1..] {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                let why = format!("{words} value {low} is greater than {others} value {high}");
                found.invalid(format!("{path}.{side}[{name}]"), low.to_string(), why);
            }
        }
    }
    let Some(ratio) = of(&item.max_limit_request_ratio) else { return };
    let path = format!("{path}.maxLimitRequestRatio[{name}]");
    if ratio < Quantity::from_units(1) {
        found.invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    if let (Some(low), Some(high)) = (of(&item.min), of(&item.max))
        && low > Quantity::ZERO
    {
        let limit = high.milli() as f64 / low.milli() as f64;
        if ratio.milli() as f64 / 1000.0 > limit {
            found.invalid(path, ratio.to_string(), format!("ratio {ratio} is greater than max/min = {limit:.6}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn range(item: Value) -> LimitRange {
        serde_json::from_value(json!({"spec": {"limits": [item]}})).unwrap()
    }

    #[test]
    fn defaults_follow_the_bounds_of_containers() {
        for (case, kind, default, request) in [
            ("containers", "Container", json!({"cpu": "2"}), json!({"cpu": "2"})),
            ("pods have none", "Pod", Value::Null, Value::Null),
        ] {
            let mut range = range(json!({"type": kind, "max": {"cpu": "2"}, "min": {"cpu": "1"}}));
            LimitRangeStrategy.default(&mut range);
            let item = serde_json::to_value(&range.spec.unwrap().limits[0]).unwrap();
            assert_eq!((&item["default"], &item["defaultRequest"]), (&default, &request), "{case}");
        }
    }

    #[test]
    fn bounds_must_be_in_order() {
        for (case, item, wrong) in [
            ("in order", json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}}), vec![]),
            (
                "crossed",
                json!({"type": "Container", "min": {"cpu": "3"}, "max": {"cpu": "2"}}),
                vec!["spec.limits[0].min[cpu]"],
            ),
            ("a pod has no default", json!({"type": "Pod", "default": {"cpu": "1"}}), vec!["spec.limits[0].default"]),
            ("a claim without storage", json!({"type": "PersistentVolumeClaim"}), vec!["spec.limits[0].limits"]),
            (
                "a ratio below one",
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}),
                vec!["spec.limits[0].maxLimitRequestRatio[cpu]"],
            ),
        ] {
            assert_eq!(LimitRangeStrategy.validate(&range(item), None).fields(), wrong, "{case}");
        }
    }
}
