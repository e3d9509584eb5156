//! Columns that a definition names. Source: `additionalPrinterColumns`, and upstream's `tableconvertor`.

use std::sync::Arc;

use jiff::Timestamp;
use sdk_plugin::column::age_of;
use sdk_plugin::{Column, TableColumn};
use serde_json::Value;

use crate::json_path::JsonPath;

/// All columns of a version: the name, and what its definition says, or else the age.
pub fn columns(version: &Value) -> Vec<TableColumn> {
    let given = version["additionalPrinterColumns"].as_array().filter(|given| !given.is_empty());
    let more = match given {
        Some(given) => given.iter().filter_map(column).collect(),
        None => vec![TableColumn { kind: "date".into(), ..Column::AGE.into() }],
    };
    std::iter::once(Column::NAME.into()).chain(more).collect()
}

fn column(given: &Value) -> Option<TableColumn> {
    let text = |field: &str| given[field].as_str().unwrap_or_default().to_owned();
    let path = JsonPath::parse(given["jsonPath"].as_str()?).ok()?;
    let (name, kind) = (text("name"), text("type"));
    let description = match text("description") {
        none if none.is_empty() => {
            format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath"))
        }
        words => words,
    };
    let shown = kind.clone();
    Some(TableColumn {
        name: name.into(),
        kind: kind.into(),
        format: text("format").into(),
        description: description.into(),
        priority: given["priority"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        cell: Arc::new(move |object, now| cell(&shown, path.find(object).first().copied(), now)),
    })
}

/// The first value at the path in the column's type; null where it is of another.
fn cell(kind: &str, value: Option<&Value>, now: Timestamp) -> Value {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Value::Null };
    match (kind, value) {
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(_) => age_of(value, now),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_of_the_columns_type() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "S", "type": "string", "jsonPath": ".s"}, {"name": "I", "type": "integer", "jsonPath": ".i"},
            {"name": "B", "type": "boolean", "jsonPath": ".b", "priority": 1}, {"name": "D", "type": "date", "jsonPath": ".d"},
        ]});
        let columns = columns(&version);
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        for (object, cells) in [
            (json!({"s": "x", "i": 3, "b": true, "d": "2026-01-01T00:00:00Z"}), json!(["x", 3, true, "60m"])),
            (
                json!({"s": {"a": 1}, "i": "3", "b": "true", "d": "never"}),
                json!(["{\"a\":1}", null, null, "<invalid>"]),
            ),
            (json!({"i": 3.7}), json!([null, 3, null, null])),
        ] {
            let shown: Vec<_> = columns[1..].iter().map(|column| column.value(&object, now)).collect();
            assert_eq!(json!(shown), cells);
        }
        let plain = super::columns(&json!({}));
        assert_eq!(plain.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["Name", "Age"]);
    }
}
