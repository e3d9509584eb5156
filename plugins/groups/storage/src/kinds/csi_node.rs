//! `CSINode`: the volume drivers of a node.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver};
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

use super::drivers;

/// Bytes of what a driver calls the node.
const NODE_ID_MAX: usize = 192;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Drivers", |node, _| node["spec"]["drivers"].as_array().map_or(0, Vec::len).into())
        .typed("integer")
        .describe("Drivers indicates the number of CSI drivers registered on the node"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(CsiNodeStrategy).columns(COLUMNS).delete_answers_object().revision_required()
}

struct CsiNodeStrategy;
impl Strategy for CsiNodeStrategy {
    type Object = CSINode;

    fn validate(&self, new: &CSINode, old: Option<&CSINode>) -> Violations {
        let mut found = Violations::default();
        let drivers = &new.spec.drivers;
        for (at, driver) in drivers.iter().enumerate() {
            let field = format!("spec.drivers[{at}]");
            validate_driver(&mut found, &field, driver);
            if drivers[..at].iter().any(|earlier| earlier.name == driver.name) {
                found.duplicate(format!("{field}.name"), driver.name.as_str());
            }
        }
        // How many volumes fit may change while a driver is there, and nothing else of it.
        let fixed = |driver: &CSINodeDriver| CSINodeDriver { allocatable: None, ..driver.clone() };
        for before in old.into_iter().flat_map(|old| &old.spec.drivers) {
            for driver in drivers.iter().filter(|driver| driver.name == before.name) {
                checks::unchanged(&mut found, "spec.drivers", &fixed(driver), &fixed(before));
            }
        }
        found
    }
}

fn validate_driver(found: &mut Violations, field: &str, driver: &CSINodeDriver) {
    drivers::driver(found, &format!("{field}.name"), &driver.name);
    let id = driver.node_id.as_str();
    if id.is_empty() {
        found.required(format!("{field}.nodeID"), "");
    } else if id.len() > NODE_ID_MAX {
        let why = format!("must be {NODE_ID_MAX} characters or less");
        found.invalid(format!("{field}.nodeID"), id, why);
    }
    let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
    checks::not_negative(found, format!("{field}.allocatable.count"), count);
    let keys = driver.topology_keys.as_deref().unwrap_or_default();
    for (at, key) in keys.iter().enumerate() {
        if key.is_empty() {
            found.required(field, "");
        }
        if keys[..at].contains(key) {
            found.duplicate(field, key.as_str());
        }
        each_invalid(found, field, key, names::qualified_name(key));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(drivers: Value) -> CSINode {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}})).unwrap()
    }

    #[test]
    fn drivers_are_checked() {
        for (case, drivers, wrong) in [
            ("none", json!([]), vec![]),
            ("one", json!([{"name": "d.io", "nodeID": "x", "topologyKeys": ["a.io/zone"]}]), vec![]),
            (
                "no name",
                json!([{"name": "", "nodeID": ""}]),
                vec!["spec.drivers[0].name", "spec.drivers[0].name", "spec.drivers[0].nodeID"],
            ),
            ("a long id", json!([{"name": "d.io", "nodeID": "x".repeat(193)}]), vec!["spec.drivers[0].nodeID"]),
            (
                "twice, with less than nothing",
                json!([{"name": "d.io", "nodeID": "x"}, {"name": "d.io", "nodeID": "x", "allocatable": {"count": -1}}]),
                vec!["spec.drivers[1].allocatable.count", "spec.drivers[1].name"],
            ),
            ("keys", json!([{"name": "d.io", "nodeID": "x", "topologyKeys": ["a", "a"]}]), vec!["spec.drivers[0]"]),
        ] {
            assert_eq!(CsiNodeStrategy.validate(&node(drivers), None).fields(), wrong, "{case}");
        }
        let old = node(json!([{"name": "d.io", "nodeID": "x", "allocatable": {"count": 1}}]));
        let grown = node(json!([{"name": "d.io", "nodeID": "x", "allocatable": {"count": 2}}]));
        assert!(CsiNodeStrategy.validate(&grown, Some(&old)).is_empty());
        let other = node(json!([{"name": "d.io", "nodeID": "y", "allocatable": {"count": 1}}]));
        assert_eq!(CsiNodeStrategy.validate(&other, Some(&old)).fields(), ["spec.drivers"]);
    }
}
