//! Tables: what `kubectl get` shows. Source: KEP-1623, `meta.k8s.io/v1` Table.

use sdk_api::{Object, Timestamp};
use sdk_plugin::Kind;
use serde_json::{Value, json};

/// The column definitions of a kind.
pub fn table_header(kind: &Kind) -> Vec<Value> {
    let column = |column: &sdk_plugin::TableColumn| {
        json!({
            "name": column.name, "type": column.kind, "format": column.format,
            "description": column.description, "priority": column.priority,
        })
    };
    kind.columns.iter().map(column).collect()
}

/// The cells of one object.
pub fn table_row(kind: &Kind, object: &Object, now: Timestamp) -> Vec<Value> {
    let tree = object.document();
    kind.columns.iter().map(|column| column.value(&tree, now)).collect()
}
