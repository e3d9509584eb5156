//! `ResourceSlice`: devices that a driver offers, on one node or on several.

use sdk_api::k8s_openapi::api::resource::v1::ResourceSlice;
use sdk_plugin::cells::UNSET;
use sdk_plugin::{Column, FieldOf, Kind};

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
    Kind::plain::<ResourceSlice>().columns(COLUMNS).fields(FIELDS).generation()
}
