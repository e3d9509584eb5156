//! Rules for events that come through `events.k8s.io`: they are of the new form, and say what happened once. Those of the
//! core group may still be of the old form. Source: KEP-383.

use sdk_api::k8s_openapi::api::core::v1::Event;
use sdk_api::{Violations, checks};
use sdk_plugin::Strategy;
use serde_json::Value;

/// The rules, on the stored form and in its words.
pub struct Strict;

impl Strategy for Strict {
    type Object = Event;

    fn validate(&self, new: &Event, old: Option<&Event>) -> Violations {
        let mut found = Violations::default();
        match old {
            None => validate_new(&mut found, new),
            Some(old) => validate_change(&mut found, new, old),
        }
        found
    }
}

fn validate_new(found: &mut Violations, event: &Event) {
    series(found, event);
    if event.event_time.is_none() {
        found.required("eventTime", "");
    }
    let kind = event.type_.as_deref().unwrap_or_default();
    if !matches!(kind, "Normal" | "Warning") {
        found.invalid("type", "", format!("has invalid value: {kind}"));
    }
    let source = event.source.clone().unwrap_or_default();
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    for (field, is_set) in [
        ("firstTimestamp", event.first_timestamp.is_some()),
        ("lastTimestamp", event.last_timestamp.is_some()),
        ("count", event.count.unwrap_or(0) != 0),
        ("source", says(&source.component) || says(&source.host)),
    ] {
        if is_set {
            found.invalid(field, "", "needs to be unset");
        }
    }
}

/// An event that happens again changes its series and nothing else.
fn validate_change(found: &mut Violations, new: &Event, old: &Event) {
    if new.series != old.series {
        series(found, new);
    }
    checks::unchanged(found, "involvedObject", &new.involved_object, &old.involved_object);
    checks::unchanged(found, "reason", &new.reason, &old.reason);
    checks::unchanged(found, "message", &new.message, &old.message);
    checks::unchanged(found, "source", &new.source, &old.source);
    checks::unchanged(found, "firstTimestamp", &new.first_timestamp, &old.first_timestamp);
    checks::unchanged(found, "lastTimestamp", &new.last_timestamp, &old.last_timestamp);
    checks::unchanged(found, "count", &new.count, &old.count);
    checks::unchanged(found, "type", &new.type_, &old.type_);
    checks::unchanged(found, "eventTime", &new.event_time, &old.event_time);
    checks::unchanged(found, "action", &new.action, &old.action);
    checks::unchanged(found, "related", &new.related, &old.related);
    checks::unchanged(found, "reportingController", &new.reporting_component, &old.reporting_component);
    checks::unchanged(found, "reportingInstance", &new.reporting_instance, &old.reporting_instance);
}

fn series(found: &mut Violations, event: &Event) {
    let Some(series) = &event.series else { return };
    if series.count.unwrap_or(0) < 2 {
        found.invalid("series.count", Value::from(""), "should be at least 2");
    }
    if series.last_observed_time.is_none() {
        found.required("series.lastObservedTime", "");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(changes: Value) -> Event {
        let mut event = json!({
            "metadata": {"name": "e", "namespace": "n"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "n"},
            "type": "Normal", "reason": "Pulled", "message": "Pulled it.", "eventTime": "2026-01-01T00:00:00.000000Z",
            "action": "Pull", "reportingComponent": "a.io/b", "reportingInstance": "b-1",
        });
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn new_events_are_of_the_new_form() {
        let now = "2026-01-01T00:00:00Z";
        for (case, changes, wrong) in [
            ("plain", json!({}), vec![]),
            ("no time, no type", json!({"eventTime": null, "type": ""}), vec!["eventTime", "type"]),
            ("an unknown type", json!({"type": "Error"}), vec!["type"]),
            (
                "the old form",
                json!({"firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": {"component": "c"}}),
                vec!["firstTimestamp", "lastTimestamp", "count", "source"],
            ),
            ("a series", json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}), vec![]),
            ("a series of one", json!({"series": {"count": 1}}), vec!["series.count", "series.lastObservedTime"]),
        ] {
            assert_eq!(Strict.validate(&event(changes), None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn events_change_in_their_series_alone() {
        let old = event(json!({}));
        for (case, changes, wrong) in [
            ("again", json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}), vec![]),
            ("again, but once", json!({"series": {"count": 1}}), vec!["series.count", "series.lastObservedTime"]),
            (
                "another story",
                json!({"message": "It failed.", "reason": "Failed", "type": "Warning", "action": "Retry"}),
                vec!["reason", "message", "type", "action"],
            ),
            (
                "about another",
                json!({"involvedObject": {"kind": "Pod", "name": "q", "namespace": "n"}, "related": {"kind": "Node"}}),
                vec!["involvedObject", "related"],
            ),
        ] {
            assert_eq!(Strict.validate(&event(changes), Some(&old)).fields(), wrong, "{case}");
        }
    }
}
