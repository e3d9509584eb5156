//! Checks that kinds of several groups share, in upstream's words: label selectors, whole numbers, percentages.

use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as metav1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::names;
use crate::violations::Violations;

const PERCENT: &str = "a valid percent string must be a numeric followed by an ending '%' (e.g. '1%',  or '93%', \
     regex used for validation is '[0-9]+%')";

/// A number that may be missing, and must not be below zero where it is there.
pub fn not_negative(found: &mut Violations, field: impl Display, number: Option<impl Into<i64>>) {
    if let Some(number) = number.map(Into::into).filter(|n| *n < 0) {
        found.invalid(field, number, "must be greater than or equal to 0");
    }
}

/// A number that may be missing, and must be above zero where it is there.
pub fn positive(found: &mut Violations, field: impl Display, number: Option<impl Into<i64>>) {
    if let Some(number) = number.map(Into::into).filter(|n| *n <= 0) {
        found.invalid(field, number, "must be greater than 0");
    }
}

/// A field that an update must leave alone.
pub fn unchanged<T: PartialEq + serde::Serialize>(found: &mut Violations, field: impl Display, new: &T, old: &T) {
    if new != old {
        found.invalid(field, serde_json::to_value(new).unwrap_or(Value::Null), "field is immutable");
    }
}

/// As JSON writes it.
pub fn int_or_string_value(value: &IntOrString) -> Value {
    match value {
        IntOrString::Int(number) => Value::from(*number),
        IntOrString::String(text) => Value::from(text.as_str()),
    }
}

/// The digits of a percentage; `None` for a whole number, and for text that is no percentage.
pub fn percent(value: &IntOrString) -> Option<i64> {
    let IntOrString::String(text) = value else { return None };
    let digits = text.strip_suffix('%').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(i64::MAX))
}

/// The number, or the digits of the percentage: good only to ask whether it is zero.
pub fn amount(value: Option<&IntOrString>) -> i64 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => i64::from(*number),
        Some(text) => percent(text).unwrap_or(0),
    }
}

/// A whole number not below zero, or a percentage.
pub fn int_or_percent(found: &mut Violations, field: impl Display, value: Option<&IntOrString>) {
    match value {
        None => {}
        Some(IntOrString::Int(number)) => not_negative(found, field, Some(*number)),
        Some(text) if percent(text).is_none() => found.invalid(field, int_or_string_value(text), PERCENT),
        Some(_) => {}
    }
}

/// A percentage must not say more than everything.
pub fn at_most_100_percent(found: &mut Violations, field: impl Display, value: Option<&IntOrString>) {
    if let Some(value) = value.filter(|value| percent(value).is_some_and(|p| p > 100)) {
        found.invalid(field, int_or_string_value(value), "must not be greater than 100%");
    }
}

/// Labels: keys are qualified names, values label values.
pub fn labels<'a>(
    found: &mut Violations,
    field: impl Display,
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) {
    for (key, value) in labels {
        for problem in names::qualified_name(key) {
            found.invalid(&field, key.as_str(), problem);
        }
        for problem in names::label_value(value) {
            found.invalid(&field, value.as_str(), problem);
        }
    }
}

/// A label selector of an object.
pub fn label_selector(found: &mut Violations, field: impl Display, selector: &metav1::LabelSelector) {
    label_selector_with(found, field, selector, false);
}

/// The same, where the values of expressions may be no label values because the stored object has such already.
/// Source: `AllowInvalidLabelValueInSelector`.
pub fn label_selector_with(
    found: &mut Violations,
    field: impl Display,
    selector: &metav1::LabelSelector,
    values_unchecked: bool,
) {
    labels(found, format!("{field}.matchLabels"), selector.match_labels.iter().flatten());
    for (at, term) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{at}]");
        let values = term.values.as_deref().unwrap_or_default();
        match term.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                found.required(format!("{field}.values"), "must be specified when `operator` is 'In' or 'NotIn'")
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => found.forbidden(
                format!("{field}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => found.invalid(format!("{field}.operator"), other, "not a valid selector operator"),
        }
        for problem in names::qualified_name(&term.key) {
            found.invalid(format!("{field}.key"), term.key.as_str(), problem);
        }
        for (at, value) in values.iter().enumerate().filter(|_| !values_unchecked) {
            for problem in names::label_value(value) {
                found.invalid(format!("{field}.values[{at}]"), value.as_str(), problem);
            }
        }
    }
}

/// Whether a selector names nothing, and so selects everything.
pub fn is_empty_selector(selector: &metav1::LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(|terms| terms.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_whole_numbers_or_percentages() {
        for (value, over_100, wrong) in [
            (IntOrString::Int(0), false, false),
            (IntOrString::Int(-1), false, true),
            (IntOrString::String("25%".into()), false, false),
            (IntOrString::String("101%".into()), true, false),
            (IntOrString::String("25".into()), false, true),
            (IntOrString::String("%".into()), false, true),
            (IntOrString::String("-5%".into()), false, true),
            (IntOrString::String("99999999999999999999%".into()), true, false),
        ] {
            let mut found = Violations::default();
            int_or_percent(&mut found, "f", Some(&value));
            assert_eq!(!found.is_empty(), wrong, "{value:?}");
            let mut found = Violations::default();
            at_most_100_percent(&mut found, "f", Some(&value));
            assert_eq!(!found.is_empty(), over_100, "{value:?}");
        }
    }

    #[test]
    fn selectors_name_each_wrong_term() {
        for (case, selector, wrong) in [
            ("empty", json!({}), vec![]),
            ("labels", json!({"matchLabels": {"a": "b"}}), vec![]),
            ("a bad label", json!({"matchLabels": {"-a": "b b"}}), vec!["s.matchLabels", "s.matchLabels"]),
            (
                "In without values",
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                vec!["s.matchExpressions[0].values"],
            ),
            (
                "Exists with values",
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                vec!["s.matchExpressions[0].values"],
            ),
            (
                "an unknown operator and a bad key",
                json!({"matchExpressions": [{"key": "", "operator": "Like"}]}),
                vec!["s.matchExpressions[0].operator", "s.matchExpressions[0].key", "s.matchExpressions[0].key"],
            ),
        ] {
            let mut found = Violations::default();
            label_selector(&mut found, "s", &serde_json::from_value(selector).unwrap());
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
