//! Laying an applied configuration over the live document.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::place::{Form, List, Place};

/// The merged value; of leaves the configuration's counts.
pub(super) fn merge(place: Place<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    match place.form(live, config) {
        Form::Leaf => config.or(live).cloned(),
        Form::Map(atom) => {
            let (before, after) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            if before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty) {
                return config.or(live).cloned();
            }
            let mut merged = Map::new();
            let names = before.into_iter().flatten().chain(after.into_iter().flatten()).map(|(name, _)| name);
            for name in names {
                if merged.contains_key(name) {
                    continue;
                }
                let side =
                    |fields: Option<&'_ Map<String, Value>>| fields.is_some_and(|fields| fields.contains_key(name));
                let value = match (side(before), side(after)) {
                    (true, false) => before.and_then(|before| before.get(name)).cloned(),
                    _ => merge(
                        place.field(&atom, name),
                        before.and_then(|before| before.get(name)),
                        after.and_then(|after| after.get(name)),
                    ),
                };
                merged.extend(value.map(|value| (name.clone(), value)));
            }
            Some(Value::Object(merged))
        }
        Form::List(list) => {
            let items = |side: Option<&Value>| side.and_then(Value::as_array).cloned().unwrap_or_default();
            let (before, after) = (items(live), items(config));
            if before.is_empty() && after.is_empty() {
                return config.or(live).cloned();
            }
            Some(Value::Array(merge_items(list, &before, &after)))
        }
    }
}

/// Merges two lists whose items have names.
///
/// The configuration's order counts among its own items, the live order among the others; an item of the live list
/// comes before those of the configuration that follow it there. Items that the live list has twice stay as they are,
/// unless the configuration has one of that name, which then replaces them.
fn merge_items(list: List<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let name = |item: &Value| list.element(item).ok();
    let live_names: Vec<Option<String>> = live.iter().map(name).collect();
    let config_names: Vec<Option<String>> = config.iter().map(name).collect();
    let mut in_live: HashMap<&str, Option<&Value>> = HashMap::new();
    for (name, item) in live_names.iter().zip(live) {
        let Some(name) = name.as_deref() else { continue };
        in_live.entry(name).and_modify(|known| *known = None).or_insert(Some(item));
    }
    let in_config: HashSet<&str> = config_names.iter().flatten().map(String::as_str).collect();
    let shared: Vec<&str> =
        config_names.iter().flatten().map(String::as_str).filter(|name| in_live.contains_key(name)).collect();
    let mut next_shared = shared.iter().copied().peekable();

    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut done: HashSet<&str> = HashSet::new();
    let (mut l, mut c) = (0, 0);
    while l < live.len() || c < config.len() {
        let ours = live_names.get(l).map(|name| name.as_deref().unwrap_or_default());
        let theirs = config_names.get(c).map(|name| name.as_deref().unwrap_or_default());
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
            && in_config.contains(ours)
            && next_shared.peek().is_some_and(|next| *next != ours)
        {
            // Shared, but the configuration wants another one first.
            l += 1;
            continue;
        }
        if let Some(ours) = ours.filter(|ours| Some(*ours) != theirs) {
            if !in_config.contains(ours) {
                merged.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(ours) {
                l += 1;
            }
        }
        if let Some(theirs) = theirs {
            let before = in_live.get(theirs).copied().flatten();
            merged.extend(merge(list.items(), before, Some(&config[c])));
            done.insert(theirs);
            if next_shared.peek() == Some(&theirs) {
                next_shared.next();
            }
            if ours == Some(theirs) {
                l += 1;
            }
            c += 1;
        }
    }
    merged
}
