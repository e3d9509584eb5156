//! `ResourceSlice`: devices that a driver offers, on one node or on several.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::resource::v1::{ResourceSlice, ResourceSliceSpec};
use sdk_api::{Timestamp, Violations, checks, names as rules, time};
use sdk_plugin::cells::UNSET;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use serde_json::json;

use super::{device, names};

const DEVICES_MAX: usize = 128;
/// Devices with taints or counters are larger.
const LARGE_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Node", |slice, _| slice["spec"]["nodeName"].as_str().unwrap_or(UNSET).into()),
    Column::path("Driver", ".spec.driver"),
    Column::path("Pool", ".spec.pool.name"),
    Column::AGE,
];

const FIELDS: &[FieldOf] = &[
    FieldOf { name: "spec.nodeName", value: |slice| slice["spec"]["nodeName"].as_str().unwrap_or_default().into() },
    FieldOf { name: "spec.driver", value: |slice| slice["spec"]["driver"].as_str().unwrap_or_default().into() },
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(ResourceSliceStrategy).columns(COLUMNS).delete_answers_object().fields(FIELDS).generation()
}

struct ResourceSliceStrategy;
impl Strategy for ResourceSliceStrategy {
    type Object = ResourceSlice;

    fn prepare_create(&self, new: &mut ResourceSlice, now: Timestamp) {
        date_taints(new, None, now);
    }

    fn prepare_update(&self, new: &mut ResourceSlice, old: &ResourceSlice, now: Timestamp) {
        date_taints(new, Some(old), now);
    }

    fn validate(&self, new: &ResourceSlice, old: Option<&ResourceSlice>) -> Violations {
        let mut found = Violations::default();
        let (spec, before) = (&new.spec, old.map(|old| &old.spec));
        names::driver(&mut found, "spec.driver", &spec.driver);
        pool(&mut found, spec);
        if let Some(before) = before {
            checks::unchanged(&mut found, "spec.pool.name", &spec.pool.name, &before.pool.name);
            checks::unchanged(&mut found, "spec.driver", &spec.driver, &before.driver);
            checks::unchanged(&mut found, "spec.nodeName", &spec.node_name, &before.node_name);
        }
        place(&mut found, spec);
        if spec.shared_counters.is_some() && spec.devices.is_some() {
            found.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed");
        }
        devices(&mut found, spec, before);
        counter_sets(&mut found, spec);
        found
    }
}

/// Says of taints that do not say so themselves since when they are there.
fn date_taints(slice: &mut ResourceSlice, old: Option<&ResourceSlice>, now: Timestamp) {
    let before = old.into_iter().flat_map(|old| old.spec.devices.iter().flatten());
    let before: Vec<_> = before.map(|device| (&device.name, device.taints.as_deref().unwrap_or_default())).collect();
    for device in slice.spec.devices.iter_mut().flatten() {
        let known = before.iter().find(|(name, _)| **name == device.name).map_or(&[][..], |(_, taints)| taints);
        for taint in device.taints.iter_mut().flatten().filter(|taint| taint.time_added.is_none()) {
            let same = known
                .iter()
                .find(|known| (&known.key, &known.value, &known.effect) == (&taint.key, &taint.value, &taint.effect));
            taint.time_added =
                same.and_then(|known| known.time_added.clone()).or_else(|| Some(time::whole_seconds(now).into()));
        }
    }
}

fn pool(found: &mut Violations, spec: &ResourceSliceSpec) {
    names::pool(found, "spec.pool.name", &spec.pool.name);
    let (count, generation) = (spec.pool.resource_slice_count, spec.pool.generation);
    if count <= 0 {
        found.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero");
    }
    if generation < 0 {
        found.invalid("spec.pool.generation", generation, "must be greater than or equal to zero");
    }
}

/// Where the devices can be used is said in one of four ways.
fn place(found: &mut Violations, spec: &ResourceSliceSpec) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut ways = Vec::new();
    match spec.node_name.as_deref() {
        None => {}
        Some("") => found.invalid("spec.nodeName", "", "must be either unset or set to a non-empty string"),
        Some(name) => {
            ways.push("`nodeName`");
            each_invalid(found, "spec.nodeName", name, rules::dns1123_subdomain(name));
        }
    }
    if let Some(selector) = &spec.node_selector {
        ways.push("`nodeSelector`");
        sdk_workload::validate::scheduling::node_selector(found, selector, "spec.nodeSelector", false);
        // Selectors of several slices are joined when devices are given; that is simple for one term each.
        if selector.node_selector_terms.len() != 1 {
            let terms = json!(selector.node_selector_terms);
            found.invalid("spec.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term");
        }
    }
    for (name, way, flag) in [
        ("allNodes", "`allNodes`", spec.all_nodes),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`", spec.per_device_node_selection),
    ] {
        match flag {
            None => {}
            Some(true) => ways.push(way),
            Some(false) => {
                found.invalid(format!("spec.{name}"), false, "must be either unset or set to true");
            }
        }
    }
    match ways.len() {
        0 => found.required("spec", ONE),
        1 => {}
        _ => {
            let why = format!("{ONE}, but multiple fields are set");
            found.invalid("spec", format!("{{{}}}", ways.join(", ")), why);
        }
    }
}

fn devices(found: &mut Violations, spec: &ResourceSliceSpec, before: Option<&ResourceSliceSpec>) {
    const FIELD: &str = "spec.devices";
    let devices = spec.devices.as_deref().unwrap_or_default();
    let is_large = |device: &sdk_api::k8s_openapi::api::resource::v1::Device| {
        let has = |len: Option<usize>| len.unwrap_or(0) > 0;
        has(device.taints.as_ref().map(Vec::len)) || has(device.consumes_counters.as_ref().map(Vec::len))
    };
    let max = if devices.iter().any(is_large) { LARGE_DEVICES_MAX } else { DEVICES_MAX };
    if devices.len() > max {
        return found.too_many(FIELD, devices.len(), max);
    }
    let known = before.and_then(|before| before.devices.as_deref()).unwrap_or_default();
    let chooses_nodes = spec.per_device_node_selection == Some(true);
    for (at, device) in devices.iter().enumerate() {
        let old = known.iter().find(|known| known.name == device.name);
        device::validate(found, &format!("{FIELD}[{at}]"), device, old, chooses_nodes);
    }
    names::unique(found, FIELD, devices.iter().map(|device| device.name.as_str()));
}

fn counter_sets(found: &mut Violations, spec: &ResourceSliceSpec) {
    const FIELD: &str = "spec.sharedCounters";
    let sets = spec.shared_counters.as_deref().unwrap_or_default();
    if sets.len() > COUNTER_SETS_MAX {
        return found.too_many(FIELD, sets.len(), COUNTER_SETS_MAX);
    }
    for (at, set) in sets.iter().enumerate() {
        let field = format!("{FIELD}[{at}]");
        device::counters(found, (&format!("{field}.name"), &set.name), &field, set.counters.keys());
    }
    names::unique(found, FIELD, sets.iter().map(|set| set.name.as_str()));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn slice(changes: Value) -> ResourceSlice {
        let mut spec = json!({
            "driver": "gpu.example.com", "nodeName": "n1",
            "pool": {"name": "n1", "generation": 0, "resourceSliceCount": 1},
        });
        for (name, value) in changes.as_object().unwrap() {
            spec[name] = value.clone();
        }
        serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap()
    }

    #[test]
    fn slices_are_checked() {
        let device = |name: &str| json!({"name": name});
        let term = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
        let many: Vec<_> = (0..129).map(|n| device(&format!("d{n}"))).collect();
        let mut tainted: Vec<_> = (0..65).map(|n| device(&format!("d{n}"))).collect();
        tainted[0]["taints"] = json!([{"key": "a", "effect": "None"}]);
        for (case, changes, wrong) in [
            ("plain", json!({"devices": [device("gpu-0")]}), vec![]),
            ("no driver", json!({"driver": ""}), vec!["spec.driver", "spec.driver"]),
            (
                "a pool of nothing",
                json!({"pool": {"name": "", "generation": -1, "resourceSliceCount": 0}}),
                vec!["spec.pool.name", "spec.pool.resourceSliceCount", "spec.pool.generation"],
            ),
            ("nowhere", json!({"nodeName": null}), vec!["spec"]),
            ("in two ways", json!({"allNodes": true}), vec!["spec"]),
            ("not on all nodes", json!({"nodeName": null, "allNodes": false}), vec!["spec.allNodes", "spec"]),
            ("chosen", json!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": [term]}}), vec![]),
            (
                "chosen in two terms",
                json!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": [term, term]}}),
                vec!["spec.nodeSelector.nodeSelectorTerms"],
            ),
            ("a device twice", json!({"devices": [device("a"), device("a")]}), vec!["spec.devices[1]"]),
            ("too many", json!({"devices": many}), vec!["spec.devices"]),
            ("too many of the large ones", json!({"devices": tainted}), vec!["spec.devices"]),
            (
                "counters",
                json!({"sharedCounters": [{"name": "s", "counters": {"c": {"value": "1"}}}, {"name": "S", "counters": {}}]}),
                vec!["spec.sharedCounters[1].name", "spec.sharedCounters[1].counters"],
            ),
            (
                "counters and devices",
                json!({"devices": [], "sharedCounters": [{"name": "s", "counters": {"c": {"value": "1"}}}]}),
                vec!["spec"],
            ),
        ] {
            assert_eq!(ResourceSliceStrategy.validate(&slice(changes), None).fields(), wrong, "{case}");
        }
        let moved = slice(json!({"nodeName": "n2", "driver": "x.io"}));
        let found = ResourceSliceStrategy.validate(&moved, Some(&slice(json!({}))));
        assert_eq!(found.fields(), ["spec.driver", "spec.nodeName"]);
    }

    #[test]
    fn taints_are_dated_once() {
        let tainted = || slice(json!({"devices": [{"name": "d", "taints": [{"key": "a", "effect": "None"}]}]}));
        let date = |slice: &ResourceSlice| {
            json!(slice.spec.devices.as_ref().unwrap()[0].taints.as_ref().unwrap()[0].time_added)
        };
        let first = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut old = tainted();
        ResourceSliceStrategy.prepare_create(&mut old, first);
        assert_eq!(date(&old), "2026-01-01T00:00:00Z");
        let mut new = tainted();
        ResourceSliceStrategy.prepare_update(&mut new, &old, "2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(date(&new), "2026-01-01T00:00:00Z");
    }
}
