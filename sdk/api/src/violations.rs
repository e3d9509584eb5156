//! What validation found wrong, field by field, in upstream's words.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// The kinds of field errors of the API conventions; each has its `reason` in a Status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    Required,
    Invalid,
    /// `Invalid`, with a value that is too long or too secret to show.
    InvalidUnshown,
    TypeInvalid,
    NotSupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    NotFound,
}

impl Problem {
    fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::InvalidUnshown => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::InvalidUnshown | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        }
    }
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The path, as in `spec.containers[0].image`.
    pub field: String,
    pub problem: Problem,
    /// The offending value; `Null` where there is none to show.
    pub value: Value,
    pub detail: String,
}

impl Violation {
    /// The text after the field: `Invalid value: -1: must be greater than or equal to 0`.
    pub fn body(&self) -> String {
        let words = self.problem.words();
        let shown = match (self.problem, &self.value) {
            (Problem::Required | Problem::Forbidden | Problem::TooLong | Problem::InvalidUnshown, _) => {
                words.to_owned()
            }
            (_, Value::String(text)) => format!("{words}: {text:?}"),
            (_, value) => format!("{words}: {value}"),
        };
        if self.detail.is_empty() { shown } else { format!("{shown}: {}", self.detail) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All that validation found; empty means valid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    fn push(&mut self, problem: Problem, field: impl fmt::Display, value: Value, detail: impl fmt::Display) {
        self.0.push(Violation { field: field.to_string(), problem, value, detail: detail.to_string() });
    }

    pub fn required(&mut self, field: impl fmt::Display, detail: impl fmt::Display) {
        self.push(Problem::Required, field, Value::Null, detail);
    }

    pub fn invalid(&mut self, field: impl fmt::Display, value: impl Into<Value>, detail: impl fmt::Display) {
        self.push(Problem::Invalid, field, value.into(), detail);
    }

    /// Like `invalid`, for values that the message leaves out.
    pub fn invalid_unshown(&mut self, field: impl fmt::Display, detail: impl fmt::Display) {
        self.push(Problem::InvalidUnshown, field, Value::Null, detail);
    }

    pub fn type_invalid(&mut self, field: impl fmt::Display, value: impl Into<Value>, detail: impl fmt::Display) {
        self.push(Problem::TypeInvalid, field, value.into(), detail);
    }

    /// `supported` is listed in the message, sorted, as upstream does.
    pub fn not_supported(&mut self, field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) {
        let mut supported = supported.to_vec();
        supported.sort_unstable();
        let list: Vec<_> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.push(Problem::NotSupported, field, value.into(), format!("supported values: {}", list.join(", ")));
    }

    /// The same, listed in the given order, where upstream keeps a list of its own.
    pub fn not_supported_in_order(&mut self, field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) {
        let list: Vec<_> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.push(Problem::NotSupported, field, value.into(), format!("supported values: {}", list.join(", ")));
    }

    pub fn duplicate(&mut self, field: impl fmt::Display, value: impl Into<Value>) {
        self.push(Problem::Duplicate, field, value.into(), "");
    }

    pub fn forbidden(&mut self, field: impl fmt::Display, detail: impl fmt::Display) {
        self.push(Problem::Forbidden, field, Value::Null, detail);
    }

    /// `bytes_max` is the longest allowed.
    pub fn too_long(&mut self, field: impl fmt::Display, bytes_max: usize) {
        self.push(Problem::TooLong, field, Value::Null, format!("may not be more than {bytes_max} bytes"));
    }

    pub fn too_many(&mut self, field: impl fmt::Display, actual: usize, max: usize) {
        let items = if max == 1 { "item" } else { "items" };
        self.push(Problem::TooMany, field, actual.into(), format!("must have at most {max} {items}"));
    }

    pub fn not_found(&mut self, field: impl fmt::Display, value: impl Into<Value>) {
        self.push(Problem::NotFound, field, value.into(), "");
    }

    /// The same, with a word on what there is.
    pub fn not_found_among(&mut self, field: impl fmt::Display, value: impl Into<Value>, detail: impl fmt::Display) {
        self.push(Problem::NotFound, field, value.into(), detail);
    }

    /// A duplicate, with a word on what must be unique.
    pub fn duplicate_because(&mut self, field: impl fmt::Display, value: impl Into<Value>, detail: impl fmt::Display) {
        self.push(Problem::Duplicate, field, value.into(), detail);
    }

    /// Adds what another check found.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// The paths alone, for tests.
    pub fn fields(&self) -> Vec<&str> {
        self.0.iter().map(|v| v.field.as_str()).collect()
    }

    pub fn causes(&self) -> Vec<Cause> {
        self.0
            .iter()
            .map(|v| Cause { reason: v.problem.reason().into(), message: v.body(), field: v.field.clone() })
            .collect()
    }

    /// One line: a single violation as it is, several in brackets.
    pub fn summary(&self) -> String {
        match self.0.as_slice() {
            [one] => one.to_string(),
            many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_upstreams() {
        let mut found = Violations::default();
        found.invalid("spec.replicas", -1, "must be greater than or equal to 0");
        assert_eq!(found.summary(), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
        found.required("spec.selector", "");
        found.not_supported("spec.type", "X", &["NodePort", "ClusterIP"]);
        assert_eq!(
            found.summary(),
            "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.selector: Required value, \
             spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"NodePort\"]"
        );
        let mut found = Violations::default();
        found.too_many("spec.rules", 21, 20);
        assert_eq!(found.summary(), "spec.rules: Too many: 21: must have at most 20 items");
        let mut found = Violations::default();
        found.invalid_unshown("status.conditions", "cannot be both");
        assert_eq!(found.summary(), "status.conditions: Invalid value: cannot be both");
    }
}
