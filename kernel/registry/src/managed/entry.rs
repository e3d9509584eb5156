//! One manager's entry in `metadata.managedFields`, and the list of them.

use std::borrow::Cow;

use sdk_schema::fields::{Malformed, Set};
use serde_json::{Map, Value};

/// How a manager came to its fields. Appliers sort before updaters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// The fields of an entry; what the server wrote is read only when it is needed.
#[derive(Clone, Debug, PartialEq)]
enum Fields {
    Written(Value),
    Read(Set),
}

/// Who owns which fields, in the terms of one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    /// Such as `apps/v1`: the version that the fields are of.
    pub version: String,
    /// RFC 3339; empty where none is known.
    pub time: String,
    pub subresource: String,
    fields: Fields,
}

impl Entry {
    pub fn new(manager: &str, operation: Operation, version: &str, subresource: &str, set: Set) -> Self {
        Self {
            manager: if manager.is_empty() { "unknown".into() } else { manager.into() },
            operation,
            version: version.into(),
            time: String::new(),
            subresource: subresource.into(),
            fields: Fields::Read(set),
        }
    }

    /// Whether both are of the same manager. An applier is the same in every version.
    pub fn is_of(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.version == other.version)
    }

    pub fn set(&self) -> Cow<'_, Set> {
        match &self.fields {
            Fields::Read(set) => Cow::Borrowed(set),
            // What is not readable owns nothing.
            Fields::Written(fields) => Cow::Owned(Set::from_fields(fields).unwrap_or_default()),
        }
    }

    pub fn put(&mut self, set: Set) {
        self.fields = Fields::Read(set);
    }

    /// Whether a member of `set` is one of the entry's.
    pub fn meets(&self, set: &Set) -> bool {
        match &self.fields {
            Fields::Written(fields) => set.meets(fields),
            Fields::Read(ours) => !ours.intersection(set).is_empty(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.fields {
            Fields::Written(fields) => fields.as_object().is_none_or(Map::is_empty),
            Fields::Read(set) => set.is_empty(),
        }
    }

    /// As conflicts name it: `"kubectl" with subresource "status" using apps/v1`, in the version of the request.
    pub fn shown(&self, version: &str) -> String {
        let mut words = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            words += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            words += &format!(" using {version}");
        }
        words
    }

    fn read(entry: &Value) -> Result<Self, String> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let operation = match &*text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            other => return Err(format!("operation must be `Apply` or `Update`, not {other:?}")),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        if text("fieldsType") != "FieldsV1" {
            return Err(format!("invalid fieldsType {:?}", text("fieldsType")));
        }
        let fields = match &entry["fieldsV1"] {
            Value::Null => Value::Object(Map::new()),
            fields => fields.clone(),
        };
        Ok(Self {
            manager: text("manager"),
            operation,
            version: text("apiVersion"),
            time: text("time"),
            subresource: text("subresource"),
            fields: Fields::Written(fields),
        })
    }

    fn write(self) -> Value {
        let mut entry = Map::new();
        let texts = [
            ("manager", self.manager),
            ("operation", self.operation.name().into()),
            ("apiVersion", self.version),
            ("time", self.time),
            ("fieldsType", "FieldsV1".into()),
            ("subresource", self.subresource),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            entry.insert(name.into(), text.into());
        }
        let fields = match self.fields {
            Fields::Written(fields) => fields,
            Fields::Read(set) => set.into_fields(),
        };
        entry.insert("fieldsV1".into(), fields);
        Value::Object(entry)
    }
}

/// Reads entries that the server wrote.
pub fn read(list: &Value) -> Result<Vec<Entry>, String> {
    list.as_array().into_iter().flatten().map(Entry::read).collect()
}

/// Reads entries that a client sent: their fields are brought into the form in which sets compare.
pub fn read_sent(list: &Value) -> Result<Vec<Entry>, String> {
    let mut entries = read(list)?;
    for entry in &mut entries {
        if let Fields::Written(fields) = &entry.fields {
            entry.fields = Fields::Read(Set::from_fields(fields).map_err(|error: Malformed| error.to_string())?);
        }
    }
    Ok(entries)
}

/// Writes the list: appliers first, then by time; `None` if there is nothing to write.
pub fn write(mut entries: Vec<Entry>) -> Option<Value> {
    entries.sort_by(|a, b| {
        let order =
            |e: &'_ Entry| (e.operation, e.time.clone(), e.manager.clone(), e.version.clone(), e.subresource.clone());
        order(a).cmp(&order(b))
    });
    (!entries.is_empty()).then(|| entries.into_iter().map(Entry::write).collect())
}
