//! A device as a driver publishes it: attributes, capacities, taints, where it can be used.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceCounterConsumption, DeviceTaint};
use sdk_api::{Violations, names as rules};
use serde_json::{Value, json};

use super::configuration::EFFECTS;
use super::{capacity, names};

/// Attributes and capacities together.
const PROPERTIES_MAX: usize = 32;
/// Bytes of an attribute's text or version.
const ATTRIBUTE_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
/// Counter sets that a device draws on, and counters of one of them.
const CONSUMPTIONS_MAX: usize = 2;
const COUNTERS_MAX: usize = 32;
const BINDINGS_MAX: usize = 4;

/// Checks a device; `old` is what was published under its name before.
pub fn validate(found: &mut Violations, field: &str, device: &Device, old: Option<&Device>, chooses_nodes: bool) {
    names::label(found, &format!("{field}.name"), &device.name);
    let attributes = device.attributes.iter().flatten();
    let capacities = device.capacity.iter().flatten();
    let properties = attributes.clone().count() + capacities.clone().count();
    if properties > PROPERTIES_MAX {
        let why = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        found.invalid(field, properties, why);
    }
    for (name, attribute) in attributes {
        let field = format!("{field}.attributes[{name}]");
        names::qualified(found, &field, name);
        validate_attribute(found, &field, attribute);
    }
    let is_shared = device.allow_multiple_allocations == Some(true);
    for (name, amount) in capacities {
        let field = format!("{field}.capacity[{name}]");
        names::qualified(found, &field, name);
        capacity::validate(found, &field, amount, is_shared);
    }
    let taints = device.taints.as_deref().unwrap_or_default();
    if old.is_none_or(|old| old.taints != device.taints) {
        validate_taints(found, &format!("{field}.taints"), taints);
    }
    let consumptions = device.consumes_counters.as_deref().unwrap_or_default();
    validate_consumptions(found, &format!("{field}.consumesCounters"), consumptions);
    validate_place(found, field, device, chooses_nodes);
    bindings(
        found,
        field,
        device.binding_conditions.as_deref().unwrap_or_default(),
        device.binding_failure_conditions.as_deref().unwrap_or_default(),
    );
}

fn validate_attribute(found: &mut Violations, field: &str, attribute: &DeviceAttribute) {
    let texts = [("string", &attribute.string), ("version", &attribute.version)];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))) {
        if name == "version" && !is_semantic_version(text) {
            let why = "must be a string compatible with semver.org spec 2.0.0";
            found.invalid(format!("{field}.version"), text, why);
        }
        if text.len() > ATTRIBUTE_MAX {
            found.too_long(format!("{field}.{name}"), ATTRIBUTE_MAX);
        }
    }
    let document = json!(attribute);
    match document.as_object().map_or(0, serde_json::Map::len) {
        1 => {}
        0 => found.invalid(field, "", "exactly one value must be specified"),
        _ => found.invalid(field, document, "exactly one value must be specified"),
    }
}

/// Source: semver.org, 2.0.0.
fn is_semantic_version(text: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_early = |part: &str| is_word(part) && (part.bytes().any(|b| !b.is_ascii_digit()) || is_number(part));
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (numbers, early) = text.split_once('-').map_or((text, None), |(text, early)| (text, Some(early)));
    let numbers: Vec<_> = numbers.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|part| !part.is_empty() && is_number(part))
        && early.is_none_or(|early| early.split('.').all(is_early))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn validate_taints(found: &mut Violations, field: &str, taints: &[DeviceTaint]) {
    if taints.len() > TAINTS_MAX {
        return found.too_many(field, taints.len(), TAINTS_MAX);
    }
    for (at, taint) in taints.iter().enumerate() {
        let at = |name: &str| format!("{field}[{at}].{name}");
        each_invalid(found, at("key"), &taint.key, rules::qualified_name(&taint.key));
        let value = taint.value.as_deref().unwrap_or_default();
        each_invalid(found, at("value"), value, rules::label_value(value));
        match taint.effect.as_str() {
            "" => found.required(at("effect"), ""),
            effect if EFFECTS.contains(&effect) => {}
            other => found.not_supported(at("effect"), other, &EFFECTS),
        }
    }
}

fn validate_consumptions(found: &mut Violations, field: &str, consumptions: &[DeviceCounterConsumption]) {
    if consumptions.len() > CONSUMPTIONS_MAX {
        return found.too_many(field, consumptions.len(), CONSUMPTIONS_MAX);
    }
    for (at, consumption) in consumptions.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let names = consumption.counters.keys();
        counters(found, (&format!("{field}.counterSet"), &consumption.counter_set), &field, names);
    }
    names::unique(found, field, consumptions.iter().map(|consumption| consumption.counter_set.as_str()));
}

/// Checks the name of a set of counters, and the names of the counters in it.
pub fn counters<'a>(
    found: &mut Violations,
    (name_field, name): (&str, &str),
    field: &str,
    counters: impl ExactSizeIterator<Item = &'a String>,
) {
    if name.is_empty() {
        found.required(name_field, "");
    } else {
        names::label(found, name_field, name);
    }
    let field = format!("{field}.counters");
    match counters.len() {
        0 => found.required(field, ""),
        more if more > COUNTERS_MAX => found.too_many(field, more, COUNTERS_MAX),
        _ => counters.for_each(|counter| names::label(found, &format!("{field}[{counter}]"), counter)),
    }
}

/// Where a device can be used, which it says itself only where the slice leaves it to its devices.
fn validate_place(found: &mut Violations, field: &str, device: &Device, chooses_nodes: bool) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
         `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let says = device.node_name.is_some() || device.node_selector.is_some() || device.all_nodes.is_some();
    if !chooses_nodes {
        if says {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                       true in the ResourceSlice spec";
            found.invalid(field, Value::Null, why);
        }
        return;
    }
    let mut places = Vec::new();
    match device.node_name.as_deref() {
        None => {}
        Some("") => found.invalid(format!("{field}.nodeName"), "", "must not be empty"),
        Some(name) => {
            places.push("`nodeName`");
            each_invalid(found, format!("{field}.nodeName"), name, rules::dns1123_subdomain(name));
        }
    }
    if let Some(selector) = &device.node_selector {
        places.push("`nodeSelector`");
        let field = format!("{field}.nodeSelector");
        sdk_workload::validate::scheduling::node_selector(found, selector, &field, false);
    }
    match device.all_nodes {
        None => {}
        Some(true) => places.push("`allNodes`"),
        Some(false) => found.invalid(format!("{field}.allNodes"), false, "must be either unset or set to true"),
    }
    match places.len() {
        0 => found.required(field, ONE),
        1 => {}
        _ => found.invalid(field, format!("{{{}}}", places.join(", ")), ONE),
    }
}

/// Conditions that a pod waits for before it is bound. Source: KEP-5007.
pub fn bindings(found: &mut Violations, field: &str, wanted: &[String], failures: &[String]) {
    let lists = [("bindingConditions", wanted), ("bindingFailureConditions", failures)];
    for (name, list) in lists {
        let field = format!("{field}.{name}");
        if list.len() > BINDINGS_MAX {
            found.too_many(&field, list.len(), BINDINGS_MAX);
        } else {
            for (at, condition) in list.iter().enumerate() {
                each_invalid(found, format!("{field}[{at}]"), condition, rules::qualified_name(condition));
            }
        }
        names::unique(found, &field, list.iter().map(String::as_str));
    }
    for (at, condition) in failures.iter().enumerate().filter(|(_, condition)| wanted.contains(condition)) {
        let field = format!("{field}.bindingFailureConditions[{at}]");
        let why = "bindingFailureConditions must not overlap with bindingConditions";
        found.invalid(field, condition.as_str(), why);
    }
    let [(wanted_name, _), (failures_name, _)] = lists;
    for (name, list, other_name, other) in
        [(wanted_name, wanted, failures_name, failures), (failures_name, failures, wanted_name, wanted)]
    {
        if list.is_empty() && !other.is_empty() {
            found.invalid(format!("{field}.{name}"), json!(null), format!("{name} are required to use {other_name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for good in ["1.2.3", "0.0.0", "1.0.0-alpha.1", "1.0.0-0a", "1.0.0+build.01", "1.0.0-x-y.z+a"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "1.2", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "v1.2.3", "1.2.3-a..b", "1..3"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }

    #[test]
    fn devices_are_checked() {
        let attributes = |value: Value| json!({"attributes": {"a": value}});
        let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("a{n}"), json!({"int": n}))).collect();
        for (case, device, chooses_nodes, wrong) in [
            ("plain", json!({}), false, vec![]),
            ("attributes", attributes(json!({"version": "1.0.0"})), false, vec![]),
            ("an attribute of nothing", attributes(json!({})), false, vec!["d.attributes[a]"]),
            ("an attribute of two kinds", attributes(json!({"int": 1, "bool": true})), false, vec!["d.attributes[a]"]),
            ("a long text", attributes(json!({"string": "x".repeat(65)})), false, vec!["d.attributes[a].string"]),
            ("a version of sorts", attributes(json!({"version": "1.0"})), false, vec!["d.attributes[a].version"]),
            ("a bad name", json!({"attributes": {"a-b": {"int": 1}}}), false, vec!["d.attributes[a-b]"]),
            ("too many", json!({"attributes": many}), false, vec!["d"]),
            (
                "taints",
                json!({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "", "effect": ""}, {"key": "a", "effect": "X"}]}),
                false,
                vec!["d.taints[1].key", "d.taints[1].key", "d.taints[1].effect", "d.taints[2].effect"],
            ),
            (
                "counters",
                json!({"consumesCounters": [{"counterSet": "s", "counters": {"c": {"value": "1"}}}, {"counters": {}}]}),
                false,
                vec!["d.consumesCounters[1].counterSet", "d.consumesCounters[1].counters"],
            ),
            ("a place that is not asked for", json!({"nodeName": "n"}), false, vec!["d"]),
            ("a place", json!({"nodeName": "n"}), true, vec![]),
            ("no place", json!({}), true, vec!["d"]),
            ("two places", json!({"nodeName": "n", "allNodes": true}), true, vec!["d"]),
            ("not all nodes", json!({"allNodes": false}), true, vec!["d.allNodes", "d"]),
            (
                "conditions",
                json!({"bindingConditions": ["a", "a"], "bindingFailureConditions": ["a"]}),
                false,
                vec!["d.bindingConditions[1]", "d.bindingFailureConditions[0]"],
            ),
            ("no failure", json!({"bindingConditions": ["a"]}), false, vec!["d.bindingFailureConditions"]),
        ] {
            let mut device = device;
            device["name"] = json!("gpu-0");
            let device: Device = serde_json::from_value(device).unwrap();
            let mut found = Violations::default();
            validate(&mut found, "d", &device, None, chooses_nodes);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
