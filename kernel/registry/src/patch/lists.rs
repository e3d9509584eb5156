//! How a strategic merge patch merges lists, and in which order their items come out.
//!
//! Items are the same if their merge keys are equal, or, in lists of primitives, if they are equal. The order that
//! comes out keeps the patch's order among the patch's items and the server's among the others, and puts an item of
//! the server before one of the patch only where the server had them so; that is why an item that only the patch
//! has comes first unless `$setElementOrder` says otherwise.

use sdk_schema::SchemaRef;
use serde_json::{Map, Value};

use super::go::Printed;
use super::strategic::{DIRECTIVE, Error, drop_directives, merge_map};

/// Lists and the key that tells their items apart; without one they are lists of primitives.
#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    pub key: Option<&'a str>,
    pub schema: Option<&'a SchemaRef>,
}

impl Items<'_> {
    /// Merges `patch` into `original`.
    pub fn merge(self, mut original: Vec<Value>, mut patch: Vec<Value>) -> Result<Vec<Value>, Error> {
        let Some(first) = original.iter().chain(&patch).next() else { return Ok(original) };
        if first.is_array() {
            return Err(Error::ListOfLists);
        }
        let maps = first.is_object();
        if original.iter().chain(&patch).any(|item| item.is_object() != maps || item.is_array()) {
            let lists = [Value::Array(original), Value::Array(patch)].map(|list| Printed(&list).to_string());
            return Err(Error::Other(format!("list element types are not identical: [{}]", lists.join(" "))));
        }
        let merged = if maps {
            let Some(key) = self.key else {
                let name = self.schema.and_then(|schema| schema.name()).unwrap_or_default();
                return Err(Error::Other(format!("cannot merge lists without merge key for {name}")));
            };
            (original, patch) = special_items(original, patch, key)?;
            self.merge_maps(original.clone(), patch.clone(), key)?
        } else {
            let mut merged: Vec<Value> = Vec::new();
            for item in original.iter().chain(&patch) {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            merged
        };
        Ok(self.in_order(merged, &patch, &original))
    }

    fn merge_maps(self, mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<Vec<Value>, Error> {
        for item in patch {
            let Value::Object(fields) = item else { continue };
            let Some(value) = fields.get(key) else { return Err(no_merge_key(fields, key)) };
            match original.iter_mut().find(|item| item.get(key) == Some(value)) {
                Some(place) => {
                    let Value::Object(before) = place.take() else { continue };
                    *place = Value::Object(merge_map(before, fields, self.schema)?);
                }
                None => original.extend(drop_directives(Value::Object(fields))),
            }
        }
        Ok(original)
    }

    /// Brings merged items into the order of the patch and of the server.
    ///
    /// `patch_order` names the patch's items in their order: the patch itself, or `$setElementOrder`.
    pub fn in_order(self, merged: Vec<Value>, patch_order: &[Value], server_order: &[Value]) -> Vec<Value> {
        let place = |order: &[Value], item: &Value| order.iter().position(|other| self.same(other, item));
        let (mut ours, mut theirs): (Vec<Value>, Vec<Value>) =
            merged.into_iter().partition(|item| place(patch_order, item).is_some());
        ours.sort_by_key(|item| place(patch_order, item));
        theirs.sort_by_key(|item| place(server_order, item));

        let mut ordered = Vec::with_capacity(ours.len() + theirs.len());
        let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
        while let (Some(our), Some(their)) = (ours.peek(), theirs.peek()) {
            let theirs_first = match (place(server_order, their), place(server_order, our)) {
                (Some(their), Some(our)) => their < our,
                _ => false,
            };
            ordered.extend(if theirs_first { theirs.next() } else { ours.next() });
        }
        ordered.extend(ours);
        ordered.extend(theirs);
        ordered
    }

    /// Whether two items, or an item and what stands for it in an order list, are the same.
    fn same(self, a: &Value, b: &Value) -> bool {
        match self.key {
            Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
            None => a == b,
        }
    }

    /// Refuses a patch whose items do not come in the order that `$setElementOrder` gives.
    pub fn check_order(self, patch: &[Value], order: &[Value]) -> Result<(), Error> {
        if patch.is_empty() || order.is_empty() {
            return Ok(());
        }
        let mut rest = order.iter();
        let kept = patch.iter().filter(|item| item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"));
        for item in kept {
            if !rest.any(|other| self.same(other, item)) {
                let print = |items: &[Value]| Printed(&Value::Array(items.to_vec())).to_string();
                return Err(Error::Other(format!(
                    "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                    print(patch),
                    print(order)
                )));
            }
        }
        Ok(())
    }
}

/// Carries out `$patch: delete` and `$patch: replace` among the items of a patch; gives what is left of both lists.
fn special_items(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut plain = Vec::new();
    let mut replace = false;
    for item in patch {
        match item.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
            None => plain.push(item),
            Some("delete") => match item.get(key) {
                Some(value) => original.retain(|other| other.get(key) != Some(value)),
                None => return Err(no_merge_key(item.as_object().cloned().unwrap_or_default(), key)),
            },
            Some("replace") => replace = true,
            Some("merge") => return Err(Error::Other("merging lists cannot yet be specified in the patch".into())),
            Some(_) => {
                let directive = Printed(&item[DIRECTIVE]).to_string();
                return Err(Error::Other(format!("unknown patch type: {directive} in map: {}", Printed(&item))));
            }
        }
    }
    if replace {
        let plain = plain.into_iter().filter_map(drop_directives).collect();
        return Ok((plain, Vec::new()));
    }
    Ok((original, plain))
}

fn no_merge_key(fields: Map<String, Value>, key: &str) -> Error {
    let fields = Value::Object(fields);
    Error::Other(format!("map: {} does not contain declared merge key: {key}", Printed(&fields)))
}
