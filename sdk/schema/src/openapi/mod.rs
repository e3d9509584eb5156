//! OpenAPI v3 documents, one per group and version: what kubectl explains, validates and finds merge keys with.
//!
//! Shape: `components.schemas` with every definition that the served kinds reach, and `paths` with an operation for
//! each served verb. kubectl asks the PATCH operation for the `fieldValidation` parameter before it lets the server
//! validate, and finds the kind of an operation by `x-kubernetes-group-version-kind`.

mod outline;
mod parameters;
mod paths;
mod watches;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sdk_api::{GroupVersion, GroupVersionKind};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::schemas::Schemas;

pub use outline::{OutlineOf, openapi_v3_outline};

/// What can be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    /// DELETE that answers a `Status`, as most do.
    Delete,
    /// DELETE that answers the object, as of pods and services.
    DeleteAnsweringObject,
    DeleteCollection,
    /// Streams such as `pods/exec`: GET and POST that answer no object.
    Connect,
}

/// A served kind, as far as OpenAPI needs to know it.
#[derive(Clone, Debug)]
pub struct KindPaths {
    pub gvk: GroupVersionKind,
    /// The resource's name in paths, such as `deployments`.
    pub plural: String,
    pub namespaced: bool,
    pub verbs: Vec<Verb>,
    pub subresources: Vec<Subresource>,
}

/// A subresource of a served kind, such as `status`, `scale` or `log`.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: String,
    /// What it reads and writes, such as `autoscaling/v1` `Scale`.
    pub gvk: GroupVersionKind,
    pub verbs: Vec<Verb>,
}

/// The document of one group and version, as JSON.
///
/// Schemas are taken from `sources` in order, so that custom resources stand before the built-in set:
/// `&[&custom, Schemas::builtin()]`. A kind without a schema gets operations without one. Unpacks the built-in
/// definitions each time (some 5 ms in a release build, and more for a large group), so callers make documents when they
/// are asked for, and keep the bytes.
pub fn openapi_v3(sources: &[&Schemas], group_version: &GroupVersion, kinds: &[KindPaths]) -> Vec<u8> {
    let sources: Vec<_> = sources.iter().map(|schemas| Source::of(schemas)).collect();
    let (paths, wanted) = (Map::new(), BTreeSet::new());
    // The list of resources has a protobuf form in every group.
    let mut writer = paths::Paths { group_version, sources: &sources, paths, wanted, protobuf: true };
    writer.discovery();
    for kind in kinds {
        writer.kind(kind);
    }
    let paths::Paths { paths, wanted, .. } = writer;
    let mut schemas = reachable(&sources, wanted);
    for name in ["DeleteOptions", "WatchEvent"] {
        if let Some(schema) = schemas.get_mut(&format!("{META}{name}")) {
            with_kind(schema, &shared_kind(name, group_version));
        }
    }
    written(paths, schemas)
}

/// The document of these paths and definitions.
fn written(paths: Map<String, Value>, schemas: BTreeMap<String, Box<RawValue>>) -> Vec<u8> {
    let document = Document {
        openapi: "3.0.0",
        info: json!({ "title": "Kubernetes", "version": "unversioned" }),
        paths,
        components: Components {
            schemas,
            security: json!({ "BearerToken": {
                "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
            } }),
        },
    };
    serde_json::to_vec(&document).expect("names are strings and schemas are JSON")
}

/// A text that changes whenever the document of [`openapi_v3`] does, without making it: for its URL and ETag.
///
/// 32 hexadecimal digits. `custom` are the sources before the built-in one.
pub fn openapi_v3_hash(custom: &[&Schemas], group_version: &GroupVersion, kinds: &[KindPaths]) -> String {
    let mut low = Fnv::new(0xcbf2_9ce4_8422_2325);
    let mut high = Fnv::new(0x9e37_79b9_7f4a_7c15);
    let mut add = |text: &str| {
        low.add(text);
        high.add(text);
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&Schemas::builtin_digest().to_string());
    add(&format!("{group_version} {kinds:?}"));
    for schemas in custom {
        for (name, schema) in schemas.raw_documents() {
            add(&name);
            add(schema.get());
        }
    }
    format!("{:016x}{:016x}", high.0, low.0)
}

/// FNV-1a: stable over restarts, and nobody gains by a collision of their own documents.
struct Fnv(u64);

impl Fnv {
    fn new(start: u64) -> Self {
        Self(start)
    }

    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[derive(Serialize)]
struct Document {
    components: Components,
    info: Value,
    openapi: &'static str,
    paths: Map<String, Value>,
}

#[derive(Serialize)]
struct Components {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    schemas: BTreeMap<String, Box<RawValue>>,
    #[serde(rename = "securitySchemes")]
    security: Value,
}

/// Definitions as text, and which of them describe kinds.
struct Source {
    schemas: BTreeMap<String, Box<RawValue>>,
    kinds: HashMap<GroupVersionKind, String>,
    builtin: bool,
}

impl Source {
    fn of(schemas: &Schemas) -> Self {
        Self { schemas: schemas.raw_documents(), kinds: schemas.kind_names(), builtin: schemas.is_builtin() }
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const REF: &str = "#/components/schemas/";

/// Types of the machinery belong to every group: `v1` and the document's own.
fn shared_kind(kind: &str, group_version: &GroupVersion) -> Value {
    let name = |group: &str, version: &str| json!({ "group": group, "kind": kind, "version": version });
    let mut kinds = vec![name("", "v1")];
    if !(group_version.group.is_empty() && group_version.version == "v1") {
        kinds.push(name(&group_version.group, &group_version.version));
    }
    Value::Array(kinds)
}

fn with_kind(schema: &mut Box<RawValue>, kinds: &Value) {
    let mut changed: Value = serde_json::from_str(schema.get()).expect("raw JSON is JSON");
    changed["x-kubernetes-group-version-kind"] = kinds.clone();
    *schema = serde_json::value::to_raw_value(&changed).expect("a value is JSON");
}

/// The definitions in `wanted` and all that they refer to.
fn reachable(sources: &[Source], wanted: BTreeSet<String>) -> BTreeMap<String, Box<RawValue>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<String> = wanted.into_iter().collect();
    while let Some(name) = open.pop() {
        if found.contains_key(&name) {
            continue;
        }
        if let Some(schema) = sources.iter().find_map(|source| source.schemas.get(&name)) {
            // A name ends at the quote; descriptions never contain this prefix.
            for rest in schema.get().split(REF).skip(1) {
                open.extend(rest.split('"').next().map(str::to_owned));
            }
            found.insert(name, schema.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployments() -> KindPaths {
        use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};
        KindPaths {
            gvk: GroupVersionKind::new("apps", "v1", "Deployment"),
            plural: "deployments".into(),
            namespaced: true,
            verbs: vec![Get, List, Watch, Create, Update, Patch, Delete, DeleteCollection],
            subresources: vec![Subresource {
                name: "scale".into(),
                gvk: GroupVersionKind::new("autoscaling", "v1", "Scale"),
                verbs: vec![Get, Update, Patch],
            }],
        }
    }

    fn document(kinds: &[KindPaths]) -> Value {
        let bytes = openapi_v3(&[Schemas::builtin()], &GroupVersion::new("apps", "v1"), kinds);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn kubectl_finds_what_it_looks_for() {
        let document = document(&[deployments()]);
        let object = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
        let names: Vec<_> =
            object["patch"]["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
        assert_eq!(object["patch"]["x-kubernetes-group-version-kind"], kind);
        assert_eq!(object["get"]["operationId"], "readAppsV1NamespacedDeployment");
        assert_eq!(object["get"]["tags"], json!(["apps_v1"]));

        let schemas = document["components"]["schemas"].as_object().unwrap();
        let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
        assert_eq!(deployment["x-kubernetes-group-version-kind"], json!([kind]));
        assert!(schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]["description"].is_string());
        assert!(schemas.contains_key("io.k8s.api.autoscaling.v1.Scale"));
        assert!(!schemas.contains_key("io.k8s.api.core.v1.Service"), "only what is reached");
        assert_eq!(
            schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"],
            json!([{ "group": "", "version": "v1", "kind": "DeleteOptions" },
                   { "group": "apps", "version": "v1", "kind": "DeleteOptions" }])
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&[deployments()]);
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for rest in text.split(REF).skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }

    #[test]
    fn custom_resources_stand_beside_builtin_kinds() {
        let widget = json!({
            "type": "object",
            "properties": {
                "metadata": { "$ref": format!("{REF}{META}ObjectMeta") },
                "spec": { "type": "object", "properties": { "size": { "type": "integer" } } },
            },
            "x-kubernetes-group-version-kind": [{ "group": "x.io", "version": "v1", "kind": "Widget" }],
        });
        let custom = Schemas::from_definitions(BTreeMap::from([("io.x.v1.Widget".to_owned(), widget)])).unwrap();
        let kind = KindPaths {
            gvk: GroupVersionKind::new("x.io", "v1", "Widget"),
            plural: "widgets".into(),
            namespaced: false,
            verbs: vec![Verb::Get, Verb::Patch],
            subresources: vec![],
        };
        let bytes = openapi_v3(&[&custom, Schemas::builtin()], &GroupVersion::new("x.io", "v1"), &[kind]);
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let item = &document["paths"]["/apis/x.io/v1/widgets/{name}"];
        assert_eq!(item["patch"]["operationId"], "patchXIoV1Widget");
        let types: Vec<_> = item["patch"]["requestBody"]["content"].as_object().unwrap().keys().collect();
        assert!(!types.iter().any(|type_| type_.contains("strategic")), "{types:?}");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("io.x.v1.Widget") && schemas.contains_key(&format!("{META}OwnerReference")));
    }

    #[test]
    fn the_hash_follows_the_document() {
        let group = GroupVersion::new("apps", "v1");
        let hash = |kinds: &[KindPaths], custom: &[&Schemas]| openapi_v3_hash(custom, &group, kinds);
        let before = hash(&[deployments()], &[]);
        assert_eq!(before, hash(&[deployments()], &[]));
        let fewer = KindPaths { verbs: vec![Verb::Get], ..deployments() };
        assert_ne!(before, hash(&[fewer], &[]));
        let custom = |type_: &str| {
            Schemas::from_definitions(BTreeMap::from([("x".to_owned(), json!({ "type": type_ }))])).unwrap()
        };
        let (a, b) = (custom("object"), custom("string"));
        assert_ne!(hash(&[deployments()], &[&a]), hash(&[deployments()], &[&b]));
    }
}
