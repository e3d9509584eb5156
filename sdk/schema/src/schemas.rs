//! A set of definitions, the built-in one or one that a caller supplies.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use flate2::read::GzDecoder;
use sdk_api::GroupVersionKind;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::node::{Facts, Node, NodeId, SchemaRef, Shape};
use crate::parse::Builder;

/// Every definition of Kubernetes 1.36, written by `generate/`: types, descriptions, merge facts, kinds.
static PACKED: &[u8] = include_bytes!("../data/definitions.json.gz");

/// Why a set of definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("definition {name} is not a schema")]
    Malformed {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("definition {from} refers to {to}, which is nowhere defined")]
    Dangling { from: String, to: String },
}

pub(crate) struct Inner {
    pub(crate) nodes: Vec<Node>,
    /// Definitions by name.
    pub(crate) names: BTreeMap<Box<str>, NodeId>,
    pub(crate) kinds: HashMap<GroupVersionKind, NodeId>,
    /// The definitions as they were supplied; the built-in ones are unpacked again when asked for.
    documents: Option<BTreeMap<String, Box<RawValue>>>,
}

/// Definitions by name and by kind, in a compact form without descriptions. Cloning shares.
#[derive(Clone)]
pub struct Schemas(Arc<Inner>);

impl Schemas {
    /// The definitions of Kubernetes 1.36, read when first asked for (about 10 ms and 1 MB in a release build).
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Schemas> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let text = unpack();
            let definitions: BTreeMap<&str, &RawValue> =
                serde_json::from_str(&text).expect("the committed definitions are an object of schemas");
            let mut builder = Builder::default();
            for (name, schema) in definitions {
                builder.define(name, schema.get()).expect("the committed definitions are schemas");
            }
            let inner = builder.finish(None).expect("the committed definitions refer to each other");
            Self(Arc::new(inner))
        })
    }

    /// A set of definitions in OpenAPI v3 form: one for each custom resource, for example.
    ///
    /// References are `#/components/schemas/NAME`; a name that is not supplied is looked up among the built-in
    /// definitions, so that a custom resource can refer to `ObjectMeta`. A definition with
    /// `x-kubernetes-group-version-kind` is found by [`Schemas::kind`].
    pub fn from_definitions(definitions: BTreeMap<String, Value>) -> Result<Self, Error> {
        let mut builder = Builder::default();
        let mut documents = BTreeMap::new();
        for (name, schema) in definitions {
            let text = RawValue::from_string(schema.to_string()).expect("a value is written as JSON");
            builder.define(&name, text.get())?;
            documents.insert(name, text);
        }
        let mut inner = builder.finish(Some(Self::builtin()))?;
        inner.documents = Some(documents);
        Ok(Self(Arc::new(inner)))
    }

    /// The schema of a kind in one version, lists included.
    pub fn kind(&self, kind: &GroupVersionKind) -> Option<SchemaRef> {
        self.0.kinds.get(kind).map(|node| self.at(*node))
    }

    /// A definition by upstream's name, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn definition(&self, name: &str) -> Option<SchemaRef> {
        self.0.names.get(name).map(|node| self.at(*node))
    }

    /// Every kind that has a schema here.
    pub fn kinds(&self) -> impl Iterator<Item = &GroupVersionKind> {
        self.0.kinds.keys()
    }

    /// The definitions in OpenAPI v3 form, with descriptions. For the built-in set this unpacks a megabyte, so callers
    /// keep what they make of it.
    pub(crate) fn raw_documents(&self) -> BTreeMap<String, Box<RawValue>> {
        match &self.0.documents {
            Some(documents) => documents.clone(),
            None => serde_json::from_str(&unpack()).expect("the committed definitions are an object of schemas"),
        }
    }

    /// Names of definitions, and where they are.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, NodeId)> {
        self.0.names.iter().map(|(name, node)| (&**name, *node))
    }

    pub(crate) fn is_builtin(&self) -> bool {
        self.0.documents.is_none()
    }

    /// Which definition describes which kind.
    pub(crate) fn kind_names(&self) -> HashMap<GroupVersionKind, String> {
        let names: HashMap<NodeId, &str> = self.0.names.iter().map(|(name, node)| (*node, &**name)).collect();
        let name = |node: &NodeId| names.get(node).map(|name| (*name).to_owned());
        self.0.kinds.iter().filter_map(|(kind, node)| Some((kind.clone(), name(node)?))).collect()
    }

    /// A number that changes with the committed definitions.
    pub(crate) fn builtin_digest() -> u64 {
        // The last eight bytes of a gzip file are the checksum and the length of its content.
        PACKED.last_chunk().map_or(0, |tail| u64::from_le_bytes(*tail))
    }

    fn at(&self, node: NodeId) -> SchemaRef {
        SchemaRef { schemas: self.clone(), node }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.0.nodes[id as usize]
    }

    /// Follows references to the node that has a type.
    pub(crate) fn resolve(&self, mut id: NodeId) -> NodeId {
        while let Shape::Ref(target) = self.node(id).shape {
            id = target;
        }
        id
    }

    pub(crate) fn shape(&self, id: NodeId) -> &Shape {
        &self.node(self.resolve(id)).shape
    }

    /// The name under which a node is defined. Slow: for messages.
    pub(crate) fn name_of(&self, id: NodeId) -> Option<&str> {
        self.0.names.iter().find(|(_, node)| **node == id).map(|(name, _)| &**name)
    }

    pub(crate) fn facts(&self, id: NodeId) -> Option<&Facts> {
        self.node(id).facts.as_deref()
    }
}

impl Inner {
    pub(crate) fn new(
        nodes: Vec<Node>,
        names: BTreeMap<Box<str>, NodeId>,
        kinds: HashMap<GroupVersionKind, NodeId>,
    ) -> Self {
        Self { nodes, names, kinds, documents: None }
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schemas({} definitions)", self.0.names.len())
    }
}

fn unpack() -> String {
    let mut text = String::with_capacity(1 << 21);
    GzDecoder::new(PACKED).read_to_string(&mut text).expect("the committed definitions are gzip of UTF-8");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::{ListType, Strategy, Type};

    #[test]
    fn every_builtin_kind_is_found_by_name() {
        let schemas = Schemas::builtin();
        for (group, version, kind) in [
            ("", "v1", "Pod"),
            ("", "v1", "PodList"),
            ("apps", "v1", "Deployment"),
            ("autoscaling", "v1", "Scale"),
            ("resource.k8s.io", "v1beta2", "ResourceClaim"),
            ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ] {
            assert!(schemas.kind(&GroupVersionKind::new(group, version, kind)).is_some(), "{group}/{version} {kind}");
        }
        assert!(schemas.kind(&GroupVersionKind::new("", "v1", "Nothing")).is_none());
        assert!(schemas.kind(&GroupVersionKind::new("apps", "v2", "Deployment")).is_none());
        assert_eq!(schemas.definition("io.k8s.api.core.v1.Container").unwrap().type_(), Type::Object);
    }

    #[test]
    fn facts_for_merging_are_at_the_fields() {
        let pod = Schemas::builtin().kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap();
        let merge = Strategy { merge: true, ..Strategy::default() };
        for (path, key, strategy, list_type, map_keys) in [
            (&["spec", "containers"][..], Some("name"), merge, ListType::Map, vec!["name"]),
            (
                &["spec", "containers", "ports"],
                Some("containerPort"),
                merge,
                ListType::Map,
                vec!["containerPort", "protocol"],
            ),
            (&["spec", "volumes"], Some("name"), Strategy { retain_keys: true, ..merge }, ListType::Map, vec!["name"]),
            (&["spec", "tolerations"], None, Strategy::default(), ListType::Atomic, vec![]),
            (&["spec", "containers", "args"], None, Strategy::default(), ListType::Atomic, vec![]),
            (&["metadata", "finalizers"], None, merge, ListType::Set, vec![]),
        ] {
            let field = pod.at_path(path).unwrap_or_else(|| panic!("{path:?}"));
            assert_eq!((field.patch_merge_key(), field.patch_strategy()), (key, strategy), "{path:?}");
            assert_eq!(field.list_type(), list_type, "{path:?}");
            let keys: Vec<_> = field.list_map_keys().iter().map(|k| &**k).collect();
            assert_eq!(keys, map_keys, "{path:?}");
        }
    }

    #[test]
    fn supplied_definitions_may_refer_to_builtin_ones() {
        let widget = json!({
            "type": "object",
            "properties": {
                "metadata": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
                "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
            "x-kubernetes-group-version-kind": [{"group": "x.io", "version": "v1", "kind": "Widget"}],
        });
        let schemas = Schemas::from_definitions(BTreeMap::from([("io.x.v1.Widget".into(), widget)])).unwrap();
        let kind = schemas.kind(&GroupVersionKind::new("x.io", "v1", "Widget")).unwrap();
        let owners = kind.at_path(&["metadata", "ownerReferences"]).unwrap();
        assert_eq!((owners.type_(), owners.patch_merge_key()), (Type::List, Some("uid")));
        assert!(kind.field("spec").unwrap().preserves_unknown());

        let broken = json!({"properties": {"a": {"$ref": "#/components/schemas/nowhere"}}});
        let error = Schemas::from_definitions(BTreeMap::from([("x".into(), broken)])).unwrap_err();
        assert!(matches!(error, Error::Dangling { .. }), "{error}");
    }
}
