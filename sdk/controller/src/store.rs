//! The objects of one collection as an informer knows them, indexed by namespace and by owner.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sdk_api::{Key, Object};

type Place = (Arc<str>, Arc<str>);

/// Objects by namespace and name. An owner's uid leads to those that name it.
#[derive(Default)]
pub struct Store {
    namespaces: HashMap<Arc<str>, BTreeMap<Arc<str>, Arc<Object>>>,
    owned: HashMap<String, BTreeSet<Place>>,
    /// Objects without a controller, once somebody asked for them.
    orphans: Option<BTreeSet<Place>>,
    count: usize,
}

impl Store {
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// In the byte order of `namespace/name`; `namespace` empty is all.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        if !namespace.is_empty() {
            return self.namespaces.get(namespace).map(|of| of.values().cloned().collect()).unwrap_or_default();
        }
        let mut namespaces: Vec<_> = self.namespaces.iter().collect();
        // `a-b/x` comes before `a/x`: the separator takes part in the order.
        let path = |name: &str| [name.as_bytes(), b"/"].concat();
        namespaces.sort_by_cached_key(|(namespace, _)| path(namespace));
        namespaces.into_iter().flat_map(|(_, of)| of.values().cloned()).collect()
    }

    /// Objects that name `uid` as an owner, in order of namespace and name.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        let places = self.owned.get(uid).into_iter().flatten();
        places.filter_map(|(namespace, name)| self.get(namespace, name).cloned()).collect()
    }

    /// Objects of a namespace that nobody controls; `None` until [`index_orphans`](Self::index_orphans).
    pub fn orphans(&self, namespace: &str) -> Option<Vec<Arc<Object>>> {
        let start: Place = (namespace.into(), "".into());
        let from = self.orphans.as_ref()?.range(start..);
        let here = from.take_while(|(of, _)| &**of == namespace);
        Some(here.filter_map(|(namespace, name)| self.get(namespace, name).cloned()).collect())
    }

    /// Keeps an index of objects without a controller from now on. Most collections never need one.
    pub fn index_orphans(&mut self) {
        if self.orphans.is_none() {
            let all = self.list("").into_iter();
            let without = all.filter(|object| object.meta().controller().is_none());
            self.orphans = Some(without.map(|object| place(object.key())).collect());
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Puts a state in; returns the one before.
    pub fn put(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let (namespace, name) = place(object.key());
        let old = self.namespaces.entry(namespace.clone()).or_default().insert(name.clone(), object.clone());
        match &old {
            Some(old) => self.unindex(old),
            None => self.count += 1,
        }
        for owner in &object.meta().owner_references {
            self.owned.entry(owner.uid.clone()).or_default().insert((namespace.clone(), name.clone()));
        }
        if let Some(orphans) = self.orphans.as_mut().filter(|_| object.meta().controller().is_none()) {
            orphans.insert((namespace, name));
        }
        old
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let of = self.namespaces.get_mut(&key.namespace)?;
        let old = of.remove(&key.name)?;
        if of.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        self.count -= 1;
        self.unindex(&old);
        Some(old)
    }

    fn unindex(&mut self, old: &Object) {
        if let Some(orphans) = &mut self.orphans {
            orphans.remove(&place(old.key()));
        }
        for owner in &old.meta().owner_references {
            if let Some(places) = self.owned.get_mut(&owner.uid) {
                places.remove(&place(old.key()));
                if places.is_empty() {
                    self.owned.remove(&owner.uid);
                }
            }
        }
    }
}

fn place(key: &Key) -> Place {
    (key.namespace.clone(), key.name.clone())
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;

    use super::*;

    fn names(objects: &[Arc<Object>]) -> Vec<String> {
        objects.iter().map(|object| format!("{}/{}", object.namespace(), object.name())).collect()
    }

    #[test]
    fn lists_follow_the_order_of_the_api() {
        let mut store = Store::default();
        for (namespace, name) in [("a", "x"), ("a-b", "x"), ("a", "b")] {
            assert!(store.put(Build::pod(namespace, name).object()).is_none());
        }
        assert_eq!(names(&store.list("")), ["a-b/x", "a/b", "a/x"]);
        assert_eq!(names(&store.list("a")), ["a/b", "a/x"]);
        assert_eq!(store.len(), 3);
    }

    #[test]
    fn orphans_are_indexed_on_demand() {
        let mut store = Store::default();
        let owner = Build::replica_set("n", "web", 1);
        store.put(Build::pod("n", "a").object());
        store.put(Build::pod("other", "a").object());
        store.put(Build::pod("n", "b").controlled_by(&owner).object());
        assert!(store.orphans("n").is_none());
        store.index_orphans();
        assert_eq!(names(&store.orphans("n").unwrap()), ["n/a"]);
        store.put(Build::pod("n", "a").controlled_by(&owner).object());
        store.put(Build::pod("n", "c").owner("v1", "X", "x", "u", false).object());
        assert_eq!(names(&store.orphans("n").unwrap()), ["n/c"]);
        store.remove(Build::pod("n", "c").object().key());
        assert!(store.orphans("n").unwrap().is_empty());
    }

    #[test]
    fn owners_follow_their_dependents() {
        let mut store = Store::default();
        let pod = |owner: &str| Build::pod("n", "p").owner("v1", "X", "x", owner, false).object();
        store.put(pod("u"));
        assert_eq!(names(&store.owned_by("u")), ["n/p"]);
        store.put(pod("v"));
        assert!(store.owned_by("u").is_empty());
        assert_eq!(names(&store.owned_by("v")), ["n/p"]);
        store.remove(pod("v").key());
        assert!(store.owned_by("v").is_empty() && store.is_empty() && store.owned.is_empty());
    }
}
