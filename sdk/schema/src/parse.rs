//! From OpenAPI v3 schemas to the compact form.

use std::collections::{BTreeMap, HashMap};

use sdk_api::GroupVersionKind;
use serde::Deserialize;
use serde_json::Value;

use crate::node::{Facts, ListType, MapType, Node, NodeId, Shape, Strategy};
use crate::schemas::{Error, Inner, Schemas};

const REF: &str = "#/components/schemas/";

/// What of a schema matters for documents; descriptions are skipped without being kept.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Schema {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "allOf")]
    all_of: Vec<Schema>,
    #[serde(rename = "oneOf")]
    one_of: Vec<serde::de::IgnoredAny>,
    #[serde(rename = "type")]
    type_: Option<String>,
    format: Option<String>,
    properties: Option<BTreeMap<Box<str>, Schema>>,
    required: Vec<Box<str>>,
    /// Said by the parent's `required`.
    #[serde(skip)]
    stands: bool,
    items: Option<Box<Schema>>,
    #[serde(rename = "additionalProperties")]
    additional: Option<Additional>,
    default: Option<Value>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    map_keys: Vec<Box<str>>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    merge_key: Option<Box<str>>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    strategy: Option<String>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserve_unknown: bool,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<KindName>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Additional {
    Allowed(bool),
    Schema(Box<Schema>),
}

#[derive(Deserialize)]
struct KindName {
    group: String,
    version: String,
    kind: String,
}

/// Types whose Go form keeps or reads raw JSON, or whose format the schema does not tell.
fn special(name: &str) -> Option<Shape> {
    Some(match name.strip_prefix("io.k8s.")? {
        "apimachinery.pkg.api.resource.Quantity" => Shape::Quantity,
        "apimachinery.pkg.util.intstr.IntOrString" => Shape::IntOrString,
        "apimachinery.pkg.apis.meta.v1.Time" => Shape::Time,
        "apimachinery.pkg.apis.meta.v1.MicroTime" => Shape::MicroTime,
        "apimachinery.pkg.apis.meta.v1.FieldsV1"
        | "apimachinery.pkg.apis.meta.v1.Patch"
        | "apimachinery.pkg.runtime.RawExtension" => Shape::Any,
        _ => return None,
    })
}

/// Collects definitions; references may point forward.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: Vec<Node>,
    names: BTreeMap<Box<str>, NodeId>,
    kinds: HashMap<GroupVersionKind, NodeId>,
    /// Nodes that refer to a definition by name, until all are known.
    references: Vec<(NodeId, String)>,
}

impl Builder {
    pub(crate) fn define(&mut self, name: &str, json: &str) -> Result<(), Error> {
        let schema: Schema =
            serde_json::from_str(json).map_err(|source| Error::Malformed { name: name.into(), source })?;
        let kinds: Vec<_> = schema.kinds.iter().map(|k| GroupVersionKind::new(&k.group, &k.version, &k.kind)).collect();
        let node = match special(name) {
            Some(shape) => self.push(shape, None),
            None => self.add(schema),
        };
        self.names.insert(name.into(), node);
        self.kinds.extend(kinds.into_iter().map(|kind| (kind, node)));
        Ok(())
    }

    /// Resolves the references, taking what is missing from `base`.
    pub(crate) fn finish(mut self, base: Option<&Schemas>) -> Result<Inner, Error> {
        let mut copied = HashMap::new();
        for (node, name) in std::mem::take(&mut self.references) {
            let target = match self.names.get(&*name) {
                Some(target) => *target,
                None => base
                    .and_then(|base| Some(self.copy(base, base.definition(&name)?.node, &mut copied)))
                    .ok_or_else(|| Error::Dangling { from: self.name_before(node), to: name.clone() })?,
            };
            self.nodes[node as usize].shape = Shape::Ref(target);
        }
        self.nodes.shrink_to_fit();
        Ok(Inner::new(self.nodes, self.names, self.kinds))
    }

    /// The definition that a node is part of: definitions add their inner nodes before themselves.
    fn name_before(&self, node: NodeId) -> String {
        let owner = self.names.iter().filter(|(_, id)| **id >= node).min_by_key(|(_, id)| **id);
        owner.map(|(name, _)| name.to_string()).unwrap_or_default()
    }

    fn push(&mut self, shape: Shape, facts: Option<Box<Facts>>) -> NodeId {
        let id = NodeId::try_from(self.nodes.len()).expect("a document of 4 billion schemas does not fit in memory");
        self.nodes.push(Node { shape, facts });
        id
    }

    fn add(&mut self, mut schema: Schema) -> NodeId {
        for name in &schema.required {
            if let Some(field) = schema.properties.as_mut().and_then(|properties| properties.get_mut(name)) {
                field.stands = !matches!(field.type_.as_deref(), Some("string" | "integer" | "number" | "boolean"));
            }
        }
        let facts = facts(&mut schema);
        let reference = schema.reference.take().or_else(|| schema.all_of.first_mut().and_then(|s| s.reference.take()));
        if let Some(reference) = reference {
            let id = self.push(Shape::Any, facts);
            self.references.push((id, reference.trim_start_matches(REF).to_owned()));
            return id;
        }
        let shape = self.shape(schema);
        self.push(shape, facts)
    }

    fn shape(&mut self, schema: Schema) -> Shape {
        if schema.int_or_string || schema.format.as_deref() == Some("int-or-string") {
            return Shape::IntOrString;
        }
        match (schema.type_.as_deref(), schema.format.as_deref()) {
            (Some("boolean"), _) => Shape::Bool,
            (Some("integer"), Some("int32")) => Shape::Int32,
            (Some("integer"), _) => Shape::Int64,
            (Some("number"), _) => Shape::Double,
            (Some("string"), Some("byte")) => Shape::Bytes,
            (Some("string"), Some("date-time")) => Shape::Time,
            (Some("string"), _) => Shape::String,
            (Some("array"), _) => {
                let items = *schema.items.unwrap_or_default();
                Shape::List(self.add(items))
            }
            (Some("object"), _) => match (schema.properties, schema.additional) {
                (None, Some(Additional::Schema(values))) => Shape::Map(self.add(*values)),
                (None, Some(Additional::Allowed(true))) => Shape::Any,
                (properties, _) => Shape::Object(
                    properties.unwrap_or_default().into_iter().map(|(name, field)| (name, self.add(field))).collect(),
                ),
            },
            (_, _) if schema.properties.is_some() && schema.one_of.is_empty() => {
                let properties = schema.properties.unwrap_or_default();
                Shape::Object(properties.into_iter().map(|(name, field)| (name, self.add(field))).collect())
            }
            _ => Shape::Any,
        }
    }

    /// Copies a node of another set with all that it reaches; `copied` also ends the circles.
    fn copy(&mut self, from: &Schemas, id: NodeId, copied: &mut HashMap<NodeId, NodeId>) -> NodeId {
        if let Some(known) = copied.get(&id) {
            return *known;
        }
        let node = from.node(id).clone();
        let place = self.push(Shape::Any, node.facts);
        copied.insert(id, place);
        if let Some(name) = from.name_of(id) {
            self.names.entry(name.into()).or_insert(place);
        }
        let shape = match node.shape {
            Shape::List(items) => Shape::List(self.copy(from, items, copied)),
            Shape::Map(values) => Shape::Map(self.copy(from, values, copied)),
            Shape::Ref(target) => Shape::Ref(self.copy(from, target, copied)),
            Shape::Object(fields) => {
                Shape::Object(fields.into_iter().map(|(name, field)| (name, self.copy(from, field, copied))).collect())
            }
            plain => plain,
        };
        self.nodes[place as usize].shape = shape;
        place
    }
}

fn facts(schema: &mut Schema) -> Option<Box<Facts>> {
    let strategy = schema.strategy.take().map_or_else(Strategy::default, |text| Strategy {
        merge: text.split(',').any(|word| word == "merge"),
        retain_keys: text.split(',').any(|word| word == "retainKeys"),
        replace: text.split(',').any(|word| word == "replace"),
    });
    // A struct that is no pointer has an empty default; lists and maps that Go never omits are required.
    let holds = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    let always_stands = schema.stands || schema.default.as_ref().is_some_and(holds);
    let facts = Facts {
        list_type: schema.list_type.take().and_then(|text| match &*text {
            "atomic" => Some(ListType::Atomic),
            "set" => Some(ListType::Set),
            "map" => Some(ListType::Map),
            _ => None,
        }),
        map_keys: std::mem::take(&mut schema.map_keys).into(),
        map_type: schema.map_type.take().and_then(|text| match &*text {
            "granular" => Some(MapType::Granular),
            "atomic" => Some(MapType::Atomic),
            _ => None,
        }),
        merge_key: schema.merge_key.take(),
        strategy,
        // Empty defaults only say that Go always writes the field; keeping them would cost more than all other facts.
        default: schema.default.take().filter(|value| !is_empty(value)),
        preserve_unknown: schema.preserve_unknown,
        always_stands,
    };
    let none = facts.list_type.is_none()
        && facts.map_keys.is_empty()
        && facts.map_type.is_none()
        && facts.merge_key.is_none()
        && facts.strategy == Strategy::default()
        && facts.default.is_none()
        && !facts.preserve_unknown
        && !facts.always_stands;
    (!none).then(|| Box::new(facts))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}
