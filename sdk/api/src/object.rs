//! Objects as they are stored: shared bytes first, parsed views on demand.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::resource::{GroupResource, Typed};
use crate::views::View;

/// Where an object is: its collection, namespace (empty for cluster-scoped kinds) and name.
///
/// Keys of one collection are ordered by the bytes of `namespace/name`, the order in which lists answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub resource: GroupResource,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(resource: &GroupResource, namespace: &str, name: &str) -> Self {
        Self { resource: resource.clone(), namespace: namespace.into(), name: name.into() }
    }

    /// The key of a typed kind; `namespace` is empty for cluster-scoped kinds.
    pub fn of<T: Typed>(namespace: &str, name: &str) -> Self {
        Self::new(&GroupResource::of::<T>(), namespace, name)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.resource.cmp(&other.resource).then_with(|| {
            if self.namespace == other.namespace {
                return self.name.as_bytes().cmp(other.name.as_bytes());
            }
            let path = |key: &Self| [key.namespace.as_bytes().to_vec(), key.name.as_bytes().to_vec()].join(&b'/');
            path(self).cmp(&path(other))
        })
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.resource, self.name)
        } else {
            write!(f, "{} {}/{}", self.resource, self.namespace, self.name)
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
    pub block_owner_deletion: bool,
}

/// The metadata that the machinery itself reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub generate_name: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<OwnerRef>,
    pub finalizers: Vec<String>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
}

impl Meta {
    /// The owner that controls this object, if any.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    api_version: String,
    kind: String,
    metadata: Meta,
}

/// One revision of one object.
///
/// The JSON bytes are the object; they are shared by lists, watches and plugins and never encoded again. What is read
/// from them is made when first asked for: the metadata stays; the document and the typed view stay while somebody has
/// them, and for a while after.
pub struct Object {
    key: Key,
    revision: u64,
    raw: Bytes,
    /// Boxed, since most objects of a store are never asked.
    head: OnceLock<Box<Head>>,
    tree: OnceLock<Arc<Value>>,
    document: View,
    typed: View,
}

impl Object {
    /// `raw` is the JSON of the object, with `metadata.resourceVersion` equal to `revision`.
    pub fn new(key: Key, revision: u64, raw: Bytes) -> Self {
        Self {
            key,
            revision,
            raw,
            head: OnceLock::new(),
            tree: OnceLock::new(),
            document: View::default(),
            typed: View::default(),
        }
    }

    /// An object made from a tree; key and revision are read from its metadata.
    pub fn from_tree(resource: &GroupResource, tree: Value) -> Self {
        let text = |field: &str| tree["metadata"][field].as_str().unwrap_or_default();
        let key = Key::new(resource, text("namespace"), text("name"));
        let revision = text("resourceVersion").parse().unwrap_or(0);
        let object = Self::new(key, revision, Bytes::from(tree.to_string()));
        object.tree.set(Arc::new(tree)).expect("a new object has no tree yet");
        object
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The store's revision of this state; `resourceVersion` is its decimal form.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    fn head(&self) -> &Head {
        self.head.get_or_init(|| Box::new(serde_json::from_slice(&self.raw).unwrap_or_default()))
    }

    pub fn api_version(&self) -> &str {
        &self.head().api_version
    }

    pub fn kind(&self) -> &str {
        &self.head().kind
    }

    pub fn meta(&self) -> &Meta {
        &self.head().metadata
    }

    pub fn uid(&self) -> &str {
        &self.meta().uid
    }

    /// The whole object as a tree, parsed once and kept as long as the object. For objects that are shared with the store
    /// or an informer, which live long, take [`document`](Self::document).
    pub fn tree(&self) -> &Arc<Value> {
        self.tree.get_or_init(|| self.document())
    }

    /// The whole object as a tree, shared by all who ask at about the same time; the object does not keep it.
    pub fn document(&self) -> Arc<Value> {
        if let Some(tree) = self.tree.get() {
            return tree.clone();
        }
        let parse = || Ok::<_, Infallible>(serde_json::from_slice(&self.raw).unwrap_or(Value::Null));
        match self.document.get(self.raw.len(), parse) {
            Ok(tree) => tree,
            Err(never) => match never {},
        }
    }

    /// The object through a typed lens, shared by all who ask for the same type at about the same time.
    ///
    /// Fails where the stored document does not fit the type, which a served kind's schema excludes.
    pub fn typed<T: Typed>(&self) -> Result<Arc<T>, serde_json::Error> {
        self.typed.get(self.raw.len(), || serde_json::from_slice(&self.raw))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.key, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_order_by_the_bytes_of_the_path() {
        let pods = GroupResource::new("", "pods");
        let mut keys = [Key::new(&pods, "a", "x"), Key::new(&pods, "a-b", "x"), Key::new(&pods, "a", "b")];
        keys.sort();
        let paths: Vec<_> = keys.iter().map(|k| format!("{}/{}", k.namespace, k.name)).collect();
        assert_eq!(paths, ["a-b/x", "a/b", "a/x"]);
    }

    #[test]
    fn views_come_from_the_bytes() {
        let object = Object::from_tree(
            &GroupResource::new("", "pods"),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "resourceVersion": "7",
                   "uid": "u", "labels": {"a": "b"}}}),
        );
        assert_eq!((object.revision(), object.uid(), object.kind()), (7, "u", "Pod"));
        let pod = object.typed::<k8s_openapi::api::core::v1::Pod>().unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("p"));
    }
}
