//! Upstream's example of every kind, through the registry and the store, and out in each format.
//!
//! The examples fill every field with something, which no validation would let pass. So the rows are the built-in ones
//! without strategies: what is tested is that decoding, storing, converting and writing lose nothing. Without the data in
//! `../shared/spec` there is nothing to test.

use std::path::PathBuf;
use std::sync::Arc;

use kernel_boot::data_dir::DataDir;
use kernel_boot::options::{Runtime, Up};
use kernel_boot::{pki::Pki, plugins};
use kernel_registry::{Caller, FieldValidation, Input, KindTable, Registry, Setup, Warnings};
use kernel_store::{Limits, MemoryStore};
use kernel_wire::{ContentType, Offer, decode_object, negotiate, render};
use sdk_api::{GroupVersion, SystemClock};
use sdk_client::Subject;
use sdk_plugin::{Kind, strategy::NoStrategy};
use serde_json::Value;
use suite::root;

fn examples() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root().join("../shared/spec/roundtrip")) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn rows() -> Vec<Kind> {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::new("suite", folder.path().join("data"), folder.path().join("kubeconfig"), Runtime::None);
    let dir = DataDir::of(&up.place).unwrap();
    let pki = Pki::open(&folder.path().join("pki")).unwrap();
    let address = "127.0.0.1:6443".parse().unwrap();
    let settings = plugins::settings(&up, &pki, &dir, address, Arc::new(SystemClock::default())).unwrap();
    let mut rows = plugins::register(settings).kinds;
    for row in &mut rows {
        row.strategy = Arc::new(NoStrategy);
        row.hook = None;
        row.name_rule = |_| Vec::new();
        // A creation would drop the status.
        row.subresources.clear();
        row.generation = false;
    }
    rows
}

/// What the system sets on a creation, whatever the body says.
const SYSTEM: [&str; 9] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
    "namespace",
];

const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

fn without_system_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !SYSTEM.contains(&field.as_str()));
    }
    object
}

#[tokio::test]
async fn nothing_is_lost_between_a_body_and_an_answer() {
    let files = examples();
    if files.is_empty() {
        println!("left out: upstream's examples are not at hand");
        return;
    }
    let clock = Arc::new(SystemClock::default());
    let store = Arc::new(MemoryStore::new(clock.clone(), Limits::default()));
    let table = KindTable::new(rows()).unwrap();
    let registry = Registry::new(Setup { store, table, admission: Vec::new(), clock, seed: 7 });
    let (user, warnings) = (Subject::new("tester", &["system:masters"]), Warnings::default());
    let strict = Caller {
        user: &user,
        warnings: &warnings,
        dry_run: false,
        field_validation: FieldValidation::Strict,
        manager: "tester",
    };
    let (mut not_served, mut not_stored) = (Vec::new(), Vec::new());
    let (mut passed, mut wrong) = (0, Vec::new());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let body: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let GroupVersion { group, version } = GroupVersion::parse(body["apiVersion"].as_str().unwrap_or_default());
        let gvk = sdk_api::GroupVersionKind::new(&*group, version, body["kind"].as_str().unwrap_or_default());
        let table = registry.table();
        let Some(kind) = table.by_kind(&gvk) else {
            not_served.push(name);
            continue;
        };
        if kind.answer.is_some() {
            not_stored.push(name);
            continue;
        }
        let mut sent = without_system_fields(body);
        // One example of each version; both versions of a kind share a collection.
        sent["metadata"]["name"] = format!("{}-{}", gvk.version, gvk.kind.to_lowercase()).into();
        // The names of finalizers are checked for every kind.
        sent["metadata"]["finalizers"] = serde_json::json!(["example.com/finalizer"]);
        // Two groups serve the same events.
        let namespace = match kind.is_namespaced() {
            true if gvk.group == "events.k8s.io" => "other",
            true => "n",
            false => "",
        };
        let object_name = sent["metadata"]["name"].as_str().unwrap().to_owned();
        if let Err(status) = registry.create(&strict, kind, namespace, Input::from(sent.clone())).await {
            wrong.push(format!("{name}: {status}"));
            continue;
        }
        let stored = registry.get(kind, namespace, &object_name, "", None).await.unwrap();
        for accept in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
            let media_type = negotiate(Some(accept), &Offer::OBJECTS).unwrap();
            let bytes = render(stored.raw().clone(), &media_type).unwrap();
            let content_type = ContentType::of_body(Some(accept)).unwrap();
            let read = decode_object(&bytes, content_type, &gvk).unwrap().value;
            let mut read = without_system_fields(read);
            if name == "autoscaling.v1.HorizontalPodAutoscaler" {
                // Version 1 tells all current metrics in an annotation, as upstream does.
                drop(read["metadata"]["annotations"].as_object_mut().and_then(|all| all.remove(CURRENT_METRICS)));
            }
            if read != sent {
                wrong.push(format!("{name} in {accept}: {}", first_difference(&read, &sent, "")));
            }
        }
        passed += 1;
    }
    println!("{passed} examples passed through");
    println!("left out, answered and not stored: {}", not_stored.join(" "));
    println!("left out, alpha, beta, or travelling inside of others: {}", not_served.join(" "));
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed > 40, "{passed} examples are too few");
}

fn first_difference(read: &Value, sent: &Value, path: &str) -> String {
    match (read, sent) {
        (Value::Object(read), Value::Object(sent)) => {
            for key in read.keys().chain(sent.keys()) {
                let (a, b) = (read.get(key).unwrap_or(&Value::Null), sent.get(key).unwrap_or(&Value::Null));
                if a != b {
                    return first_difference(a, b, &format!("{path}.{key}"));
                }
            }
            String::new()
        }
        _ => format!("{path}: {read} instead of {sent}"),
    }
}
