//! `LimitRange`: what pods, containers and claims of a namespace may ask for.

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::quantity::WRONG_FORMAT;
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
            limit_type(&mut found, &item.type_, &format!("{path}.type"));
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
    let of_container = matches!(item.type_.as_str(), "Pod" | "Container");
    let check = |found: &mut Violations, side: &str, amounts: &Option<Amounts>| {
        for (name, amount) in amounts.iter().flatten() {
            let path = format!("{path}.{side}[{name}]");
            match of_container {
                true => resources::container_name(found, name, &path),
                false => drop(resources::name(found, name, &path)),
            }
            if amount.0.parse::<Quantity>().is_err() {
                found.invalid(path, amount.0.as_str(), WRONG_FORMAT);
            }
        }
    };
    check(found, "max", &item.max);
    check(found, "min", &item.min);
    for (side, amounts) in [("default", &item.default), ("defaultRequest", &item.default_request)] {
        if item.type_ != "Pod" {
            check(found, side, amounts);
        } else if amounts.as_ref().is_some_and(|amounts| !amounts.is_empty()) {
            found.forbidden(format!("{path}.{side}"), "may not be specified when `type` is 'Pod'");
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
    check(found, "maxLimitRequestRatio", &item.max_limit_request_ratio);
    let sides = [&item.max, &item.min, &item.default, &item.default_request, &item.max_limit_request_ratio];
    let names: BTreeSet<&String> =
        sides.into_iter().flat_map(|amounts| amounts.iter().flatten()).map(|(n, _)| n).collect();
    for name in names {
        order(found, item, name, path);
    }
}

fn limit_type(found: &mut Violations, type_: &str, path: &str) {
    let wrong = names::qualified_name(type_);
    if !wrong.is_empty() {
        return each_invalid(found, path, type_, wrong);
    }
    if !type_.contains('/') && !matches!(type_, "Pod" | "Container" | "PersistentVolumeClaim") {
        found.invalid(path, type_, "must be a standard limit type or fully qualified");
    }
}

/// The least must not exceed the default request, nor that the default, nor that the most.
fn order(found: &mut Violations, item: &LimitRangeItem, name: &str, path: &str) {
    let of = |amounts: &Option<Amounts>| amounts.as_ref().and_then(|amounts| amounts.get(name)).map(Quantity::of);
    let is_pod = item.type_ == "Pod";
    let (min, max) = (of(&item.min), of(&item.max));
    let default = of(&item.default).filter(|_| !is_pod);
    let request = of(&item.default_request).filter(|_| !is_pod);
    // Each row: the lower and the higher of two, their names, and the field and value that the message shows.
    for (low, low_name, high, high_name, field, shown) in [
        (min, "min", max, "max", "min", min),
        (min, "min", request, "default request", "defaultRequest", request),
        (request, "default request", max, "max", "defaultRequest", request),
        (request, "default request", default, "default limit", "defaultRequest", request),
        (min, "min", default, "default", "default", min),
        (default, "default", max, "max", "default", max),
    ] {
        if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
            && low > high
        {
            let why = format!("{low_name} value {low} is greater than {high_name} value {high}");
            found.invalid(format!("{path}.{field}[{name}]"), shown.to_string(), why);
        }
    }
    if let Some(ratio) = of(&item.max_limit_request_ratio) {
        let path = format!("{path}.maxLimitRequestRatio[{name}]");
        if ratio < Quantity::from_units(1) {
            found.invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > Quantity::ZERO
        {
            let limit = max.milli() as f64 / min.milli() as f64;
            if ratio.milli() as f64 / 1000.0 > limit {
                found.invalid(path, ratio.to_string(), format!("ratio {ratio} is greater than max/min = {limit:.6}"));
            }
        }
    }
    let overcommits = (!name.contains('/') || name.contains("kubernetes.io/")) && !name.starts_with("hugepages-");
    if let (Some(default), Some(request)) = (default, request)
        && !overcommits
        && default != request
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        found.invalid(format!("{path}.defaultRequest[{name}]"), request.to_string(), why);
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
            ("an unknown type", json!({"type": "Node"}), vec!["spec.limits[0].type"]),
            ("a type of others", json!({"type": "example.com/Image", "max": {"storage": "1Gi"}}), vec![]),
            (
                "storage of a container",
                json!({"type": "Container", "max": {"storage": "1Gi"}}),
                vec!["spec.limits[0].max[storage]"],
            ),
            (
                "more by default than at most",
                json!({"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "500m"}}),
                vec!["spec.limits[0].default[cpu]"],
            ),
            (
                "not all of what cannot be shared",
                json!({"type": "Container", "default": {"x.y/z": "2"}, "defaultRequest": {"x.y/z": "1"}}),
                vec!["spec.limits[0].defaultRequest[x.y/z]"],
            ),
            (
                "a ratio that cannot be",
                json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                vec!["spec.limits[0].maxLimitRequestRatio[cpu]"],
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
