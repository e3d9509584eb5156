//! How two documents differ, field by field.

use serde_json::{Map, Value};

use super::path;
use super::place::{Form, Place};
use super::set::{Node, Set};

static NULL: Value = Value::Null;

/// How deep whole values are compared before they are walked. An update mostly leaves `spec` or `status` as it was, and
/// finding that out is cheaper than walking it; further down the same value would be compared again and again.
const EQUAL_DEPTH_MAX: usize = 2;

/// How a document differs from another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Comparison {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What the new document brings: the added and the modified fields.
    pub fn brought(&self) -> Set {
        self.modified.clone().union(&self.added)
    }

    /// Applies `filter` to all three sets.
    pub fn map(self, filter: impl Fn(Set) -> Set) -> Self {
        Self { added: filter(self.added), modified: filter(self.modified), removed: filter(self.removed) }
    }
}

pub(super) fn compare(place: Place<'_>, old: &Value, new: &Value) -> Comparison {
    let found = Walk { hollow: false }.at(place, Some(old), Some(new), 0);
    Comparison { added: found.added.inner, modified: found.modified.inner, removed: found.removed.inner }
}

pub(super) fn compare_new(place: Place<'_>, new: &Value) -> Comparison {
    let found = Walk { hollow: true }.at(place, Some(&NULL), Some(new), 0);
    Comparison { added: found.added.inner, modified: found.modified.inner, removed: found.removed.inner }
}

/// What is found at one place and below.
#[derive(Default)]
struct Found {
    added: Node,
    modified: Node,
    removed: Node,
}

impl Found {
    fn put(&mut self, element: impl Fn() -> String, below: Found) {
        let pairs =
            [(&mut self.added, below.added), (&mut self.modified, below.modified), (&mut self.removed, below.removed)];
        for (ours, below) in pairs {
            if !below.is_empty() {
                ours.inner.push(element(), below);
            }
        }
    }

    fn sorted(mut self) -> Self {
        for node in [&mut self.added, &mut self.modified, &mut self.removed] {
            node.inner = std::mem::take(&mut node.inner).sorted();
        }
        self
    }
}

struct Walk {
    /// The old document is an empty object of the kind.
    hollow: bool,
}

impl Walk {
    fn at(&self, place: Place<'_>, old: Option<&Value>, new: Option<&Value>, depth: usize) -> Found {
        if depth <= EQUAL_DEPTH_MAX && old == new {
            return Found::default();
        }
        // A configuration with an explicit null (`creationTimestamp: null` in what older clients print) asks for what a
        // live document is without, from which decoding has dropped all nulls.
        if let (None, Some(Value::Null)) | (Some(Value::Null), None) = (old, new) {
            return Found::default();
        }
        let mut found = match place.form(old, new) {
            Form::Leaf => return self.leaf(old, new),
            Form::Map(atom) => {
                let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
                if before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty) {
                    return self.leaf(old, new);
                }
                let mut found = Found::default();
                for (name, value) in before.into_iter().flatten() {
                    let after = after.and_then(|after| after.get(name));
                    found.put(|| path::field(name), self.at(place.field(&atom, name), Some(value), after, depth + 1));
                }
                let fresh = |name: &String| before.is_none_or(|before| !before.contains_key(name));
                for (name, value) in after.into_iter().flatten().filter(|(name, _)| fresh(name)) {
                    let place = place.field(&atom, name);
                    let before = (self.hollow && old.is_some() && place.always_stands()).then_some(&NULL);
                    found.put(|| path::field(name), self.at(place, before, Some(value), depth + 1));
                }
                found
            }
            Form::List(list) => {
                let (before, after) = (old.and_then(Value::as_array), new.and_then(Value::as_array));
                if before.is_none_or(Vec::is_empty) && after.is_none_or(Vec::is_empty) {
                    return self.leaf(old, new);
                }
                let named = |items: Option<&Vec<Value>>| -> Vec<(String, usize)> {
                    let items = items.into_iter().flatten().enumerate();
                    let mut named: Vec<_> =
                        items.filter_map(|(at, item)| Some((list.element(item).ok()?, at))).collect();
                    named.sort();
                    named
                };
                let (mut olds, mut news) = (&*named(before), &*named(after));
                let mut found = Found::default();
                while let Some(element) = [olds.first(), news.first()].into_iter().flatten().map(|(e, _)| e).min() {
                    let same =
                        |items: &[(String, usize)]| items.iter().take_while(|(other, _)| other == element).count();
                    let (from, to) = (same(olds), same(news));
                    let below = if from <= 1 && to <= 1 {
                        let old = (from == 1).then(|| &before.expect("it has an item")[olds[0].1]);
                        let new = (to == 1).then(|| &after.expect("it has an item")[news[0].1]);
                        self.at(list.items(), old, new, EQUAL_DEPTH_MAX + 1)
                    } else {
                        let many = |items: Option<&Vec<Value>>, named: &[(String, usize)]| -> Option<Value> {
                            let items = items?;
                            (!named.is_empty()).then(|| named.iter().map(|(_, at)| items[*at].clone()).collect())
                        };
                        self.leaf(many(before, &olds[..from]).as_ref(), many(after, &news[..to]).as_ref())
                    };
                    found.put(|| element.clone(), below);
                    (olds, news) = (&olds[from..], &news[to..]);
                }
                found
            }
        };
        found.added.member = old.is_none();
        found.removed.member = new.is_none();
        found.sorted()
    }

    fn leaf(&self, old: Option<&Value>, new: Option<&Value>) -> Found {
        let mut found = Found::default();
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        match (old, new) {
            (None, _) => found.added.member = true,
            (_, None) => found.removed.member = true,
            (Some(old), Some(new)) if self.hollow && old.is_null() && is_empty(new) => {}
            (Some(old), Some(new)) => found.modified.member = old != new,
        }
        found
    }
}
