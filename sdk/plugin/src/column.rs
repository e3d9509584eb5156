//! Columns of `kubectl get`. Source: KEP-1623, server-side printing.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use sdk_api::time;
use serde_json::Value;

/// How a cell is read from the object's document.
#[derive(Clone, Copy)]
pub enum Cell {
    /// A path such as `.spec.holderIdentity`: field names and `[n]`. Missing shows as the empty cell.
    Path(&'static str),
    /// `metadata.name`.
    Name,
    /// The age of `metadata.creationTimestamp`.
    Age,
    /// Computed from the document; `now` is for ages.
    Compute(fn(&Value, Timestamp) -> Value),
}

/// A column of the server-side Table, as a built-in kind declares it.
#[derive(Clone, Copy)]
pub struct Column {
    /// As the client shows it, in upper case: `Ready` becomes READY.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// OpenAPI format; `name` marks the identifier.
    pub format: &'static str,
    pub description: &'static str,
    /// 0 shows always, 1 only with `-o wide`.
    pub priority: i32,
    pub cell: Cell,
}

impl Column {
    pub const NAME: Self = Self {
        name: "Name",
        kind: "string",
        format: "name",
        description: "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
        priority: 0,
        cell: Cell::Name,
    };

    pub const AGE: Self = Self {
        name: "Age",
        kind: "string",
        format: "",
        description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.",
        priority: 0,
        cell: Cell::Age,
    };

    /// A text column at a path.
    pub const fn path(name: &'static str, path: &'static str) -> Self {
        Self { name, kind: "string", format: "", description: "", priority: 0, cell: Cell::Path(path) }
    }

    /// A whole-number column at a path.
    pub const fn integer(name: &'static str, path: &'static str) -> Self {
        Self { name, kind: "integer", format: "", description: "", priority: 0, cell: Cell::Path(path) }
    }

    /// A computed text column.
    pub const fn compute(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self { name, kind: "string", format: "", description: "", priority: 0, cell: Cell::Compute(cell) }
    }

    /// Shown only with `-o wide`.
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    pub const fn typed(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    pub const fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The cell's value for an object.
    pub fn value(&self, object: &Value, now: Timestamp) -> Value {
        match self.cell {
            Cell::Name => object["metadata"]["name"].clone(),
            Cell::Age => age_of(&object["metadata"]["creationTimestamp"], now),
            Cell::Compute(compute) => compute(object, now),
            Cell::Path(path) => match at_path(object, path) {
                Value::Null if self.kind == "integer" => Value::from(0),
                Value::Null => Value::from(""),
                scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => scalar.clone(),
                structured => Value::from(structured.to_string()),
            },
        }
    }
}

/// How a cell is made of a document; the time is for ages.
pub type ReadCell = dyn Fn(&Value, Timestamp) -> Value + Send + Sync;

/// A column in a row of the kind table. The fields are those of [`Column`].
#[derive(Clone)]
pub struct TableColumn {
    pub name: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub format: Cow<'static, str>,
    pub description: Cow<'static, str>,
    pub priority: i32,
    pub cell: Arc<ReadCell>,
}

impl TableColumn {
    /// The cell's value for an object.
    pub fn value(&self, object: &Value, now: Timestamp) -> Value {
        (self.cell)(object, now)
    }
}

impl From<Column> for TableColumn {
    fn from(column: Column) -> Self {
        Self {
            name: column.name.into(),
            kind: column.kind.into(),
            format: column.format.into(),
            description: column.description.into(),
            priority: column.priority,
            cell: Arc::new(move |object, now| column.value(object, now)),
        }
    }
}

/// The age of a timestamp as kubectl shows it; `<unknown>` where there is none.
pub fn age_of(timestamp: &Value, now: Timestamp) -> Value {
    let parsed = timestamp.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    parsed.map_or_else(|| Value::from("<unknown>"), |from| Value::from(time::age(from, now)))
}

/// The value at a path of field names and `[n]`; `Null` where there is none.
pub fn at_path<'a>(object: &'a Value, path: &str) -> &'a Value {
    let mut at = object;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (field, index) = match step.split_once('[') {
            Some((field, index)) => (field, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (step, None),
        };
        if !field.is_empty() {
            at = &at[field];
        }
        if let Some(index) = index {
            at = &at[index];
        }
    }
    at
}
