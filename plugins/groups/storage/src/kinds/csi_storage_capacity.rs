//! `CSIStorageCapacity`: how much of a storage class is left in a place.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::storage::v1::CSIStorageCapacity;
use sdk_api::{Quantity, Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("StorageClassName", ".storageClassName"),
    Column::compute("Capacity", |capacity, _| capacity["capacity"].as_str().unwrap_or(sdk_plugin::cells::UNSET).into()),
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(CsiStorageCapacityStrategy).columns(COLUMNS).revision_required()
}

struct CsiStorageCapacityStrategy;
impl Strategy for CsiStorageCapacityStrategy {
    type Object = CSIStorageCapacity;

    fn validate(&self, new: &CSIStorageCapacity, old: Option<&CSIStorageCapacity>) -> Violations {
        let mut found = Violations::default();
        if let Some(topology) = &new.node_topology {
            checks::label_selector(&mut found, "nodeTopology", topology);
        }
        let class = new.storage_class_name.as_str();
        each_invalid(&mut found, "storageClassName", class, names::dns1123_subdomain(class));
        if let Some(capacity) = new.capacity.as_ref().filter(|capacity| Quantity::of(capacity).is_negative()) {
            found.invalid("capacity", capacity.0.as_str(), "must be greater than or equal to 0");
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "nodeTopology", &new.node_topology, &old.node_topology);
            checks::unchanged(&mut found, "storageClassName", &new.storage_class_name, &old.storage_class_name);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn capacities_are_of_a_class_and_a_place() {
        let capacity = |change: Value| -> CSIStorageCapacity {
            let mut body = json!({"metadata": {"name": "c"}, "storageClassName": "fast", "capacity": "1Gi"});
            for (name, value) in change.as_object().unwrap() {
                body[name] = value.clone();
            }
            serde_json::from_value(body).unwrap()
        };
        let old = capacity(json!({}));
        for (case, change, old, wrong) in [
            ("plain", json!({}), None, vec![]),
            ("no class", json!({"storageClassName": ""}), None, vec!["storageClassName"]),
            ("less than nothing", json!({"capacity": "-1"}), None, vec!["capacity"]),
            (
                "a bad place",
                json!({"nodeTopology": {"matchLabels": {"a": "b c"}}}),
                None,
                vec!["nodeTopology.matchLabels"],
            ),
            ("another amount", json!({"capacity": "2Gi"}), Some(&old), vec![]),
            (
                "another place and class",
                json!({"storageClassName": "slow", "nodeTopology": {}}),
                Some(&old),
                vec!["nodeTopology", "storageClassName"],
            ),
        ] {
            let found = CsiStorageCapacityStrategy.validate(&capacity(change), old);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
