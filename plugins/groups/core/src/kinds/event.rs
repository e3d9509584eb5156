//! `Event`: what happened to an object, for people to read.

use sdk_api::k8s_openapi::api::core::v1::Event;
use sdk_api::{Violations, names};
use sdk_plugin::column::age_of;
use sdk_plugin::{Column, FieldOf, Kind, Strategy};
use sdk_workload::validate::each_invalid;
use serde_json::Value;

use super::fields::{at, text};

/// Source: KEP-383, `ReportingInstanceLengthLimit` and its like.
const WORD_BYTES_MAX: usize = 128;
/// Source: KEP-383, `NoteLengthLimit`.
const NOTE_BYTES_MAX: usize = 1024;

const COLUMNS: &[Column] = &[
    Column::compute("Last Seen", |event, now| {
        let series = &event["series"]["lastObservedTime"];
        let single = [&event["lastTimestamp"], &event["firstTimestamp"], &event["eventTime"]];
        age_of(if event["series"].is_null() { first_set(&single) } else { series }, now)
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
    Column::compute("First Seen", |event, now| {
        age_of(first_set(&[&event["firstTimestamp"], &event["eventTime"]]), now)
    })
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

fn first_set<'a>(times: &[&'a Value]) -> &'a Value {
    times.iter().copied().find(|time| !time.is_null()).unwrap_or(&Value::Null)
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
        let newer = new.event_time.is_some();
        let fits = match of_object {
            "" => matches!(namespace, "" | "default") || (newer && namespace == "kube-system"),
            of_object => of_object == namespace,
        };
        if !fits {
            found.invalid("involvedObject.namespace", of_object, "does not match event.namespace");
        }
        // Events of the newer form say who reports them.
        if newer {
            reported(&mut found, new);
        }
        each_invalid(&mut found, "namespace", namespace, names::dns1123_subdomain(namespace));
        found
    }
}

fn reported(found: &mut Violations, event: &Event) {
    let controller = text(&event.reporting_component);
    if controller.is_empty() {
        found.required("reportingController", "");
    }
    each_invalid(found, "reportingController", controller, names::qualified_name(controller));
    for (field, value) in
        [("reportingInstance", &event.reporting_instance), ("action", &event.action), ("reason", &event.reason)]
    {
        match text(value) {
            "" => found.required(field, ""),
            value if value.len() > WORD_BYTES_MAX => {
                found.invalid(field, "", format!("can have at most {WORD_BYTES_MAX} characters"));
            }
            _ => {}
        }
    }
    if text(&event.message).len() > NOTE_BYTES_MAX {
        found.invalid("message", "", format!("can have at most {NOTE_BYTES_MAX} characters"));
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
                vec![
                    "reportingController",
                    "reportingController",
                    "reportingController",
                    "reportingInstance",
                    "action",
                    "reason",
                ],
            ),
        ] {
            let event: Event = serde_json::from_value(event).unwrap();
            assert_eq!(EventStrategy.validate(&event, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn the_table_says_when_and_of_what() {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let object = json!({"kind": "Pod", "name": "p"});
        for (case, event, expected) in [
            (
                "older form",
                json!({"lastTimestamp": "2026-01-01T00:00:50Z", "firstTimestamp": "2026-01-01T00:00:00Z", "count": 3,
                    "involvedObject": object}),
                json!(["10s", "pod/p", "60s", 3]),
            ),
            (
                "the first time",
                json!({"firstTimestamp": "2026-01-01T00:00:55Z", "involvedObject": object}),
                json!(["5s", "pod/p", "5s", 1]),
            ),
            (
                "a series",
                json!({"eventTime": "2026-01-01T00:00:00.000000Z", "involvedObject": object,
                    "series": {"count": 9, "lastObservedTime": "2026-01-01T00:00:58.000000Z"}}),
                json!(["2s", "pod/p", "60s", 9]),
            ),
            (
                "of no one thing",
                json!({"involvedObject": {"kind": "Node"}}),
                json!(["<unknown>", "node", "<unknown>", 1]),
            ),
        ] {
            let cells: Vec<_> = [0, 3, 7, 8].into_iter().map(|i| COLUMNS[i].value(&event, now)).collect();
            assert_eq!(Value::from(cells), expected, "{case}");
        }
    }
}
