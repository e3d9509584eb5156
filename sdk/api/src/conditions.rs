//! Conditions of a status, the `metav1.Condition` kind. Source: KEP-1623.

use std::collections::BTreeSet;
use std::fmt::Display;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::names;
use crate::violations::Violations;

/// Bytes.
const REASON_MAX: usize = 1024;
/// Bytes.
const MESSAGE_MAX: usize = 32 * 1024;
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
     alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or \
     'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
     '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// What is wrong with the conditions at `field`; each type may be there once.
pub fn conditions(found: &mut Violations, field: impl Display, conditions: &[Condition]) {
    let mut seen = BTreeSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let path = format!("{field}[{at}]");
        if !seen.insert(&condition.type_) {
            found.duplicate(&path, condition.type_.as_str());
        }
        let at = |name: &str| format!("{path}.{name}");
        if condition.type_.is_empty() {
            found.required(at("type"), "is required");
        } else {
            for problem in names::qualified_name(&condition.type_) {
                found.invalid(at("type"), condition.type_.as_str(), problem);
            }
        }
        match condition.status.as_str() {
            "" => found.required(at("status"), ""),
            status if STATUSES.contains(&status) => {}
            other => found.not_supported(at("status"), other, &STATUSES),
        }
        if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
            found.invalid(at("observedGeneration"), generation, "must be greater than or equal to zero");
        }
        let reason = condition.reason.as_str();
        if reason.is_empty() {
            found.required(at("reason"), "");
        } else if !is_reason(reason) {
            found.invalid(at("reason"), reason, REASON);
        }
        if reason.len() > REASON_MAX {
            found.too_long(at("reason"), REASON_MAX);
        }
        if condition.message.len() > MESSAGE_MAX {
            found.too_long(at("message"), MESSAGE_MAX);
        }
    }
}

fn is_reason(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(word)
        && bytes.iter().all(|b| word(b) || b",:".contains(b))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn conditions_are_checked_one_by_one() {
        let with = |change: Value| {
            let mut condition = json!({
                "type": "Ready", "status": "True", "reason": "Fine", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            for (name, value) in change.as_object().unwrap() {
                condition[name] = value.clone();
            }
            serde_json::from_value::<Condition>(condition).unwrap()
        };
        for (case, list, wrong) in [
            ("good", vec![json!({}), json!({"type": "a.io/B", "reason": "A,B:c_"})], vec![]),
            ("twice", vec![json!({}), json!({})], vec!["c[1]"]),
            ("no type", vec![json!({"type": ""})], vec!["c[0].type"]),
            ("an unknown status", vec![json!({"status": "Maybe"})], vec!["c[0].status"]),
            ("no reason", vec![json!({"reason": ""})], vec!["c[0].reason"]),
            ("a sentence as reason", vec![json!({"reason": "It broke."})], vec!["c[0].reason"]),
            ("an old generation", vec![json!({"observedGeneration": -1})], vec!["c[0].observedGeneration"]),
            ("a long message", vec![json!({"message": "x".repeat(MESSAGE_MAX + 1)})], vec!["c[0].message"]),
        ] {
            let mut found = Violations::default();
            let list: Vec<_> = list.into_iter().map(with).collect();
            conditions(&mut found, "c", &list);
            assert_eq!(found.fields(), wrong, "{case}");
        }
    }
}
