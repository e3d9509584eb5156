//! Cells that several kinds show: containers, selectors, lists cut short, booleans in words.

use jiff::Timestamp;
use sdk_api::{selector::Operator, time};
use serde_json::Value;

/// Empty fields of tables.
pub const NONE: &str = "<none>";
/// Fields that nobody set.
pub const UNSET: &str = "<unset>";

/// The strings of an array field; none where it is missing.
pub fn strings<'a>(list: &'a Value, field: &'a str) -> impl Iterator<Item = &'a str> {
    list.as_array().into_iter().flatten().filter_map(move |item| {
        let value = if field.is_empty() { item } else { &item[field] };
        value.as_str()
    })
}

/// Names of the containers of a pod spec, with commas.
pub fn container_names(pod_spec: &Value) -> String {
    strings(&pod_spec["containers"], "name").collect::<Vec<_>>().join(",")
}

/// Images of the containers of a pod spec, with commas.
pub fn container_images(pod_spec: &Value) -> String {
    strings(&pod_spec["containers"], "image").collect::<Vec<_>>().join(",")
}

/// The wide columns `Containers` and `Images` of kinds with a pod template at `.spec.template`.
pub fn template_containers(object: &Value, _now: Timestamp) -> Value {
    container_names(&object["spec"]["template"]["spec"]).into()
}

/// See [`template_containers`].
pub fn template_images(object: &Value, _now: Timestamp) -> Value {
    container_images(&object["spec"]["template"]["spec"]).into()
}

/// A label selector in its query form: `<none>` where it is missing or selects everything.
pub fn selector_text(selector: &Value) -> String {
    let typed = serde_json::from_value(selector.clone()).unwrap_or_default();
    let Ok(parsed) = sdk_api::LabelSelector::from_typed(&typed) else { return "<error>".into() };
    if parsed.is_everything() {
        return NONE.into();
    }
    let mut terms: Vec<_> = parsed
        .0
        .iter()
        .map(|term| {
            let (key, mut values) = (&term.key, term.values.clone());
            values.sort_unstable();
            let list = values.join(",");
            match term.operator {
                Operator::In if values.len() == 1 => format!("{key}={list}"),
                Operator::In => format!("{key} in ({list})"),
                Operator::NotIn => format!("{key} notin ({list})"),
                Operator::Exists => key.clone(),
                Operator::DoesNotExist => format!("!{key}"),
                Operator::Gt => format!("{key}>{list}"),
                Operator::Lt => format!("{key}<{list}"),
            }
        })
        .collect();
    terms.sort_unstable();
    terms.join(",")
}

/// A map of labels as a selector: `<none>` where it is empty.
pub fn labels_text(labels: &Value) -> String {
    let pairs: Vec<_> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { NONE.into() } else { pairs.join(",") }
}

/// The wide column `Selector` of kinds with a label selector at `.spec.selector`.
pub fn spec_selector(object: &Value, _now: Timestamp) -> Value {
    selector_text(&object["spec"]["selector"]).into()
}

/// At most `shown` items, then how many more there are; `<unset>` for none.
pub fn some_of(items: &[String], shown: usize) -> String {
    match items.len() {
        0 => UNSET.into(),
        all if all > shown => format!("{} + {} more...", items[..shown].join(","), all - shown),
        _ => items.join(","),
    }
}

/// An integer or percentage as it is written; `None` where it is missing.
pub fn int_or_string(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number that is 0 where it is missing.
pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// How long something took or takes; empty where it has not begun.
pub fn duration(from: &Value, to: &Value, now: Timestamp) -> String {
    let parse = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(from) = parse(from) else { return String::new() };
    time::age(from, parse(to).unwrap_or(now))
}

/// Whether a list of conditions has one of this type with status True.
pub fn has_condition(conditions: &Value, kind: &str) -> bool {
    conditions.as_array().into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_read_as_queries() {
        for (selector, text) in [
            (json!(null), "<none>"),
            (json!({}), "<none>"),
            (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
            (json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}), "a in (x,y)"),
            (json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}), "!a"),
            (json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}), "<error>"),
        ] {
            assert_eq!(selector_text(&selector), text);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let items: Vec<String> = (1..=5).map(|n| n.to_string()).collect();
        assert_eq!(some_of(&items, 3), "1,2,3 + 2 more...");
        assert_eq!(some_of(&items[..2], 3), "1,2");
        assert_eq!(some_of(&[], 3), "<unset>");
    }
}
