//! How the built-in definitions are written in protobuf: field numbers, and what stands behind each.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use sdk_api::GroupVersionKind;

use crate::node::{NodeId, Shape, find};
use crate::schemas::Schemas;

/// The numbers of every message of Kubernetes 1.36; the file itself says how it reads.
static TABLE: &str = include_str!("../data/protobuf.txt");

const API: &str = "io.k8s.api.";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Kinds of the machinery, which clients and servers name with any group and version, or with none.
const EVERYWHERE: [&str; 7] =
    ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Status", "WatchEvent"];

/// A message by its place in [`Messages`].
pub type MessageId = u32;

/// One message. Several fields of a message may be one flat object in JSON, see [`Wire::Inline`].
#[derive(Debug, Default)]
pub struct Message {
    /// By number, which is the order in which they are written.
    pub fields: Box<[Field]>,
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// 1 to 2^29 - 1.
    pub number: u32,
    /// The name in JSON; of an inline message, the message's own.
    pub name: &'static str,
    pub wire: Wire,
    /// Whether zero (`0`, `false`, `""`) is told from nothing. Where it is not, upstream's JSON leaves zero out.
    pub keeps_zero: bool,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    Bool,
    Int32,
    Int64,
    Double,
    String,
    /// Base64 in JSON.
    Bytes,
    /// `{1: seconds, 2: nanoseconds}`.
    Time,
    MicroTime,
    /// `{1: text}`.
    Quantity,
    /// `{1: 0 for a number and 1 for a text, 2: number, 3: text}`.
    IntOrString,
    /// `{1: bytes of JSON}`: RawExtension, FieldsV1, the JSON of custom resource definitions.
    Raw,
    Message(MessageId),
    /// A message whose fields stand beside the others in JSON.
    Inline(MessageId),
    List(Box<Wire>),
    /// Strings to values.
    Map(Box<Wire>),
    /// A list where protobuf has no place for one, inside a map or a list: `{1: items}`.
    Wrapped(Box<Wire>),
    /// `{1: schema, 2: schemas}`: a schema, or a list of them.
    SchemaOrArray(MessageId),
    /// `{1: allowed, 2: schema}`: a bool, or a schema.
    SchemaOrBool(MessageId),
    /// `{1: schema, 2: texts}`: a schema, or a list of strings.
    SchemaOrStrings(MessageId),
}

/// Every message of the built-in kinds.
#[derive(Debug)]
pub struct Messages {
    all: Vec<Message>,
    names: BTreeMap<String, MessageId>,
    kinds: HashMap<GroupVersionKind, MessageId>,
}

impl Messages {
    /// The messages of Kubernetes 1.36, put together when first asked for (a few ms, and 400 kB from then on).
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Messages> = OnceLock::new();
        BUILTIN.get_or_init(|| Builder::new(Schemas::builtin()).build())
    }

    /// The message of a kind, lists included. The machinery's own kinds (DeleteOptions, Status,
    /// …) are found in any group and version.
    pub fn kind(&self, kind: &GroupVersionKind) -> Option<&Message> {
        let found = self.kinds.get(kind).copied().or_else(|| self.machinery(kind))?;
        Some(self.get(found))
    }

    fn machinery(&self, kind: &GroupVersionKind) -> Option<MessageId> {
        let name = &*kind.kind;
        if EVERYWHERE.contains(&name) {
            return self.names.get(&format!("{META}{name}")).copied();
        }
        match (&*kind.group, &*kind.version, name) {
            ("meta.k8s.io", "v1beta1", "PartialObjectMetadataList") => {
                self.names.get(&format!("{META}v1beta1.{name}")).copied()
            }
            ("meta.k8s.io", "v1" | "v1beta1", _) => self.names.get(&format!("{META}{name}")).copied(),
            _ => None,
        }
    }

    /// A message by upstream's name of its definition, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn named(&self, name: &str) -> Option<&Message> {
        self.names.get(name).map(|id| self.get(*id))
    }

    /// The message that a field refers to.
    pub fn get(&self, id: MessageId) -> &Message {
        &self.all[id as usize]
    }
}

/// What a line says of one field.
struct Row {
    inline: bool,
    name: &'static str,
    number: u32,
    keeps_zero: bool,
    /// Of messages without a definition: the message, and whether it is a list of them.
    target: Option<(&'static str, bool)>,
}

impl Row {
    fn parse(text: &'static str) -> Option<Self> {
        let (text, target) = match text.split_once(':') {
            Some((text, target)) => (text, Some(target)),
            None => (text, None),
        };
        let target = target.map(|target| target.strip_suffix("[]").map_or((target, false), |item| (item, true)));
        let (name, number) = text.split_once('=')?;
        let (inline, name) = name.strip_prefix('+').map_or((false, name), |name| (true, name));
        let (number, keeps_zero) = number.strip_suffix('*').map_or((number, false), |number| (number, true));
        Some(Self { inline, name, number: number.parse().ok()?, keeps_zero, target })
    }
}

/// Lays the table over the definitions.
struct Builder<'a> {
    schemas: &'a Schemas,
    /// The lines by the names that they start with.
    lines: HashMap<&'static str, &'static str>,
    /// Definitions and other named messages.
    names: BTreeMap<String, MessageId>,
    nodes: HashMap<NodeId, &'a str>,
    all: Vec<Message>,
}

const COMMITTED: &str = "the committed table of numbers names what the committed definitions have";

impl<'a> Builder<'a> {
    fn new(schemas: &'a Schemas) -> Self {
        let lines: HashMap<_, _> = TABLE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
            .collect();
        let nodes = schemas.names().map(|(name, node)| (node, name)).collect();
        Self { schemas, lines, names: BTreeMap::new(), nodes, all: Vec::new() }
    }

    fn build(mut self) -> Messages {
        let mut names: Vec<&'static str> = self.lines.keys().copied().collect();
        names.sort_unstable();
        for name in &names {
            let id = self.reserve();
            self.names.insert(long(name), id);
        }
        for name in names {
            let long = long(name);
            let node = self.schemas.definition(&long).map(|schema| self.schemas.resolve(schema.node));
            let id = self.names[&long];
            // Messages that are only ever inline have no definition; each place that has one makes its own.
            if node.is_some() || self.lines[name].contains(':') {
                self.all[id as usize] = self.message(name, node);
            }
        }
        let kinds = self.schemas.kind_names().into_iter();
        let kinds = kinds.filter_map(|(kind, name)| Some((kind, *self.names.get(&name)?))).collect();
        Messages { all: self.all, names: self.names, kinds }
    }

    fn reserve(&mut self) -> MessageId {
        self.all.push(Message::default());
        MessageId::try_from(self.all.len() - 1).expect("a table of 60 kB has fewer than 4 billion lines")
    }

    /// The message of a line; `node` is where its fields have their types.
    fn message(&mut self, name: &'static str, node: Option<NodeId>) -> Message {
        let rows = self.lines.get(name).expect(COMMITTED).split_whitespace();
        let rows: Vec<_> = rows.map(|row| Row::parse(row).expect(COMMITTED)).collect();
        let fields = rows.into_iter().map(|row| {
            let wire = match (row.inline, row.target) {
                (true, _) => {
                    let id = self.reserve();
                    self.all[id as usize] = self.message(row.name, node);
                    Wire::Inline(id)
                }
                (false, Some((target, list))) => {
                    let wire = Wire::Message(*self.names.get(&long(target)).expect(COMMITTED));
                    if list { Wire::List(Box::new(wire)) } else { wire }
                }
                (false, None) => {
                    let Some(Shape::Object(fields)) = node.map(|node| self.schemas.shape(node)) else {
                        unreachable!("{COMMITTED}: {name} is an object")
                    };
                    let field = find(fields, row.name).unwrap_or_else(|| panic!("{COMMITTED}: {name}.{}", row.name));
                    self.wire(field, false)
                }
            };
            Field { number: row.number, name: row.name, wire, keeps_zero: row.keeps_zero }
        });
        Message { fields: fields.collect() }
    }

    /// `inside` a map or a list there is no place for another one.
    fn wire(&self, node: NodeId, inside: bool) -> Wire {
        let node = self.schemas.resolve(node);
        let name = || self.nodes.get(&node).copied().unwrap_or_default();
        let message = |name: &str| *self.names.get(name).unwrap_or_else(|| panic!("{COMMITTED}: {name}"));
        let schema = || message("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
        match self.schemas.shape(node) {
            Shape::Bool => Wire::Bool,
            Shape::Int32 => Wire::Int32,
            Shape::Int64 => Wire::Int64,
            Shape::Double => Wire::Double,
            Shape::String | Shape::Ref(_) => Wire::String,
            Shape::Bytes => Wire::Bytes,
            Shape::Time => Wire::Time,
            Shape::MicroTime => Wire::MicroTime,
            Shape::Quantity => Wire::Quantity,
            Shape::IntOrString => Wire::IntOrString,
            Shape::Any => match name().rsplit('.').next().unwrap_or_default() {
                "JSONSchemaPropsOrArray" => Wire::SchemaOrArray(schema()),
                "JSONSchemaPropsOrBool" => Wire::SchemaOrBool(schema()),
                "JSONSchemaPropsOrStringArray" => Wire::SchemaOrStrings(schema()),
                _ => Wire::Raw,
            },
            Shape::List(items) => {
                let list = Wire::List(Box::new(self.wire(*items, true)));
                if inside { Wire::Wrapped(Box::new(list)) } else { list }
            }
            Shape::Map(values) => Wire::Map(Box::new(self.wire(*values, true))),
            Shape::Object(_) => Wire::Message(message(name())),
        }
    }
}

/// A name as the definitions have it.
fn long(short: &str) -> String {
    match short.strip_prefix("meta.") {
        Some(name) => format!("{META}{name}"),
        None if short.starts_with("io.k8s.") => short.to_owned(),
        None => format!("{API}{short}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Type;

    fn field<'a>(message: &'a Message, name: &str) -> &'a Field {
        message.fields.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn every_field_of_every_definition_has_a_number() {
        let messages = Messages::builtin();
        fn names(messages: &Messages, message: &Message, into: &mut Vec<String>) {
            for field in &message.fields {
                match field.wire {
                    Wire::Inline(id) => names(messages, messages.get(id), into),
                    _ => into.push(field.name.to_owned()),
                }
            }
        }
        let mut kinds = 0;
        for name in Schemas::builtin().names().map(|(name, _)| name) {
            let schema = Schemas::builtin().definition(name).unwrap();
            // The version of the server has no protobuf form.
            if schema.type_() != Type::Object || name == "io.k8s.apimachinery.pkg.version.Info" {
                continue;
            }
            let message = messages.named(name).unwrap_or_else(|| panic!("{name}"));
            assert!(message.fields.is_sorted_by(|a, b| a.number < b.number && a.number > 0), "{name}");
            let (mut found, mut want) = (Vec::new(), Vec::new());
            names(messages, message, &mut found);
            want.extend(schema.fields().map(|(name, _)| name.to_owned()));
            if want.iter().any(|name| name == "kind") && want.iter().any(|name| name == "apiVersion") {
                let own = found.clone();
                want.retain(|name| own.contains(name) || (name != "kind" && name != "apiVersion"));
                kinds += 1;
            }
            found.sort();
            want.sort();
            assert_eq!(found, want, "{name}");
        }
        assert!(kinds > 140, "{kinds} kinds");
        for kind in Schemas::builtin().kinds() {
            assert!(messages.kind(kind).is_some(), "{kind}");
        }
    }

    #[test]
    fn fields_are_what_the_wire_has() {
        let messages = Messages::builtin();
        let core = |name: &str| messages.named(&format!("io.k8s.api.core.v1.{name}")).unwrap();
        let pod_spec = core("PodSpec");
        let grace = field(pod_spec, "terminationGracePeriodSeconds");
        assert_eq!((grace.number, &grace.wire, grace.keeps_zero), (4, &Wire::Int64, true));
        assert_eq!(field(core("Secret"), "data").wire, Wire::Map(Box::new(Wire::Bytes)));
        let Wire::Inline(source) = field(core("Volume"), "core.v1.VolumeSource").wire else { panic!("Volume is flat") };
        assert_eq!(field(messages.get(source), "emptyDir").number, 2);
        let review = messages.named("io.k8s.api.authorization.v1.SubjectAccessReviewSpec").unwrap();
        let texts = Wire::Wrapped(Box::new(Wire::List(Box::new(Wire::String))));
        assert_eq!(field(review, "extra").wire, Wire::Map(Box::new(texts)));
        for (group, version, kind, found) in [
            ("apps", "v1", "DeleteOptions", true),
            ("", "v1", "Status", true),
            ("", "", "APIVersions", true),
            ("meta.k8s.io", "v1", "PartialObjectMetadataList", true),
            ("meta.k8s.io", "v1", "Table", false),
            ("example.com", "v1", "Widget", false),
            ("apps", "v1beta1", "Deployment", false),
        ] {
            let kind = GroupVersionKind::new(group, version, kind);
            assert_eq!(messages.kind(&kind).is_some(), found, "{kind}");
        }
    }
}
