//! What this server serves against what an API server of upstream 1.36 does: kinds, fields and verbs.
//!
//! The reference is `../shared/spec` beside the workspace, which not everybody has; without it the tests pass. They
//! print how much was compared. What is left out on purpose is in `LEFT_OUT`, with the reason.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use kernel_apiserver::{Discovery, Form, OpenApi};
use kernel_boot::data_dir::DataDir;
use kernel_boot::options::{Runtime, Up};
use kernel_boot::{pki::Pki, plugins};
use kernel_registry::KindTable;
use sdk_api::SystemClock;
use serde_json::Value;
use suite::root;

/// What is not served, by a part of its name, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("alpha", "alpha versions are off by default"),
    ("beta", "beta versions are off by default since 1.24, and none of 1.36 is exempt"),
    ("logs", "files of the server's machine are not shown to the world"),
    ("cbor", "an alpha feature, off by default"),
    ("shardSelector", "sharded lists are an alpha feature, off by default"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "unsafe deletion is an alpha feature, off by default"),
];

fn left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|(part, _)| name.contains(part))
}

fn spec(path: &str) -> Option<PathBuf> {
    let path = root().join("../shared/spec").join(path);
    if !path.exists() {
        println!("left out: upstream's documents are not at hand");
    }
    path.exists().then_some(path)
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The table of everything that is built in.
fn table() -> KindTable {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::new("suite", folder.path().join("data"), folder.path().join("kubeconfig"), Runtime::None);
    let dir = DataDir::of(&up.place).unwrap();
    let pki = Pki::open(&folder.path().join("pki")).unwrap();
    let address = "127.0.0.1:6443".parse().unwrap();
    let settings = plugins::settings(&up, &pki, &dir, address, Arc::new(SystemClock::default())).unwrap();
    KindTable::new(plugins::register(settings).kinds).unwrap()
}

/// Counts what was compared, and keeps what differs.
#[derive(Default)]
struct Tally {
    compared: [usize; 4],
    differences: Vec<String>,
}

const KINDS: usize = 0;
const FIELDS: usize = 1;
const VERBS: usize = 2;
const DESCRIPTIONS: usize = 3;

impl Tally {
    fn report(self, title: &str) {
        let [kinds, fields, verbs, descriptions] = self.compared;
        println!(
            "{title}: {kinds} kinds, {fields} fields, {descriptions} descriptions and {verbs} verbs compared; {} differ",
            self.differences.len()
        );
        for (part, reason) in LEFT_OUT {
            println!("    without {part}: {reason}");
        }
        assert!(self.differences.is_empty(), "{}", self.differences.join("\n"));
    }

    /// What is different or missing at `path`. Of descriptions only the presence counts: their words may be our own.
    fn compare(&mut self, ours: &Value, theirs: &Value, path: &str) {
        match (ours, theirs) {
            (Value::Object(our), Value::Object(their)) => {
                for (key, value) in their.iter().filter(|(key, _)| !left_out(key)) {
                    let here = format!("{path}.{key}");
                    match our.get(key) {
                        Some(Value::String(text)) if key == "description" && value.is_string() && !text.is_empty() => {
                            self.compared[DESCRIPTIONS] += 1;
                        }
                        Some(our) => self.compare(our, value, &here),
                        None => self.differences.push(format!("{here} is missing: {value}")),
                    }
                    self.compared[FIELDS] += usize::from(path.ends_with(".properties"));
                }
                let extra = our.keys().filter(|key| !their.contains_key(*key) && *key != "description");
                self.differences.extend(extra.map(|key| format!("{path}.{key} is ours alone")));
            }
            (Value::Array(ours), Value::Array(theirs)) => {
                // Order tells nothing in OpenAPI, and nothing between the resources of a version.
                let named = |items: &[Value]| -> BTreeSet<String> {
                    let kept = items.iter().filter(|item| item["name"].as_str().is_none_or(|name| !left_out(name)));
                    kept.map(without_words).collect()
                };
                let (ours, theirs) = (named(ours), named(theirs));
                for item in ours.symmetric_difference(&theirs) {
                    let side = if ours.contains(item) { "ours" } else { "theirs" };
                    self.differences.push(format!("{path} has {side} alone: {item}"));
                }
            }
            _ if ours == theirs => {}
            _ => self.differences.push(format!("{path}: {ours}, upstream {theirs}")),
        }
    }
}

fn without_words(item: &Value) -> String {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove("description");
    }
    item.to_string()
}

fn named<'a>(items: &'a Value, field: &str, name: &str) -> Option<&'a Value> {
    items.as_array()?.iter().find(|item| item[field] == name)
}

#[tokio::test]
async fn discovery_is_upstreams() {
    let Some(path) = spec("discovery/aggregated_v2.json") else { return };
    let (theirs, ours) = (read(&path), Discovery::of(&table()).aggregated(false, "v2"));
    let mut tally = Tally::default();
    let mut order = Vec::new();
    for their_group in theirs["items"].as_array().unwrap() {
        let name = their_group["metadata"]["name"].as_str().unwrap();
        let ours = ours["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == name);
        let stable = their_group["versions"].as_array().unwrap().iter();
        for their in stable.filter(|version| !left_out(version["version"].as_str().unwrap())) {
            let version = their["version"].as_str().unwrap();
            if order.last() != Some(&name) {
                order.push(name);
            }
            let Some(our) = ours.and_then(|group| named(&group["versions"], "version", version)) else {
                tally.differences.push(format!("{name}/{version} is missing"));
                continue;
            };
            tally.compare(&our["resources"], &their["resources"], &format!("{name}/{version}"));
            assert_eq!(our["freshness"], their["freshness"]);
            for resource in their["resources"].as_array().unwrap() {
                tally.compared[KINDS] += 1;
                let all = resource["subresources"].as_array().into_iter().flatten().chain([resource]);
                tally.compared[VERBS] += all.map(|it| it["verbs"].as_array().unwrap().len()).sum::<usize>();
            }
        }
    }
    let our_order: Vec<_> =
        ours["items"].as_array().unwrap().iter().map(|group| group["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(our_order, order, "groups in the order in which clients prefer them");
    tally.report("discovery");
}

/// Every path, operation and schema of the documents that are really served.
#[tokio::test]
async fn openapi_v3_is_upstreams() {
    let Some(folder) = spec("openapi-v3") else { return };
    let openapi = OpenApi::of(&table(), None);
    let mut tally = Tally::default();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let path = name.strip_suffix("_openapi.json").unwrap().replace("__", "/");
        let theirs = read(&file);
        let stable = |path: &str| !theirs["paths"].as_object().unwrap().is_empty() && !left_out(path);
        if !stable(&path) {
            continue;
        }
        let Some((packed, _)) = openapi.v3(&path, Form::Json) else {
            // A group of which no version is on by default.
            if !["apis/internal.apiserver.k8s.io", "apis/storagemigration.k8s.io"].contains(&path.as_str()) {
                tally.differences.push(format!("{path} is missing"));
            }
            continue;
        };
        let ours: Value = serde_json::from_slice(&packed.plain()).unwrap();
        tally.compare(&ours, &theirs, &path);
        let schemas = theirs["components"]["schemas"].as_object();
        tally.compared[KINDS] += schemas.into_iter().flatten().count();
        let items = theirs["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        tally.compared[VERBS] += operations.filter(|operation| operation["operationId"].is_string()).count();
    }
    tally.report("openapi v3");
}

/// v2 is made of v3: here it is enough that nothing is lost on the way and that every reference leads somewhere.
#[tokio::test]
async fn openapi_v2_has_everything_of_v3() {
    let openapi = OpenApi::of(&table(), None);
    let v2: Value = serde_json::from_slice(&openapi.v2(Form::Json).0.plain()).unwrap();
    let mut lost = Vec::new();
    for path in openapi.index()["paths"].as_object().unwrap().keys() {
        let v3: Value = serde_json::from_slice(&openapi.v3(path, Form::Json).unwrap().0.plain()).unwrap();
        let names = |value: &Value| value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let missing = |ours: &Value, theirs: &Value| -> Vec<String> {
            let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) = (names(ours), names(theirs));
            theirs.difference(&ours).cloned().collect()
        };
        lost.extend(missing(&v2["definitions"], &v3["components"]["schemas"]));
        lost.extend(missing(&v2["paths"], &v3["paths"]));
    }
    assert_eq!(lost, Vec::<String>::new());
    let text = v2.to_string();
    for part in text.split("\"#/").skip(1) {
        let target = part.split('"').next().unwrap();
        let name = target.strip_prefix("definitions/").unwrap_or_else(|| panic!("{target} is no definition"));
        assert!(v2["definitions"].get(name).is_some(), "{name}");
    }
    let quantity = &v2["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!((quantity["type"].as_str(), quantity.get("oneOf")), (Some("string"), None));
    let protobuf = openapi.v2(Form::Protobuf).0.plain();
    println!(
        "{} bytes of JSON, {} of protobuf, {} packed",
        text.len(),
        protobuf.len(),
        openapi.v2(Form::Json).0.gzip().len()
    );
}
