//! Structural schemas: what a definition says of the documents of its kind, and what is done with documents by it.

pub mod defaults;
pub mod embedded;
pub mod formats;
pub mod lists;
pub mod pattern;
pub mod prune;
pub mod publish;
pub mod structural;
pub mod validate;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use pattern::Pattern;

/// A schema in the form of `JSONSchemaProps`. Source: `apiextensions.k8s.io/v1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Schema {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub description: String,
    pub format: String,
    pub nullable: bool,
    #[serde(deserialize_with = "present")]
    pub default: Option<Value>,
    pub properties: BTreeMap<String, Schema>,
    pub additional_properties: Option<Additional>,
    pub items: Option<Items>,
    pub required: Vec<String>,
    #[serde(rename = "enum")]
    pub values: Option<Vec<Value>>,
    pub pattern: String,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<i64>,
    pub max_length: Option<i64>,
    pub min_items: Option<i64>,
    pub max_items: Option<i64>,
    pub unique_items: bool,
    pub min_properties: Option<i64>,
    pub max_properties: Option<i64>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub preserve_unknown: Option<bool>,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub embedded: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub map_type: Option<String>,
    #[serde(rename = "x-kubernetes-validations")]
    pub rules: Vec<Value>,
    /// Words of JSON Schema that structural schemas do not have.
    #[serde(rename = "$ref")]
    pub reference: Option<String>,
    pub id: String,
    pub pattern_properties: Option<Value>,
    pub additional_items: Option<Value>,
    pub definitions: Option<Value>,
    pub dependencies: Option<Value>,
    #[serde(skip)]
    compiled: OnceLock<Option<Pattern>>,
}

/// What `additionalProperties` says: whether there may be others, or of what form they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    Allowed(bool),
    Schema(Box<Schema>),
}

/// What `items` says; a schema for each place is not structural.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Items {
    Each(Box<Schema>),
    ByPlace(Vec<Schema>),
}

/// A default of null is a default.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Schema {
    /// From the document of `openAPIV3Schema`.
    pub fn parse(document: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(document)
    }

    /// What keeps every document as it is.
    pub fn anything() -> Self {
        Self { preserve_unknown: Some(true), ..Self::default() }
    }

    /// The schema of a list's items.
    pub fn items(&self) -> Option<&Schema> {
        match &self.items {
            Some(Items::Each(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of properties that are not named.
    pub fn additional(&self) -> Option<&Schema> {
        match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The schema of a property, named or not.
    pub fn property(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or_else(|| self.additional())
    }

    pub fn preserves_unknown(&self) -> bool {
        self.preserve_unknown == Some(true)
    }

    /// The pattern of strings, if there is one that can be read.
    pub fn pattern(&self) -> Option<&Pattern> {
        let read = || (!self.pattern.is_empty()).then(|| Pattern::new(&self.pattern).ok()).flatten();
        self.compiled.get_or_init(read).as_ref()
    }

    /// The schema at a path such as `.spec.size`; lists have no path.
    pub fn at_path(&self, path: &str) -> Option<&Schema> {
        path.split('.').filter(|step| !step.is_empty()).try_fold(self, |schema, step| schema.property(step))
    }

    /// Every schema in here with its path, itself first.
    pub fn walk<'a>(&'a self, path: &str, see: &mut dyn FnMut(&str, &'a Schema)) {
        see(path, self);
        for (name, schema) in &self.properties {
            schema.walk(&format!("{path}.properties[{name}]"), see);
        }
        if let Some(schema) = self.additional() {
            schema.walk(&format!("{path}.additionalProperties"), see);
        }
        if let Some(schema) = self.items() {
            schema.walk(&format!("{path}.items"), see);
        }
        for (word, schemas) in self.junctors() {
            for (at, schema) in schemas.iter().enumerate() {
                schema.walk(&format!("{path}.{word}[{at}]"), see);
            }
        }
        if let Some(schema) = &self.not {
            schema.walk(&format!("{path}.not"), see);
        }
    }

    /// The lists of schemas that a value must fit all, any or one of.
    pub fn junctors(&self) -> [(&'static str, &[Schema]); 3] {
        [("allOf", &self.all_of), ("anyOf", &self.any_of), ("oneOf", &self.one_of)]
    }
}

/// `parent.name`, or `name` at the root.
pub fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
