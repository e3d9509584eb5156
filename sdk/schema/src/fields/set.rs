//! A set of fields as a tree, and its form in an object's metadata (`fieldsV1`).

use serde_json::{Map, Value};

use super::path;

/// Why a `fieldsV1` document is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A set of fields: a tree whose branches are elements of paths, as `fieldsV1` writes them: `f:NAME` for a field,
/// `k:{KEYS}` for an item of a list by its keys, `v:VALUE` for an item of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(Vec<(Box<str>, Node)>);

/// One branch: whether the path that ends here is in the set, and what is in it further down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub member: bool,
    pub inner: Set,
}

impl Node {
    pub fn member() -> Self {
        Self { member: true, inner: Set::default() }
    }

    pub fn is_empty(&self) -> bool {
        !self.member && self.inner.is_empty()
    }
}

impl Set {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A set with one field, given by the names on its path.
    pub fn of_path(names: &[&str]) -> Self {
        let wrap = |inner: Node, name: &&str| {
            let branch = (path::field(name).into(), inner);
            Node { member: false, inner: Self(vec![branch]) }
        };
        let node = names.iter().rev().fold(Node::member(), wrap);
        node.inner
    }

    /// Whether the field at a path of names is in the set.
    pub fn has_path(&self, names: &[&str]) -> bool {
        let [name, rest @ ..] = names else { return false };
        let Some(node) = self.get(&path::field(name)) else { return false };
        if rest.is_empty() { node.member } else { node.inner.has_path(rest) }
    }

    /// Adds a branch that is not there yet; `sorted` follows once all are added.
    pub(super) fn push(&mut self, element: String, node: Node) {
        if !node.is_empty() {
            self.0.push((element.into(), node));
        }
    }

    /// In the order that all sets have. Of equal elements, which a list with duplicates gives, one stays.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|(a, later), (b, first)| {
            let same = a == b;
            if same {
                let both = Self(vec![("".into(), std::mem::take(first))])
                    .union(&Self(vec![("".into(), std::mem::take(later))]));
                *first = both.0.into_iter().next().map(|(_, node)| node).unwrap_or_default();
            }
            same
        });
        self
    }

    pub(super) fn branches(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(element, node)| (&**element, node))
    }

    pub(super) fn branches_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.0.iter_mut().map(|(element, node)| (&**element, node))
    }

    pub(super) fn get(&self, element: &str) -> Option<&Node> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(element)).ok().map(|at| &self.0[at].1)
    }

    /// The members of either.
    pub fn union(mut self, other: &Self) -> Self {
        if self.0.is_empty() {
            return other.clone();
        }
        let mut added = Vec::new();
        for (element, node) in &other.0 {
            match self.0.binary_search_by(|(known, _)| known.cmp(element)) {
                Ok(at) => {
                    let ours = &mut self.0[at].1;
                    ours.member |= node.member;
                    ours.inner = std::mem::take(&mut ours.inner).union(&node.inner);
                }
                Err(_) => added.push((element.clone(), node.clone())),
            }
        }
        if !added.is_empty() {
            self.0.extend(added);
            self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        self
    }

    /// The members that are not in `other`.
    pub fn difference(mut self, other: &Self) -> Self {
        self.filter(other, &|ours, theirs| {
            ours.member &= !theirs.member;
            ours.inner = std::mem::take(&mut ours.inner).difference(&theirs.inner);
        });
        self
    }

    /// The members that are neither in `other` nor below one of its members.
    pub fn difference_below(mut self, other: &Self) -> Self {
        self.filter(other, &|ours, theirs| {
            if theirs.member {
                *ours = Node::default();
            } else {
                ours.inner = std::mem::take(&mut ours.inner).difference_below(&theirs.inner);
            }
        });
        self
    }

    fn filter(&mut self, other: &Self, reduce: &dyn Fn(&mut Node, &Node)) {
        if other.is_empty() {
            return;
        }
        self.0.retain_mut(|(element, node)| {
            if let Some(theirs) = other.get(element) {
                reduce(node, theirs);
            }
            !node.is_empty()
        });
    }

    /// The members of both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (element, node) in &self.0 {
            let Some(theirs) = other.get(element) else { continue };
            let node = Node { member: node.member && theirs.member, inner: node.inner.intersection(&theirs.inner) };
            if !node.is_empty() {
                both.0.push((element.clone(), node));
            }
        }
        both
    }

    /// The members that are in `other` or below one of its members.
    pub fn within(&self, other: &Self) -> Self {
        let mut kept = Self::default();
        for (element, node) in &self.0 {
            let Some(theirs) = other.get(element) else { continue };
            let node = if theirs.member {
                node.clone()
            } else {
                Node { member: false, inner: node.inner.within(&theirs.inner) }
            };
            if !node.is_empty() {
                kept.0.push((element.clone(), node));
            }
        }
        kept
    }

    /// Whether a member is also one of the set that `fields` holds as `fieldsV1`; it is not decoded for that.
    pub fn meets(&self, fields: &Value) -> bool {
        let Value::Object(fields) = fields else { return false };
        self.0.iter().any(|(element, node)| {
            let Some(Value::Object(theirs)) = fields.get(&**element) else { return false };
            (node.member && (theirs.is_empty() || theirs.contains_key(".")))
                || (!theirs.is_empty() && node.inner.meets(&fields[&**element]))
        })
    }

    /// The paths of all members as people read them (`.spec.containers[name="a"].image`), parents first.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect(&self, prefix: &str, found: &mut Vec<String>) {
        let full = |element: &str| format!("{prefix}{}", path::shown(element));
        found.extend(self.0.iter().filter(|(_, node)| node.member).map(|(element, _)| full(element)));
        for (element, node) in self.0.iter().filter(|(_, node)| !node.inner.is_empty()) {
            node.inner.collect(&full(element), found);
        }
    }

    /// Reads `fieldsV1`; keys and values of items are brought into the one form in which sets compare.
    pub fn from_fields(fields: &Value) -> Result<Self, Malformed> {
        let Value::Object(fields) = fields else { return Err(Malformed("expected a map of fields".into())) };
        let mut set = Self::default();
        for (element, below) in fields.iter().filter(|(element, _)| *element != ".") {
            let Some(element) = path::canonical(element).map_err(Malformed)? else { continue };
            let inner = Self::from_fields(below)?;
            let member = inner.is_empty() || below.get(".").is_some();
            set.push(element, Node { member, inner });
        }
        Ok(set.sorted())
    }

    /// Writes `fieldsV1`.
    pub fn into_fields(self) -> Value {
        let write = |(element, node): (Box<str>, Node)| {
            let mut below = node.inner.into_fields();
            if let Value::Object(below) = &mut below
                && node.member
                && !below.is_empty()
            {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            (String::from(element), below)
        };
        Value::Object(self.0.into_iter().map(write).collect())
    }
}
