//! One place in a schema, and what can be asked about it.

use std::fmt;

use serde_json::Value;

use crate::schemas::Schemas;

/// Index of a node in its arena.
pub(crate) type NodeId = u32;

/// What a node is made of. Names of fields are sorted by their bytes.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Anything at all, kept as it came.
    Any,
    Bool,
    String,
    Int32,
    Int64,
    Double,
    /// Base64 in a string.
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    List(NodeId),
    Map(NodeId),
    Object(Box<[(Box<str>, NodeId)]>),
    /// The definition that stands here.
    Ref(NodeId),
}

/// What merging needs to know beyond the type; most nodes have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub list_type: Option<ListType>,
    pub map_keys: Box<[Box<str>]>,
    pub map_type: Option<MapType>,
    pub merge_key: Option<Box<str>>,
    pub strategy: Strategy,
    pub default: Option<Value>,
    /// Custom resources only: unknown fields stay (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// Built-in kinds only: Go writes the field even if it is empty, so that it stands in every object.
    pub always_stands: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub shape: Shape,
    pub facts: Option<Box<Facts>>,
}

/// How server-side apply sees a list (`x-kubernetes-list-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

/// How server-side apply sees a map or struct (`x-kubernetes-map-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    Granular,
    Atomic,
}

/// How a strategic merge patch treats a field (`x-kubernetes-patch-strategy`).
///
/// Neither flag means upstream's default: maps merge, lists are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// A list merges: by its merge key, or as a set of primitives where it has none.
    pub merge: bool,
    /// Fields of the object that the patch's `$retainKeys` does not name are cleared.
    pub retain_keys: bool,
    /// The field is replaced as a whole.
    pub replace: bool,
}

/// The JSON type of a node, with the formats that the API treats specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Any,
    Bool,
    String,
    Int32,
    Int64,
    Double,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    List,
    Map,
    Object,
}

/// A place in a schema: a kind, a field, or the items of a list. Cheap to clone.
#[derive(Clone)]
pub struct SchemaRef {
    pub(crate) schemas: Schemas,
    pub(crate) node: NodeId,
}

impl SchemaRef {
    /// The set of definitions that this place is in.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    fn at(&self, node: NodeId) -> Self {
        Self { schemas: self.schemas.clone(), node }
    }

    /// The schema of a field: a property of an object, or the values of a map whatever the name.
    pub fn field(&self, name: &str) -> Option<Self> {
        match self.schemas.shape(self.node) {
            Shape::Object(fields) => find(fields, name).map(|node| self.at(node)),
            Shape::Map(values) => Some(self.at(*values)),
            _ => None,
        }
    }

    /// The schema at a path of field names; lists are entered without a name.
    pub fn at_path(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |schema, name| schema.items().unwrap_or(schema).field(name))
    }

    /// The schema of the items of a list.
    pub fn items(&self) -> Option<Self> {
        match self.schemas.shape(self.node) {
            Shape::List(items) => Some(self.at(*items)),
            _ => None,
        }
    }

    /// Names and schemas of an object's fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, SchemaRef)> {
        let fields: &[(Box<str>, NodeId)] = match self.schemas.shape(self.node) {
            Shape::Object(fields) => fields,
            _ => &[],
        };
        fields.iter().map(|(name, node)| (&**name, self.at(*node)))
    }

    pub fn type_(&self) -> Type {
        match self.schemas.shape(self.node) {
            Shape::Any | Shape::Ref(_) => Type::Any,
            Shape::Bool => Type::Bool,
            Shape::String => Type::String,
            Shape::Int32 => Type::Int32,
            Shape::Int64 => Type::Int64,
            Shape::Double => Type::Double,
            Shape::Bytes => Type::Bytes,
            Shape::Time => Type::Time,
            Shape::MicroTime => Type::MicroTime,
            Shape::Quantity => Type::Quantity,
            Shape::IntOrString => Type::IntOrString,
            Shape::List(_) => Type::List,
            Shape::Map(_) => Type::Map,
            Shape::Object(_) => Type::Object,
        }
    }

    /// How a strategic merge patch treats this field.
    pub fn patch_strategy(&self) -> Strategy {
        self.facts(|facts| Some(facts.strategy)).unwrap_or_default()
    }

    /// The field that tells the items of this list apart in a strategic merge patch.
    pub fn patch_merge_key(&self) -> Option<&str> {
        self.facts(|facts| facts.merge_key.as_deref())
    }

    /// How server-side apply sees this list; upstream's default is atomic.
    pub fn list_type(&self) -> ListType {
        self.facts(|facts| facts.list_type).unwrap_or(ListType::Atomic)
    }

    /// The fields that tell the items of this list apart in server-side apply.
    pub fn list_map_keys(&self) -> &[Box<str>] {
        self.facts(|facts| (!facts.map_keys.is_empty()).then_some(&*facts.map_keys)).unwrap_or_default()
    }

    /// How server-side apply sees this map or struct; upstream's default is granular.
    pub fn map_type(&self) -> MapType {
        self.facts(|facts| facts.map_type).unwrap_or(MapType::Granular)
    }

    /// The default that the schema itself states, which server-side apply uses for missing keys.
    pub fn default_value(&self) -> Option<&Value> {
        self.facts(|facts| facts.default.as_ref())
    }

    /// Whether the field is there in every answer, as `{}` where nothing is known: it is no pointer in Go.
    pub fn always_stands(&self) -> bool {
        self.facts(|facts| facts.always_stands.then_some(())).is_some()
    }

    /// Whether unknown fields stay here (custom resources).
    pub fn preserves_unknown(&self) -> bool {
        self.facts(|facts| facts.preserve_unknown.then_some(())).is_some()
    }

    /// The name of the definition that stands here, such as `io.k8s.api.core.v1.Container`.
    pub fn name(&self) -> Option<&str> {
        self.schemas.name_of(self.schemas.resolve(self.node))
    }

    /// What this place says, or else what the definition that stands here says.
    fn facts<'a, T>(&'a self, ask: impl Fn(&'a Facts) -> Option<T>) -> Option<T> {
        let mut node = self.schemas.node(self.node);
        loop {
            if let Some(found) = node.facts.as_deref().and_then(&ask) {
                return Some(found);
            }
            match node.shape {
                Shape::Ref(target) => node = self.schemas.node(target),
                _ => return None,
            }
        }
    }
}

impl fmt::Debug for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaRef({})", self.name().map_or_else(|| format!("{:?}", self.type_()), Into::into))
    }
}

/// Finds a field by name.
pub(crate) fn find(fields: &[(Box<str>, NodeId)], name: &str) -> Option<NodeId> {
    fields.binary_search_by(|(field, _)| (**field).cmp(name)).ok().map(|i| fields[i].1)
}
