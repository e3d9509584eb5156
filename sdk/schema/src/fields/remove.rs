//! Taking fields out of a document, and sets made to fit a schema.

use serde_json::Value;

use super::path;
use super::place::{Atom, Form, Place};
use super::set::{Node, Set};

/// Removes the members of `set`. Says whether nothing is left of a map or list that had something.
pub(super) fn remove(place: Place<'_>, value: &mut Value, set: &Set) -> bool {
    match place.form(None, Some(value)) {
        Form::Leaf => false,
        Form::Map(atom) => {
            let Value::Object(fields) = value else { return false };
            let (mut taken, mut emptied) = (false, false);
            for (element, node) in set.branches() {
                let Some(name) = path::name(element) else { continue };
                if node.member {
                    taken |= fields.remove(name).is_some();
                } else if let Some(field) = fields.get_mut(name)
                    && remove(place.field(&atom, name), field, &node.inner)
                {
                    // Upstream leaves a null here, which vanishes when the document is decoded; it counts as something.
                    fields.remove(name);
                    emptied = true;
                }
            }
            taken && !emptied && fields.is_empty()
        }
        Form::List(list) => {
            let Value::Array(items) = value else { return false };
            let had = !items.is_empty();
            items.retain_mut(|item| {
                let Ok(element) = list.element(item) else { return true };
                match set.get(&element) {
                    Some(node) if node.member => false,
                    Some(node) => {
                        remove(list.items(), item, &node.inner);
                        true
                    }
                    None => true,
                }
            });
            had && items.is_empty()
        }
    }
}

pub(super) fn with_named_fields(place: Place<'_>, set: &Set) -> Set {
    let atom = place.atom();
    let mut named = Set::default();
    for (element, node) in set.branches() {
        let is_field = path::name(element).is_some_and(|name| atom.has_field(name));
        let inner = with_named_fields(place.below(element), &node.inner);
        named.push(element.to_owned(), Node { member: node.member || is_field, inner });
    }
    named
}

/// Upstream treats what became granular as if it always had been, so only what became atomic changes.
pub(super) fn reconciled(place: Place<'_>, set: &Set) -> Set {
    let mut fitting = set.clone();
    for (element, node) in fitting.branches_mut() {
        if node.inner.is_empty() {
            continue;
        }
        let below = place.below(element);
        if matches!(below.atom(), Atom::Leaf(_)) {
            *node = Node::member();
        } else {
            node.inner = reconciled(below, &node.inner);
        }
    }
    fitting
}
