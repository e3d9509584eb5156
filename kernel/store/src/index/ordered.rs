//! A map of namespace and name in the order lists answer in: the bytes of `namespace/name`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::sync::Arc;

use sdk_api::Key;

/// A namespace, ordered as the beginning of `namespace/name`: `a-b` comes before `a`, for `-` is below `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Space(pub Arc<str>);

impl Ord for Space {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        let common = left.len().min(right.len());
        let next = |text: &[u8]| *text.get(common).unwrap_or(&b'/');
        left[..common].cmp(&right[..common]).then(next(left).cmp(&next(right))).then(left.len().cmp(&right.len()))
    }
}

impl PartialOrd for Space {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a listing begins and how far it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// One namespace, or all.
    pub namespace: Option<Space>,
    /// Begin after this one.
    pub after: Option<(Space, Arc<str>)>,
}

/// Values by namespace and name. A namespace without values has no entry.
#[derive(Debug)]
pub(crate) struct Ordered<V> {
    spaces: BTreeMap<Space, BTreeMap<Arc<str>, V>>,
    len: usize,
}

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self { spaces: BTreeMap::new(), len: 0 }
    }
}

impl<V> Ordered<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &Key) -> Option<&V> {
        self.spaces.get(&Space(key.namespace.clone()))?.get(&key.name)
    }

    pub fn at(&self, space: &Space, name: &str) -> Option<&V> {
        self.spaces.get(space)?.get(name)
    }

    pub fn insert(&mut self, key: &Key, value: V) -> Option<V> {
        let before = self.spaces.entry(Space(key.namespace.clone())).or_default().insert(key.name.clone(), value);
        self.len += usize::from(before.is_none());
        before
    }

    pub fn remove(&mut self, key: &Key) -> Option<V> {
        let btree_map::Entry::Occupied(mut space) = self.spaces.entry(Space(key.namespace.clone())) else {
            return None;
        };
        let before = space.get_mut().remove(&key.name);
        if space.get().is_empty() {
            space.remove();
        }
        self.len -= usize::from(before.is_some());
        before
    }

    /// The value of a key, made if there is none.
    pub fn slot(&mut self, key: &Key) -> &mut V
    where
        V: Default,
    {
        let names = self.spaces.entry(Space(key.namespace.clone())).or_default();
        match names.entry(key.name.clone()) {
            btree_map::Entry::Occupied(old) => old.into_mut(),
            btree_map::Entry::Vacant(new) => {
                self.len += 1;
                new.insert(V::default())
            }
        }
    }

    /// The values of a part, in order. Looks at no other namespace than the one asked for.
    pub fn walk<'a>(&'a self, part: &Part) -> impl Iterator<Item = (&'a Space, &'a Arc<str>, &'a V)> + use<'a, V> {
        let (from, to) = match (&part.namespace, &part.after) {
            (Some(one), Some((after, _))) if after > one => (Bound::Excluded(one.clone()), Bound::Unbounded),
            (Some(one), _) => (Bound::Included(one.clone()), Bound::Included(one.clone())),
            (None, Some((after, _))) => (Bound::Included(after.clone()), Bound::Unbounded),
            (None, None) => (Bound::Unbounded, Bound::Unbounded),
        };
        // Nothing of a namespace follows a position in a later one.
        let nothing = matches!((&part.namespace, &part.after), (Some(one), Some((after, _))) if after > one);
        let after = part.after.clone();
        self.spaces.range((from, to)).take_while(move |_| !nothing).flat_map(move |(space, names)| {
            let lower = match &after {
                Some((at, name)) if at == space => Bound::Excluded(name.clone()),
                _ => Bound::Unbounded,
            };
            names.range::<Arc<str>, _>((lower, Bound::Unbounded)).map(move |(name, value)| (space, name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::GroupResource;

    use super::*;

    fn filled() -> Ordered<u32> {
        let pods = GroupResource::new("", "pods");
        let mut map = Ordered::default();
        for (value, (namespace, name)) in
            [("a", "x"), ("a-b", "x"), ("a", "b"), ("a.c", "z"), ("b", "a"), ("ab", "m")].into_iter().enumerate()
        {
            assert_eq!(map.insert(&Key::new(&pods, namespace, name), value as u32), None);
        }
        map
    }

    fn paths(map: &Ordered<u32>, namespace: Option<&str>, after: Option<(&str, &str)>) -> Vec<String> {
        let part = Part {
            namespace: namespace.map(|n| Space(n.into())),
            after: after.map(|(space, name)| (Space(space.into()), name.into())),
        };
        map.walk(&part).map(|(space, name, _)| format!("{}/{name}", space.0)).collect()
    }

    #[test]
    fn walks_in_the_order_of_the_bytes_of_the_path() {
        let map = filled();
        for (case, namespace, after, wanted) in [
            ("all", None, None, vec!["a-b/x", "a.c/z", "a/b", "a/x", "ab/m", "b/a"]),
            ("one namespace", Some("a"), None, vec!["a/b", "a/x"]),
            ("no such namespace", Some("q"), None, vec![]),
            ("after a name", None, Some(("a", "b")), vec!["a/x", "ab/m", "b/a"]),
            ("after a name that is gone", None, Some(("a", "c")), vec!["a/x", "ab/m", "b/a"]),
            ("after a namespace that is gone", None, Some(("aa", "c")), vec!["ab/m", "b/a"]),
            ("after the last", None, Some(("b", "a")), vec![]),
            ("a namespace after a name of it", Some("a"), Some(("a", "b")), vec!["a/x"]),
            ("a namespace after an earlier one", Some("a"), Some(("a-b", "x")), vec!["a/b", "a/x"]),
            ("a namespace after a later one", Some("a"), Some(("b", "a")), vec![]),
        ] {
            assert_eq!(paths(&map, namespace, after), wanted, "{case}");
        }
    }

    #[test]
    fn counts_and_forgets() {
        let pods = GroupResource::new("", "pods");
        let mut map = filled();
        assert_eq!(map.len(), 6);
        assert_eq!(map.remove(&Key::new(&pods, "b", "a")), Some(4));
        assert_eq!(map.remove(&Key::new(&pods, "b", "a")), None);
        *map.slot(&Key::new(&pods, "b", "c")) += 1;
        assert_eq!((map.len(), map.get(&Key::new(&pods, "b", "c"))), (6, Some(&1)));
    }
}
