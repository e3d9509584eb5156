//! `ComponentStatus`: how the parts of a control plane are. Deprecated, and ours has no parts that could be asked one by one.

use sdk_api::k8s_openapi::api::core::v1::ComponentStatus;
use sdk_plugin::{Column, Kind};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Status", |component, _| match healthy(component).map(|condition| &condition["status"]) {
        None => "Unknown".into(),
        Some(status) if status == "True" => "Healthy".into(),
        Some(_) => "Unhealthy".into(),
    })
    .describe("Status of the component conditions"),
    Column::compute("Message", |component, _| word(component, "message"))
        .describe("Message of the component conditions"),
    Column::compute("Error", |component, _| word(component, "error")).describe("Error of the component conditions"),
];

/// The row. Nothing writes objects of this kind; whoever lists them is told that it is deprecated.
pub fn kind() -> Kind {
    Kind::plain::<ComponentStatus>()
        .verbs(&["get", "list"])
        .short_names(&["cs"])
        .columns(COLUMNS)
        .deprecated("v1 ComponentStatus is deprecated in v1.19+")
}

fn healthy(component: &Value) -> Option<&Value> {
    component["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Healthy")
}

fn word(component: &Value, field: &str) -> Value {
    healthy(component).and_then(|condition| condition[field].as_str()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use sdk_api::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_sums_up_the_conditions() {
        for (case, conditions, expected) in [
            ("nothing known", json!([]), ["Unknown", "", ""]),
            ("well", json!([{"type": "Healthy", "status": "True", "message": "ok"}]), ["Healthy", "ok", ""]),
            ("ill", json!([{"type": "Healthy", "status": "False", "error": "gone"}]), ["Unhealthy", "", "gone"]),
        ] {
            let component = json!({ "conditions": conditions });
            let cells: Vec<_> =
                COLUMNS[1..].iter().map(|column| column.value(&component, Timestamp::UNIX_EPOCH)).collect();
            assert_eq!(cells, expected, "{case}");
        }
    }
}
