//! Patches: merge and JSON in full, strategic with the merge keys that tests meet.

use sdk_api::Status;
use sdk_client::{Patch, PatchKind};
use serde_json::Value;

/// Lists that merge by a key, by the name of their field. Everything else is replaced.
const MERGE_KEYS: &[(&str, &str)] = &[
    ("conditions", "type"),
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("initContainers", "name"),
    ("ownerReferences", "uid"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
];

pub(super) fn apply(tree: &Value, patch: &Patch) -> Result<Value, Status> {
    let mut new = tree.clone();
    match patch.kind {
        PatchKind::Merge => merge(&mut new, &patch.body),
        PatchKind::Strategic => strategic(&mut new, &patch.body),
        PatchKind::Json => {
            let operations: json_patch::Patch =
                serde_json::from_value(patch.body.clone()).map_err(|error| Status::bad_request(error.to_string()))?;
            json_patch::patch(&mut new, &operations).map_err(|error| {
                Status::new(422, sdk_api::Reason::Invalid, format!("the server rejected our request: {error}"))
            })?;
        }
    }
    Ok(new)
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let into = target.as_object_mut().expect("made an object above");
    for (name, value) in fields {
        if value.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if patch["$patch"] == "replace" || !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let into = target.as_object_mut().expect("made an object above");
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('$')) {
        let key = MERGE_KEYS.iter().find(|(list, _)| list == name).map(|(_, key)| *key);
        match (value, key) {
            (Value::Null, _) => drop(into.remove(name)),
            (Value::Array(items), Some(key)) => {
                merge_list(into.entry(name.clone()).or_insert_with(|| Value::Array(vec![])), items, key);
            }
            (Value::Array(items), None) if name == "finalizers" => {
                let all = into.entry(name.clone()).or_insert_with(|| Value::Array(vec![]));
                if let Some(all) = all.as_array_mut() {
                    let fresh: Vec<_> = items.iter().filter(|item| !all.contains(item)).cloned().collect();
                    all.extend(fresh);
                }
            }
            _ => strategic(into.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
    for (name, gone) in fields {
        let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") else { continue };
        if let (Some(all), Some(gone)) = (into.get_mut(list).and_then(Value::as_array_mut), gone.as_array()) {
            all.retain(|item| !gone.contains(item));
        }
    }
}

fn merge_list(target: &mut Value, items: &[Value], key: &str) {
    let Some(all) = target.as_array_mut() else { return };
    for item in items {
        let place = all.iter().position(|have| have[key] == item[key]);
        match (place, item["$patch"] == "delete") {
            (Some(at), true) => drop(all.remove(at)),
            (Some(at), false) => strategic(&mut all[at], item),
            (None, true) => {}
            (None, false) => all.push(item.clone()),
        }
    }
}

/// Adds a condition, or replaces the one of its type.
pub(super) fn put_condition(status: &mut Value, condition: Value) {
    let conditions = &mut status["conditions"];
    if !conditions.is_array() {
        *conditions = Value::Array(vec![]);
    }
    merge_list(conditions, &[condition], "type");
}
