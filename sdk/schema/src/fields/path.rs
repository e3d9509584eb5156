//! Elements of paths: how `fieldsV1` writes them, and how people read them.

use serde_json::{Map, Value};

/// A field of an object or an entry of a map.
pub(super) fn field(name: &str) -> String {
    let mut element = String::with_capacity(name.len() + 2);
    element.push_str("f:");
    element.push_str(name);
    element
}

/// An item of a list, by its keys in the order of their names.
pub(super) fn keys(keys: &[(&str, &Value)]) -> String {
    let map: Map<String, Value> = keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
    format!("k:{}", Value::Object(map))
}

/// An item of a set.
pub(super) fn value(value: &Value) -> String {
    format!("v:{value}")
}

/// The name in `f:NAME`.
pub(super) fn name(element: &str) -> Option<&str> {
    element.strip_prefix("f:")
}

/// An element as a client wrote it, in our form. Elements of a kind that nobody knows are none, as upstream treats them.
pub(super) fn canonical(element: &str) -> Result<Option<String>, String> {
    let Some((kind, rest)) = element.split_at_checked(2) else {
        return Err(format!("key {element:?} is too short for an element of a path"));
    };
    let parse = || serde_json::from_str::<Value>(rest).map_err(|error| format!("cannot read {element:?}: {error}"));
    Ok(match kind {
        "f:" => Some(element.to_owned()),
        "v:" => Some(value(&parse()?)),
        "k:" => match parse()? {
            map @ Value::Object(_) => Some(format!("k:{map}")),
            _ => return Err(format!("the keys of {element:?} are no map")),
        },
        "i:" => Some(format!("i:{}", rest.parse::<u64>().map_err(|_| format!("cannot read {element:?}"))?)),
        _ => None,
    })
}

/// `.name`, `[key="value"]`, `[="value"]`.
pub(super) fn shown(element: &str) -> String {
    let rest = element.get(2..).unwrap_or_default();
    match element.get(..2) {
        Some("f:") => format!(".{rest}"),
        Some("v:") => format!("[={rest}]"),
        Some("k:") => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        _ => format!("[{rest}]"),
    }
}
