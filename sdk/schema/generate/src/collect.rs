//! Collects definitions from k8s-openapi, and brings them into the form that upstream publishes.

use std::collections::BTreeMap;

use k8s_openapi::{ListableResource, Resource};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

const REF: &str = "#/components/schemas/";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Gathers definitions by upstream's names, such as `io.k8s.api.apps.v1.Deployment`.
pub struct Collector {
    schemars: SchemaGenerator,
    /// What is written here rather than by schemars: names of kinds, and lists.
    kinds: BTreeMap<String, Value>,
    lists: BTreeMap<String, Value>,
}

impl Default for Collector {
    fn default() -> Self {
        let schemars = SchemaSettings::openapi3().into_generator();
        Self { schemars, kinds: BTreeMap::new(), lists: BTreeMap::new() }
    }
}

impl Collector {
    /// A type without group, version and kind.
    pub fn plain<T: JsonSchema>(&mut self) {
        self.schemars.subschema_for::<T>();
    }

    pub fn kind<T: JsonSchema + Resource>(&mut self) {
        self.plain::<T>();
        self.kinds.insert(T::schema_name().into_owned(), kind_names::<T>(T::KIND));
    }

    /// The list of a kind, which k8s-openapi has only as a generic type without a schema.
    pub fn list<T: JsonSchema + ListableResource>(&mut self) {
        let item = T::schema_name();
        let package = item.rsplit_once('.').map_or("", |(package, _)| package);
        let definition = json!({
            "description": format!("{} is a list of {}.", T::LIST_KIND, plural(T::KIND)),
            "type": "object",
            "properties": {
                "apiVersion": { "type": "string", "description": API_VERSION },
                "items": {
                    "type": "array",
                    "items": { "$ref": format!("{REF}{item}") },
                    "description": format!("items is the list of {}.", plural(T::KIND)),
                },
                "kind": { "type": "string", "description": KIND },
                "metadata": { "$ref": format!("{REF}{LIST_META}"), "description": "Standard list metadata." },
            },
            "required": ["items"],
            "x-kubernetes-group-version-kind": kind_names::<T>(T::LIST_KIND),
        });
        self.lists.insert(format!("{package}.{}", T::LIST_KIND), definition);
    }

    /// Everything gathered, by name.
    pub fn finish(mut self) -> BTreeMap<String, Value> {
        let mut all: BTreeMap<String, Value> = self.schemars.take_definitions(true).into_iter().collect();
        all.extend(self.lists);
        for definition in all.values_mut() {
            tidy(definition);
        }
        for (name, names) in self.kinds {
            let definition =
                all.get_mut(&name).and_then(Value::as_object_mut).expect("a kind was collected by schemars");
            definition.insert("x-kubernetes-group-version-kind".into(), names);
            // k8s-openapi always has metadata; the API does not ask for it.
            if let Some(Value::Array(required)) = definition.get_mut("required") {
                required.retain(|field| field != "metadata");
                if required.is_empty() {
                    definition.remove("required");
                }
            }
        }
        let set = |all: &mut BTreeMap<String, Value>, name: &str, fields: Value| {
            let Value::Object(fields) = fields else { return };
            let Some(Value::Object(definition)) = all.get_mut(name) else { panic!("{name} was not collected") };
            definition.remove("x-kubernetes-int-or-string");
            definition.extend(fields);
        };
        set(
            &mut all,
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] }),
        );
        set(
            &mut all,
            "io.k8s.apimachinery.pkg.api.resource.Quantity",
            json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        );
        let event = all.get_mut("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent").expect("collected by name");
        add_fact(&mut event["properties"]["object"], "description", WATCHED.into());
        for open in ["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"] {
            let name = format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.{open}");
            let definition = all.get_mut(&name).and_then(Value::as_object_mut).expect("a CRD refers to it");
            definition.retain(|key, _| key == "description");
        }
        all
    }
}

fn kind_names<T: Resource>(kind: &str) -> Value {
    json!([{ "group": T::GROUP, "kind": kind, "version": T::VERSION }])
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) if !kind.ends_with("ey") => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

/// A reference with words beside it is written `allOf: [$ref]`, since OpenAPI 3.0 ignores what stands beside `$ref`.
fn tidy(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.len() > 1
        && let Some(target) = object.remove("$ref")
    {
        object.insert("allOf".into(), json!([{ "$ref": target }]));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            tidy(inner);
        }
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(tidy);
    }
}

/// Puts `fact` into a schema, keeping the form that [`tidy`] made; an empty list takes the keyword away.
pub fn add_fact(schema: &mut Value, name: &str, fact: Value) {
    let object: &mut Map<String, Value> = schema.as_object_mut().expect("a schema is an object");
    if fact.as_array().is_some_and(Vec::is_empty) {
        object.remove(name);
    } else {
        object.insert(name.into(), fact);
    }
    tidy(schema);
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const WATCHED: &str = "The new state of an object that was added or modified, the last state of one that was deleted, a Status with an error.";
