//! A place in a schema as server-side apply sees it: a leaf, a granular map, or a list whose items have names.

use serde_json::{Map, Value};

use crate::node::{Facts, ListType, MapType, NodeId, SchemaRef, Shape, find};
use crate::schemas::Schemas;

use super::path;

/// A place in a schema; without a node the shape is deduced from the values.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    schema: Option<(&'a Schemas, NodeId)>,
}

/// What stands at a place.
pub(super) enum Atom<'a> {
    /// Scalars, and what is replaced as a whole; the shape says what it should be.
    Leaf(&'a Shape),
    /// An object with known fields; `true` if others may be there too.
    Struct(&'a [(Box<str>, NodeId)], bool),
    Map(NodeId),
    Keyed(NodeId, &'a [Box<str>]),
    Set(NodeId),
    Deduced,
}

impl Atom<'_> {
    /// Whether the schema names this field.
    pub fn has_field(&self, name: &str) -> bool {
        matches!(self, Self::Struct(fields, _) if find(fields, name).is_some())
    }
}

/// How one or two values at a place are walked.
pub(super) enum Form<'a> {
    Leaf,
    Map(Atom<'a>),
    List(List<'a>),
}

impl<'a> Place<'a> {
    pub fn of(schema: Option<&'a SchemaRef>) -> Self {
        Self { schema: schema.map(|schema| (&schema.schemas, schema.node)) }
    }

    fn at(self, node: NodeId) -> Self {
        Self { schema: self.schema.map(|(schemas, _)| (schemas, node)) }
    }

    const fn deduced() -> Self {
        Self { schema: None }
    }

    /// Facts of the place first, then of the definition that stands there.
    fn facts(self) -> impl Iterator<Item = &'a Facts> {
        let mut next = self.schema;
        std::iter::from_fn(move || {
            let (schemas, id) = next?;
            let node = schemas.node(id);
            next = match node.shape {
                Shape::Ref(target) => Some((schemas, target)),
                _ => None,
            };
            Some(node.facts.as_deref())
        })
        .flatten()
    }

    pub fn atom(self) -> Atom<'a> {
        let Some((schemas, id)) = self.schema else { return Atom::Deduced };
        let shape = schemas.shape(id);
        match shape {
            Shape::Object(_) | Shape::Map(_) if self.facts().find_map(|f| f.map_type) == Some(MapType::Atomic) => {
                Atom::Leaf(shape)
            }
            Shape::Any if self.keeps_unknown() => Atom::Deduced,
            Shape::Object(fields) => Atom::Struct(fields, self.keeps_unknown()),
            Shape::Map(values) => Atom::Map(*values),
            Shape::List(items) => match self.facts().find_map(|facts| facts.list_type) {
                Some(ListType::Set) => Atom::Set(*items),
                Some(ListType::Map) => match self.facts().find(|facts| !facts.map_keys.is_empty()) {
                    Some(facts) => Atom::Keyed(*items, &facts.map_keys),
                    None => Atom::Leaf(shape),
                },
                Some(ListType::Atomic) => Atom::Leaf(shape),
                // Lists that only say how strategic merge patches see them are seen the same way here.
                None => match self.facts().find(|facts| facts.strategy.merge) {
                    Some(facts) => match &facts.merge_key {
                        Some(key) => Atom::Keyed(*items, std::slice::from_ref(key)),
                        None => Atom::Set(*items),
                    },
                    None => Atom::Leaf(shape),
                },
            },
            shape => Atom::Leaf(shape),
        }
    }

    pub fn keeps_unknown(self) -> bool {
        self.facts().any(|facts| facts.preserve_unknown)
    }

    /// Whether every object that has the parent has this field too, be it empty.
    pub fn always_stands(self) -> bool {
        let stands = |(schemas, id): (&Schemas, NodeId)| {
            schemas.is_builtin() && schemas.facts(id).is_some_and(|facts| facts.always_stands)
        };
        self.schema.is_some_and(stands)
    }

    /// How to walk the values. A value of another type than the schema's is a leaf.
    pub fn form(self, a: Option<&Value>, b: Option<&Value>) -> Form<'a> {
        let all = |fits: fn(&Value) -> bool| a.into_iter().chain(b).all(|value| value.is_null() || fits(value));
        match self.atom() {
            Atom::Leaf(_) => Form::Leaf,
            Atom::Deduced if a.into_iter().chain(b).all(Value::is_null) => Form::Leaf,
            atom @ (Atom::Struct(..) | Atom::Map(_) | Atom::Deduced) => {
                if all(Value::is_object) {
                    Form::Map(atom)
                } else {
                    Form::Leaf
                }
            }
            Atom::Keyed(items, keys) if all(Value::is_array) => {
                Form::List(List { items: self.at(items), keys: Some(keys) })
            }
            Atom::Set(items) if all(Value::is_array) => Form::List(List { items: self.at(items), keys: None }),
            Atom::Keyed(..) | Atom::Set(_) => Form::Leaf,
        }
    }

    /// The place of a field in a map or struct.
    pub fn field(self, atom: &Atom<'a>, name: &str) -> Self {
        match atom {
            Atom::Struct(fields, _) => find(fields, name).map_or(Self::deduced(), |node| self.at(node)),
            Atom::Map(values) => self.at(*values),
            _ => Self::deduced(),
        }
    }

    /// The place below an element of a path.
    pub fn below(self, element: &str) -> Self {
        let atom = self.atom();
        match (path::name(element), &atom) {
            (Some(name), _) => self.field(&atom, name),
            (None, Atom::Keyed(items, _) | Atom::Set(items)) => self.at(*items),
            (None, _) => Self::deduced(),
        }
    }

    /// The place of a field or item inside something atomic.
    pub fn below_atomic(self, name: &str) -> Self {
        let Some((schemas, id)) = self.schema else { return self };
        match schemas.shape(id) {
            Shape::Object(fields) if !self.keeps_unknown() => {
                find(fields, name).map_or(Self::deduced(), |node| self.at(node))
            }
            Shape::Map(inner) | Shape::List(inner) => self.at(*inner),
            _ => Self::deduced(),
        }
    }

    /// The value that a field has where it is missing. Go's types have their zero value where the schema says nothing.
    fn default_of(self, key: &str) -> Option<Value> {
        let (schemas, _) = self.schema?;
        let atom = self.atom();
        let place = match &atom {
            Atom::Leaf(Shape::Object(fields)) => find(fields, key).map(|node| self.at(node))?,
            atom => self.field(atom, key),
        };
        if let Some(value) = place.facts().find_map(|facts| facts.default.clone()) {
            return Some(value);
        }
        let (_, node) = place.schema?;
        if !schemas.is_builtin() {
            return None;
        }
        Some(match schemas.shape(node) {
            Shape::Bool => Value::Bool(false),
            Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => 0.into(),
            _ => "".into(),
        })
    }
}

/// A list whose items have names: by keys, or each by its own value.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    items: Place<'a>,
    keys: Option<&'a [Box<str>]>,
}

impl<'a> List<'a> {
    pub fn items(self) -> Place<'a> {
        self.items
    }

    /// What names an item, or why nothing does.
    pub fn element(self, item: &Value) -> Result<String, String> {
        let Some(keys) = self.keys else {
            return match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
                scalar => Ok(path::value(scalar)),
            };
        };
        let fields: &Map<String, Value> = match item {
            Value::Object(fields) => fields,
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let mut defaults = Vec::new();
        for key in keys.iter().filter(|key| !fields.contains_key(&***key)) {
            let value = self.items.default_of(key).ok_or_else(|| {
                format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
            })?;
            defaults.push((&**key, value));
        }
        let given = keys.iter().filter_map(|key| Some((&**key, fields.get(&**key)?)));
        let all: Vec<(&str, &Value)> = given.chain(defaults.iter().map(|(key, value)| (*key, value))).collect();
        Ok(path::keys(&all))
    }
}
