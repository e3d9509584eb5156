//! A cache of fixed objects, for tables of plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::{GroupResource, GroupVersion, Key, Object, Timestamp, Typed};
use sdk_plugin::{Cache, Failure, View};
use serde_json::Value;

/// Kinds that live outside namespaces, as far as tests use them.
const CLUSTER_KINDS: &[&str] = &[
    "Namespace",
    "Node",
    "PersistentVolume",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "IngressClass",
    "CSINode",
    "CSIDriver",
    "APIService",
];

/// The collection of a kind, by the rule that upstream's own kinds follow.
pub fn resource_of(api_version: &str, kind: &str) -> GroupResource {
    let lower = kind.to_lowercase();
    let plural = match lower.as_str() {
        "endpoints" => lower,
        l if l.ends_with("ss") || l.ends_with("ch") => format!("{l}es"),
        l if l.ends_with('y') && !l.ends_with("ey") => format!("{}ies", &l[..l.len() - 1]),
        l => format!("{l}s"),
    };
    GroupResource::new(&GroupVersion::parse(api_version).group, &plural)
}

/// Whether objects of a kind live in a namespace.
pub fn is_namespaced(kind: &str) -> bool {
    !CLUSTER_KINDS.contains(&kind)
}

/// An object from its document; `metadata.resourceVersion` is 1 where the document has none.
pub fn object(mut tree: Value) -> Arc<Object> {
    if tree["metadata"]["resourceVersion"].is_null() {
        tree["metadata"]["resourceVersion"] = "1".into();
    }
    let text = |field: &str| tree[field].as_str().unwrap_or_default().to_owned();
    let resource = resource_of(&text("apiVersion"), &text("kind"));
    Arc::new(Object::from_tree(&resource, tree))
}

/// A [`Cache`] that never changes by itself.
#[derive(Clone, Default)]
pub struct FixedCache {
    objects: BTreeMap<Key, Arc<Object>>,
    /// How the last plan failed.
    pub failure: Option<Failure>,
}

impl FixedCache {
    pub fn new(trees: impl IntoIterator<Item = Value>) -> Self {
        let mut cache = Self::default();
        for tree in trees {
            cache.put(tree);
        }
        cache
    }

    pub fn put(&mut self, tree: Value) -> Arc<Object> {
        let object = object(tree);
        self.objects.insert(object.key().clone(), object.clone());
        object
    }

    pub fn put_typed<T: Typed>(&mut self, value: &T) -> Arc<Object> {
        self.put(serde_json::to_value(value).expect("API types encode as JSON"))
    }

    pub fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    /// The view at a time.
    pub fn view(&self, now: Timestamp) -> View<'_> {
        View { now, cache: self }
    }
}

impl Cache for FixedCache {
    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.objects.get(key).cloned()
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>> {
        let of = self.objects.values().filter(|object| object.key().resource == *resource);
        of.filter(|object| namespace.is_empty() || object.namespace() == namespace).cloned().collect()
    }

    fn owned_by(&self, resource: &GroupResource, uid: &str) -> Vec<Arc<Object>> {
        let mut of = self.list(resource, "");
        of.retain(|object| object.meta().owner_references.iter().any(|owner| owner.uid == uid));
        of
    }

    fn resources(&self) -> Vec<GroupResource> {
        let mut resources: Vec<_> = self.objects.keys().map(|key| key.resource.clone()).collect();
        resources.dedup();
        resources
    }

    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)> {
        Some((resource_of(api_version, kind), is_namespaced(kind)))
    }

    fn last_failure(&self) -> Option<Failure> {
        self.failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::{Endpoints, Pod};
    use sdk_api::k8s_openapi::api::networking::v1::{IngressClass, NetworkPolicy};
    use serde_json::json;

    use super::*;

    #[test]
    fn plurals_are_those_of_the_types() {
        fn check<T: Typed>() {
            assert_eq!(resource_of(T::API_VERSION, T::KIND), GroupResource::of::<T>());
        }
        check::<Pod>();
        check::<Endpoints>();
        check::<NetworkPolicy>();
        check::<IngressClass>();
    }

    #[test]
    fn lists_are_by_namespace_and_owner() {
        let pod = |ns: &str, name: &str, owner: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": ns, "name": name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner}]}})
        };
        let cache = FixedCache::new([pod("a", "1", "u"), pod("b", "2", "u"), pod("b", "3", "v")]);
        let pods = GroupResource::of::<Pod>();
        assert_eq!(cache.list(&pods, "b").len(), 2);
        assert_eq!(cache.list(&pods, "").len(), 3);
        assert_eq!(cache.owned_by(&pods, "u").len(), 2);
    }
}
