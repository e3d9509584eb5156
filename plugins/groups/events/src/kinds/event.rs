//! `events.k8s.io/v1` Event: the core `v1` Event under newer field names. Stored as the core kind.

use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::GroupVersionKind;
use sdk_api::k8s_openapi::api::events::v1::Event;
use sdk_plugin::column::age_of;
use sdk_plugin::strategy::Lens;
use sdk_plugin::{Column, FieldOf, Kind, StoredAs};
use serde_json::Value;

use super::strict::Strict;

/// This version's field, the stored one.
const FIELDS_MAP: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

const COLUMNS: &[Column] = &[
    Column::compute("Last Seen", |event, now| seen(event, "lastTimestamp", now)),
    Column::path("Type", ".type"),
    Column::path("Reason", ".reason"),
    Column::compute("Object", |event, _| {
        let object = field(event, "involvedObject");
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        format!("{}/{}", text("kind").to_lowercase(), text("name")).into()
    }),
    Column::compute("Subobject", |event, _| field(event, "involvedObject")["fieldPath"].as_str().unwrap_or("").into())
        .wide(),
    Column::compute("Source", |event, _| source(event).into()).wide(),
    Column::compute("Message", |event, _| field(event, "message").as_str().unwrap_or("").trim().into()),
    Column::compute("First Seen", |event, now| seen(event, "firstTimestamp", now)).wide(),
    Column::compute("Count", |event, _| {
        let series = event["series"]["count"].as_i64();
        series.or_else(|| field(event, "count").as_i64()).filter(|count| *count > 0).unwrap_or(1).into()
    })
    .wide(),
    Column { priority: 1, ..Column::NAME },
];

/// Field selectors, under this version's names.
const FIELDS: &[FieldOf] = &[
    FieldOf { name: "regarding.kind", value: |event| of_object(event, "kind").into() },
    FieldOf { name: "regarding.namespace", value: |event| of_object(event, "namespace").into() },
    FieldOf { name: "regarding.name", value: |event| of_object(event, "name").into() },
    FieldOf { name: "regarding.uid", value: |event| of_object(event, "uid").into() },
    FieldOf { name: "regarding.apiVersion", value: |event| of_object(event, "apiVersion").into() },
    FieldOf { name: "regarding.resourceVersion", value: |event| of_object(event, "resourceVersion").into() },
    FieldOf { name: "regarding.fieldPath", value: |event| of_object(event, "fieldPath").into() },
    FieldOf { name: "reason", value: |event| event["reason"].as_str().unwrap_or_default().into() },
    FieldOf {
        name: "reportingController",
        value: |event| field(event, "reportingComponent").as_str().unwrap_or_default().into(),
    },
    FieldOf { name: "type", value: |event| event["type"].as_str().unwrap_or_default().into() },
];

/// The row.
pub fn kind() -> Kind {
    let stored = StoredAs::new(GroupVersionKind::new("", "v1", "Event"), to_stored, from_stored);
    let mut kind = Kind::plain::<Event>();
    kind.strategy = Arc::new(Lens(Strict));
    kind.short_names(&["ev"]).columns(COLUMNS).fields(FIELDS).create_on_update().stored_as(stored)
}

fn rename(event: &mut Value, pairs: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(fields) = event.as_object_mut() else { return };
    for (from, to) in pairs {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.into(), value);
        }
    }
}

fn to_stored(event: &mut Value) {
    rename(event, FIELDS_MAP.into_iter());
    event["apiVersion"] = "v1".into();
    event["kind"] = "Event".into();
}

fn from_stored(event: &mut Value) {
    rename(event, FIELDS_MAP.into_iter().map(|(ours, stored)| (stored, ours)));
    event["apiVersion"] = "events.k8s.io/v1".into();
    event["kind"] = "Event".into();
}

/// A field by its stored name, in whichever of the two forms the document is.
fn field<'a>(event: &'a Value, stored: &str) -> &'a Value {
    let ours = FIELDS_MAP.iter().find(|(_, name)| *name == stored).map_or(stored, |(ours, _)| ours);
    event.get(ours).or_else(|| event.get(stored)).unwrap_or(&Value::Null)
}

fn of_object<'a>(event: &'a Value, name: &str) -> &'a str {
    field(event, "involvedObject")[name].as_str().unwrap_or_default()
}

fn seen(event: &Value, stored: &str, now: Timestamp) -> Value {
    let last_of_series = &event["series"]["lastObservedTime"];
    let choices = match stored {
        "lastTimestamp" if !last_of_series.is_null() => [last_of_series, &event["eventTime"]],
        _ => [field(event, stored), &event["eventTime"]],
    };
    let time = choices.into_iter().find(|time| !time.is_null()).unwrap_or(&Value::Null);
    age_of(time, now)
}

fn source(event: &Value) -> String {
    let source = field(event, "source");
    let component = source["component"].as_str().filter(|c| !c.is_empty());
    let component = component.or_else(|| field(event, "reportingComponent").as_str()).unwrap_or_default();
    let host = source["host"].as_str().filter(|h| !h.is_empty()).or_else(|| event["reportingInstance"].as_str());
    let parts: Vec<_> = [component, host.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let ours = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "regarding": {"kind": "Pod", "name": "p"}, "note": "Hello.", "reportingController": "kubelet",
            "deprecatedCount": 3, "deprecatedLastTimestamp": "2026-01-01T00:00:00Z", "type": "Normal",
            "reason": "Pulled",
        });
        let mut event = ours.clone();
        to_stored(&mut event);
        assert_eq!(
            event,
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
                "involvedObject": {"kind": "Pod", "name": "p"}, "message": "Hello.", "reportingComponent": "kubelet",
                "count": 3, "lastTimestamp": "2026-01-01T00:00:00Z", "type": "Normal", "reason": "Pulled",
            })
        );
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let cells = |event: &Value| COLUMNS.iter().map(|column| column.value(event, now)).collect::<Vec<_>>();
        let shown = cells(&event);
        assert_eq!(
            shown,
            vec!["60s", "Normal", "Pulled", "pod/p", "", "kubelet", "Hello.", "<unknown>"]
                .into_iter()
                .map(Value::from)
                .chain([Value::from(3), Value::from("e")])
                .collect::<Vec<_>>()
        );
        from_stored(&mut event);
        assert_eq!(event, ours);
        assert_eq!(cells(&event), shown);
    }
}
