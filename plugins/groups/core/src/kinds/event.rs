//! `Event`: what happened to an object, for people to read.

use sdk_api::k8s_openapi::api::core::v1::Event;
use sdk_api::{Violations, names};
use sdk_plugin::column::age_of;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use sdk_workload::validate::each_invalid;
use serde_json::Value;

use super::fields::{at, text};

const COLUMNS: &[Column] = &[
    Column::compute("Last Seen", |event, now| {
        let series = &event["series"]["lastObservedTime"];
        age_of(
            first_set(if series.is_null() { [&event["lastTimestamp"], &event["eventTime"]] } else { [series, series] }),
            now,
        )
    }),
    Column::path("Type", ".type"),
    Column::path("Reason", ".reason"),
    Column::compute("Object", |event, _| {
        let object = &event["involvedObject"];
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        match text("name") {
            "" => text("kind").to_lowercase().into(),
            name => format!("{}/{name}", text("kind").to_lowercase()).into(),
        }
    }),
    Column::path("Subobject", ".involvedObject.fieldPath").wide(),
    Column::compute("Source", |event, _| source(event).into()).wide(),
    Column::compute("Message", |event, _| event["message"].as_str().unwrap_or_default().trim().into()),
    Column::compute("First Seen", |event, now| age_of(first_set([&event["firstTimestamp"], &event["eventTime"]]), now))
        .wide(),
    Column::compute("Count", |event, _| {
        let count = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64());
        count.filter(|count| *count > 0).unwrap_or(1).into()
    })
    .wide(),
    Column { priority: 1, ..Column::NAME },
];

const FIELDS: &[FieldOf] = &[
    FieldOf { name: "involvedObject.kind", value: |event| at(event, ".involvedObject.kind") },
    FieldOf { name: "involvedObject.namespace", value: |event| at(event, ".involvedObject.namespace") },
    FieldOf { name: "involvedObject.name", value: |event| at(event, ".involvedObject.name") },
    FieldOf { name: "involvedObject.uid", value: |event| at(event, ".involvedObject.uid") },
    FieldOf { name: "involvedObject.apiVersion", value: |event| at(event, ".involvedObject.apiVersion") },
    FieldOf { name: "involvedObject.resourceVersion", value: |event| at(event, ".involvedObject.resourceVersion") },
    FieldOf { name: "involvedObject.fieldPath", value: |event| at(event, ".involvedObject.fieldPath") },
    FieldOf { name: "reason", value: |event| at(event, ".reason") },
    FieldOf { name: "reportingComponent", value: |event| at(event, ".reportingComponent") },
    FieldOf {
        name: "source",
        value: |event| match at(event, ".source.component") {
            component if component.is_empty() => at(event, ".reportingComponent"),
            component => component,
        },
    },
    FieldOf { name: "type", value: |event| at(event, ".type") },
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(EventStrategy).short_names(&["ev"]).columns(COLUMNS).fields(FIELDS).create_on_update()
}

fn first_set(times: [&Value; 2]) -> &Value {
    times.into_iter().find(|time| !time.is_null()).unwrap_or(&Value::Null)
}

fn source(event: &Value) -> String {
    let first = |a: &str, b: &str| match at(event, a) {
        text if text.is_empty() => at(event, b).into_owned(),
        text => text.into_owned(),
    };
    let component = first(".source.component", ".reportingComponent");
    let host = first(".source.host", ".reportingInstance");
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

struct EventStrategy;
impl Strategy for EventStrategy {
    type Object = Event;

    fn validate(&self, new: &Event, _old: Option<&Event>) -> Violations {
        let mut found = Violations::default();
        let namespace = text(&new.metadata.namespace);
        let of_object = text(&new.involved_object.namespace);
        if of_object.is_empty() {
            if !matches!(namespace, "" | "default") {
                found.invalid("involvedObject.namespace", of_object, "does not match event.namespace");
            }
        } else if of_object != namespace {
            found.invalid("involvedObject.namespace", of_object, "does not match event.namespace");
        }
        // Events of the newer form say who reports them.
        if new.event_time.is_some() {
            let controller = text(&new.reporting_component);
            if controller.is_empty() {
                found.required("reportingController", "");
            } else {
                each_invalid(&mut found, "reportingController", controller, names::qualified_name(controller));
            }
            for (field, value, bytes_max) in [
                ("reportingInstance", &new.reporting_instance, 128),
                ("action", &new.action, 128),
                ("reason", &new.reason, 128),
            ] {
                match text(value) {
                    "" => found.required(field, ""),
                    value if value.len() > bytes_max => {
                        found.invalid(field, value, format!("can have at most {bytes_max} characters"))
                    }
                    _ => {}
                }
            }
            if text(&new.message).len() > 1024 {
                found.invalid("message", "", "can have at most 1024 characters");
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_beside_its_object() {
        for (case, event, wrong) in [
            ("of a pod", json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"}}), vec![]),
            ("of a node", json!({"metadata": {"namespace": "default"}, "involvedObject": {"kind": "Node"}}), vec![]),
            (
                "elsewhere",
                json!({"metadata": {"namespace": "b"}, "involvedObject": {"namespace": "a"}}),
                vec!["involvedObject.namespace"],
            ),
            (
                "of a node, elsewhere",
                json!({"metadata": {"namespace": "b"}, "involvedObject": {}}),
                vec!["involvedObject.namespace"],
            ),
            (
                "new form, silent",
                json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"},
                    "eventTime": "2026-01-01T00:00:00.000000Z"}),
                vec!["reportingController", "reportingInstance", "action", "reason"],
            ),
        ] {
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(EventStrategy.validate(&event, None).fields(), wrong, "{case}");
        }
    }
}
