//! `CSIStorageCapacity`: how much of a storage class is left in a place.

use sdk_api::k8s_openapi::api::storage::v1::CSIStorageCapacity;
use sdk_api::{Violations, checks};
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
        if new.storage_class_name.is_empty() {
            found.required("storageClassName", "");
        }
        if let Some(topology) = &new.node_topology {
            checks::label_selector(&mut found, "nodeTopology", topology);
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "nodeTopology", &new.node_topology, &old.node_topology);
            checks::unchanged(&mut found, "storageClassName", &new.storage_class_name, &old.storage_class_name);
        }
        found
    }
}
