//! Values as Go's `%v` prints them, for messages that clients know.

use std::fmt;

use serde_json::Value;

/// `map[image:nginx ports:[map[containerPort:80]]]`.
pub(super) struct Printed<'a>(pub &'a Value);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { " " } else { "" }, Printed(item))?;
                }
                f.write_str("]")
            }
            Value::Object(fields) => {
                f.write_str("map[")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    write!(f, "{}{name}:{}", if i > 0 { " " } else { "" }, Printed(field))?;
                }
                f.write_str("]")
            }
        }
    }
}

/// The name of a JSON type in decoding errors.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
