//! `CSINode`: the volume drivers of a node.

use sdk_api::k8s_openapi::api::storage::v1::CSINode;
use sdk_api::{Violations, checks};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Drivers", |node, _| node["spec"]["drivers"].as_array().map_or(0, Vec::len).into())
        .typed("integer")
        .describe("Drivers indicates the number of CSI drivers registered on the node"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(CsiNodeStrategy).columns(COLUMNS).revision_required()
}

struct CsiNodeStrategy;
impl Strategy for CsiNodeStrategy {
    type Object = CSINode;

    fn validate(&self, new: &CSINode, _old: Option<&CSINode>) -> Violations {
        let mut found = Violations::default();
        let mut seen = Vec::new();
        for (at, driver) in new.spec.drivers.iter().enumerate() {
            let field = format!("spec.drivers[{at}]");
            if driver.name.is_empty() {
                found.required(format!("{field}.name"), "");
            }
            if driver.node_id.is_empty() {
                found.required(format!("{field}.nodeID"), "");
            }
            checks::not_negative(
                &mut found,
                format!("{field}.allocatable.count"),
                driver.allocatable.as_ref().and_then(|a| a.count),
            );
            if seen.contains(&&driver.name) {
                found.duplicate(format!("{field}.name"), driver.name.as_str());
            }
            seen.push(&driver.name);
        }
        found
    }
}
