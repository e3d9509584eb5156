//! OpenAPI v2 out of the documents of v3: one document with everything, in the older words.
//!
//! What v2 cannot say is left out, as upstream does: defaults, alternatives, null. Source: `kube-openapi` `PruneDefaults`,
//! and `ToStructuralOpenAPIV2` for custom resources.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::gnostic::{self, Type};
use super::gnostic_v2::{self, document};

const REF: (&str, &str) = ("#/components/schemas/", "#/definitions/");
const KINDS: &str = "x-kubernetes-group-version-kind";

/// Paths and definitions of all documents, each encoded as soon as it is known, so that the trees of all never stand
/// beside each other.
struct Encoded {
    paths: BTreeMap<String, Vec<u8>>,
    definitions: BTreeMap<String, Vec<u8>>,
}

impl Encoded {
    fn of(documents: impl Iterator<Item = Value>, path: fn(&Value) -> Vec<u8>, schema: fn(&Value) -> Vec<u8>) -> Self {
        let mut encoded = Self { paths: BTreeMap::new(), definitions: BTreeMap::new() };
        // The types that belong to every group say so in each document for its own.
        let mut shared: BTreeMap<String, Value> = BTreeMap::new();
        for mut document in documents {
            for (name, item) in take(&mut document["paths"]) {
                encoded.paths.insert(name, path(&path_item(item)));
            }
            for (name, definition) in take(&mut document["components"]["schemas"]) {
                if let Some(known) = shared.get_mut(&name) {
                    join_kinds(known, &definition);
                } else if is_shared(&name) {
                    shared.insert(name, definition);
                } else {
                    encoded.definitions.entry(name).or_insert_with(|| schema(&definition_of(definition)));
                }
            }
        }
        let shared = shared.into_iter().map(|(name, definition)| (name, schema(&definition_of(definition))));
        encoded.definitions.extend(shared);
        encoded
    }
}

fn is_shared(name: &str) -> bool {
    name.strip_prefix("io.k8s.apimachinery.pkg.apis.meta.v1.")
        .is_some_and(|n| matches!(n, "DeleteOptions" | "WatchEvent"))
}

fn join_kinds(known: &mut Value, other: &Value) {
    let (Some(known), Some(other)) = (known[KINDS].as_array_mut(), other[KINDS].as_array()) else { return };
    known.extend(other.iter().filter(|kind| !known.contains(kind)).cloned().collect::<Vec<_>>());
    known.sort_by_key(|kind| (kind["group"].as_str().map(str::to_owned), kind["version"].as_str().map(str::to_owned)));
}

fn take(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

/// Everything but paths and definitions.
fn frame() -> Value {
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// The document in JSON.
pub(super) fn json(documents: impl Iterator<Item = Value>) -> Vec<u8> {
    let write = |value: &Value| value.to_string().into_bytes();
    let encoded = Encoded::of(documents, write, write);
    let mut out = b"{\"definitions\":".to_vec();
    object(&mut out, &encoded.definitions);
    out.extend_from_slice(b",\"paths\":");
    object(&mut out, &encoded.paths);
    out.push(b',');
    out.extend_from_slice(&frame().to_string().as_bytes()[1..]);
    out
}

fn object(out: &mut Vec<u8>, entries: &BTreeMap<String, Vec<u8>>) {
    out.push(b'{');
    for (i, (name, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

/// The document in protobuf.
pub(super) fn protobuf(documents: impl Iterator<Item = Value>) -> Vec<u8> {
    let path = |value: &Value| gnostic::encode(&gnostic_v2::PATH_ITEM, value);
    let schema = |value: &Value| gnostic::encode(&gnostic_v2::SCHEMA, value);
    let encoded = Encoded::of(documents, path, schema);
    let mut out = gnostic::encode(&gnostic_v2::DOCUMENT, &frame());
    for (number, inner, entries) in [
        (document::PATHS, document::PATH, &encoded.paths),
        (document::DEFINITIONS, document::DEFINITION, &encoded.definitions),
    ] {
        let mut all = Vec::new();
        for (name, value) in entries {
            let mut pair = Vec::new();
            gnostic::field(&mut pair, 1, Type::Text, &Value::from(name.as_str()));
            gnostic::bytes(&mut pair, 2, value);
            gnostic::bytes(&mut all, inner, &pair);
        }
        gnostic::bytes(&mut out, number, &all);
    }
    out
}

fn path_item(item: Value) -> Value {
    let mut done = Map::new();
    let Value::Object(entries) = item else { return item };
    for (name, value) in entries {
        let value = match (name.as_str(), value) {
            ("parameters", Value::Array(parameters)) => parameters.into_iter().map(parameter).collect(),
            (_, operation) => operation_of(operation),
        };
        done.insert(name, value);
    }
    Value::Object(done)
}

/// The type of a parameter stands beside its name.
fn parameter(mut parameter: Value) -> Value {
    let schema = take(&mut parameter["schema"]);
    let Value::Object(entries) = &mut parameter else { return parameter };
    entries.remove("schema");
    entries.extend(schema);
    parameter
}

fn operation_of(mut operation: Value) -> Value {
    let types = |content: &Value| content.as_object().map(|types| types.keys().cloned().collect::<Vec<_>>());
    let mut parameters = Vec::new();
    let mut consumes = vec!["*/*".to_owned()];
    let mut body = take(&mut operation["requestBody"]);
    if let Some(content) = body.get_mut("content") {
        consumes = types(content).unwrap_or_default();
        let schema = content.as_object_mut().and_then(|types| types.values_mut().next()).map(|c| c["schema"].take());
        let mut parameter = json!({"in": "body", "name": "body", "schema": schema.map(definition_of)});
        if body.get("required") == Some(&Value::Bool(true)) {
            parameter["required"] = true.into();
        }
        parameters.push(parameter);
    }
    if let Value::Array(others) = operation["parameters"].take() {
        parameters.extend(others.into_iter().map(parameter));
    }
    let mut produces = Vec::new();
    let mut responses = Map::new();
    for (code, mut answer) in take(&mut operation["responses"]) {
        let mut content = take(&mut answer["content"]);
        if produces.is_empty() {
            produces = content.keys().cloned().collect();
        }
        let schema = content.values_mut().next().map(|content| content["schema"].take());
        let mut response = json!({"description": answer["description"]});
        if let Some(schema) = schema.filter(|schema| !schema.is_null()) {
            response["schema"] = definition_of(schema);
        }
        responses.insert(code, response);
    }
    let Value::Object(entries) = &mut operation else { return operation };
    entries.remove("requestBody");
    entries.remove("parameters");
    if !parameters.is_empty() {
        entries.insert("parameters".into(), parameters.into());
    }
    entries.insert("consumes".into(), consumes.into());
    entries.insert("produces".into(), produces.into());
    entries.insert("responses".into(), responses.into());
    entries.insert("schemes".into(), json!(["https"]));
    operation
}

/// A schema in the words of v2.
fn definition_of(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    schema.remove("default");
    // A reference with words of its own is wrapped in v3 alone.
    if let Some(Value::Array(all)) = schema.remove("allOf")
        && let [Value::Object(only)] = all.as_slice()
    {
        schema.extend(only.clone());
    }
    if let Some(Value::String(target)) = schema.get_mut("$ref") {
        *target = target.replace(REF.0, REF.1);
    }
    let choice = [schema.remove("oneOf"), schema.remove("anyOf")].into_iter().flatten().next();
    schema.remove("not");
    let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let nullable = schema.remove("nullable");
    if is_true(nullable.as_ref()) || is_true(schema.get("x-kubernetes-preserve-unknown-fields")) {
        // A client that validates by v2 would refuse what these fields may hold.
        for key in ["type", "items", "properties"] {
            schema.remove(key);
        }
    } else if is_true(schema.get("x-kubernetes-int-or-string")) {
        schema.remove("type");
    } else if choice.is_some() && !schema.contains_key("type") {
        // Quantities, and numbers of names or ports, are text to v2.
        schema.insert("type".into(), "string".into());
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            *inner = definition_of(inner.take());
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = definition_of(property.take());
        }
    }
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_lose_what_v2_cannot_say() {
        for (case, v3, v2) in [
            ("default", json!({"type": "string", "default": "a"}), json!({"type": "string"})),
            (
                "wrapped reference",
                json!({"allOf": [{"$ref": "#/components/schemas/x"}], "default": {}, "description": "d"}),
                json!({"$ref": "#/definitions/x", "description": "d"}),
            ),
            ("quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}]}), json!({"type": "string"})),
            ("null", json!({"type": "object", "nullable": true, "properties": {}}), json!({})),
            (
                "custom number or name",
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
                json!({"x-kubernetes-int-or-string": true}),
            ),
            (
                "inner schemas",
                json!({"properties": {"a": {"items": {"$ref": "#/components/schemas/x", "default": {}}}}}),
                json!({"properties": {"a": {"items": {"$ref": "#/definitions/x"}}}}),
            ),
            (
                "a field named default",
                json!({"properties": {"default": {"type": "string"}}}),
                json!({"properties": {"default": {"type": "string"}}}),
            ),
        ] {
            assert_eq!(definition_of(v3), v2, "{case}");
        }
    }

    #[test]
    fn bodies_become_parameters() {
        let operation = json!({
            "operationId": "patchThing",
            "parameters": [{"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": true}}],
            "requestBody": {"required": true, "content": {
                "application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/x"}}}},
            "responses": {"200": {"description": "OK", "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/x"}}}}, "401": {"description": "Unauthorized"}},
        });
        assert_eq!(
            operation_of(operation),
            json!({
                "operationId": "patchThing",
                "consumes": ["application/merge-patch+json"],
                "produces": ["application/json"],
                "schemes": ["https"],
                "parameters": [
                    {"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/x"}},
                    {"in": "query", "name": "force", "type": "boolean", "uniqueItems": true},
                ],
                "responses": {
                    "200": {"description": "OK", "schema": {"$ref": "#/definitions/x"}},
                    "401": {"description": "Unauthorized"},
                },
            })
        );
    }
}
