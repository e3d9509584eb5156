//! Our definitions, documents and checks against what an upstream API server of 1.36 publishes.
//!
//! The reference lies in `../shared/spec` beside the workspace, which not everybody has; without it there is nothing to
//! compare and the tests pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sdk_api::{GroupVersion, GroupVersionKind};
use sdk_schema::{KindPaths, OutlineOf, Schemas, Subresource, Unknown, Verb, check, openapi_v3, openapi_v3_outline};
use serde_json::Value;

fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec").join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

/// The documents of groups and versions, by name.
fn documents() -> BTreeMap<GroupVersion, Value> {
    let mut documents = BTreeMap::new();
    for file in files("openapi-v3", "_openapi.json") {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let parts: Vec<_> = name.strip_suffix("_openapi").unwrap().split("__").collect();
        let group_version = match parts[..] {
            ["api", version] => GroupVersion::new("", version),
            ["apis", group, version] => GroupVersion::new(group, version),
            _ => continue,
        };
        let document = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        documents.insert(group_version, document);
    }
    documents
}

const METHODS: [&str; 7] = ["get", "put", "post", "patch", "delete", "head", "options"];

fn gvk_of(operation: &Value) -> GroupVersionKind {
    let kind = &operation["x-kubernetes-group-version-kind"];
    let text = |key: &str| kind[key].as_str().unwrap_or_default();
    GroupVersionKind::new(text("group"), text("version"), text("kind"))
}

fn answers_status(operation: &Value) -> bool {
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    schema["$ref"] == "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status"
}

/// What upstream serves, read from its paths.
fn served(group_version: &GroupVersion, document: &Value) -> Vec<KindPaths> {
    let root = if group_version.group.is_empty() { "/api" } else { "/apis" };
    let root = format!("{root}/{group_version}/");
    let mut kinds: BTreeMap<String, KindPaths> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(rest) = path.strip_prefix(&root).filter(|rest| !rest.is_empty() && !rest.starts_with("watch/")) else {
            continue;
        };
        let (namespaced, rest) = match rest.strip_prefix("namespaces/{namespace}/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let parts: Vec<_> = rest.split('/').collect();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(m, _)| METHODS.contains(&m.as_str())) {
            let action = operation["x-kubernetes-action"].as_str().unwrap_or_default();
            let verbs: &[Verb] = match action {
                "get" => &[Verb::Get],
                "list" => &[Verb::List, Verb::Watch],
                "post" => &[Verb::Create],
                "put" => &[Verb::Update],
                "patch" => &[Verb::Patch],
                "delete" if answers_status(operation) => &[Verb::Delete],
                "delete" => &[Verb::DeleteAnsweringObject],
                "deletecollection" => &[Verb::DeleteCollection],
                "connect" => &[Verb::Connect],
                other => panic!("{path} {method}: {other}"),
            };
            let kind = kinds.entry(parts[0].to_owned()).or_insert_with(|| KindPaths {
                gvk: GroupVersionKind::new("", "", ""),
                plural: parts[0].to_owned(),
                namespaced: false,
                verbs: Vec::new(),
                subresources: Vec::new(),
            });
            kind.namespaced |= namespaced;
            match parts[..] {
                [_] | [_, "{name}"] => {
                    kind.gvk = gvk_of(operation);
                    kind.verbs.extend(verbs);
                }
                [_, "{name}", subresource] => {
                    let known = kind.subresources.iter().position(|known| known.name == subresource);
                    let at = known.unwrap_or_else(|| {
                        let verbs = Vec::new();
                        kind.subresources.push(Subresource { name: subresource.into(), gvk: gvk_of(operation), verbs });
                        kind.subresources.len() - 1
                    });
                    kind.subresources[at].verbs.extend(verbs);
                }
                // Below `proxy`, which is known already.
                _ => {}
            }
        }
    }
    kinds.into_values().collect()
}

/// What ours lacks or has otherwise; descriptions may differ.
fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in theirs {
                let here = format!("{path}.{key}");
                match ours.get(key) {
                    _ if key == "description" && value.is_string() => {}
                    Some(our) => differences(our, value, &here, found),
                    None => found.push(format!("missing {here}: {value}")),
                }
            }
            let extra = ours.keys().filter(|key| !theirs.contains_key(*key) && *key != "description");
            found.extend(extra.map(|key| format!("extra {path}.{key}")));
        }
        (Value::Array(ours), Value::Array(theirs)) if path.ends_with(".required") => {
            let set = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
            if set(ours) != set(theirs) {
                found.push(format!("{path}: {ours:?} is not {theirs:?}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (i, (our, their)) in ours.iter().zip(theirs).enumerate() {
                differences(our, their, &format!("{path}[{i}]"), found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {ours} is not {theirs}")),
    }
}

#[test]
fn definitions_are_upstreams() {
    let mut compared = BTreeSet::new();
    let mut found = Vec::new();
    for (group_version, theirs) in documents() {
        let kinds = served(&group_version, &theirs);
        let bytes = openapi_v3(&[Schemas::builtin()], &group_version, &kinds);
        let ours: Value = serde_json::from_slice(&bytes).unwrap();
        for (name, their) in theirs["components"]["schemas"].as_object().unwrap() {
            compared.insert(name.clone());
            match ours["components"]["schemas"].get(name) {
                Some(our) => differences(our, their, name, &mut found),
                None => found.push(format!("{group_version} lacks {name}")),
            }
        }
    }
    println!("{} definitions compared", compared.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Parameters for features that are not served: sharded lists, and deletion of what cannot be decoded.
const NOT_SERVED: [&str; 2] = ["shardSelector", "ignoreStoreReadErrorWithClusterBreakingPotential"];

/// All parameters of an operation: its own, and those of its path.
fn parameters(item: &Value, operation: &Value) -> BTreeSet<String> {
    let lists = [&item["parameters"], &operation["parameters"]];
    let all = lists.into_iter().flat_map(|list| list.as_array().into_iter().flatten());
    all.map(|p| format!("{} in {}", p["name"].as_str().unwrap(), p["in"].as_str().unwrap()))
        .filter(|name| !NOT_SERVED.iter().any(|not| name.starts_with(not)))
        .collect()
}

/// What an operation answers with, by code and media type. CBOR is not served: an alpha feature, off by default.
fn answers(operation: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (code, answer) in operation["responses"].as_object().into_iter().flatten() {
        all.insert(format!("{code} {}", answer["description"]));
        let content = answer["content"].as_object().into_iter().flatten();
        all.extend(content.filter(|(type_, _)| !type_.contains("cbor")).map(|(t, c)| format!("{code} {t} {c}")));
    }
    all
}

#[test]
fn operations_are_upstreams() {
    let mut compared = 0;
    let mut found = Vec::new();
    for (group_version, theirs) in documents() {
        let kinds = served(&group_version, &theirs);
        let bytes = openapi_v3(&[Schemas::builtin()], &group_version, &kinds);
        let ours: Value = serde_json::from_slice(&bytes).unwrap();
        for (path, their_item) in theirs["paths"].as_object().unwrap() {
            for (method, their) in their_item.as_object().unwrap().iter().filter(|(m, _)| METHODS.contains(&m.as_str()))
            {
                compared += 1;
                let our = &ours["paths"][path][method];
                for key in ["operationId", "x-kubernetes-action", "x-kubernetes-group-version-kind", "tags"] {
                    if our[key] != their[key] {
                        found.push(format!("{method} {path} {key}: {} is not {}", our[key], their[key]));
                    }
                }
                let (our_names, their_names) = (parameters(&ours["paths"][path], our), parameters(their_item, their));
                if our_names != their_names {
                    let difference: Vec<_> = our_names.symmetric_difference(&their_names).collect();
                    found.push(format!("{method} {path} parameters: {difference:?}"));
                }
                let body = |operation: &Value| {
                    operation["requestBody"]["content"].as_object().map(|content| {
                        content
                            .iter()
                            .filter(|(type_, _)| !type_.contains("cbor"))
                            .map(|(t, c)| format!("{t} {c}"))
                            .collect::<Vec<_>>()
                    })
                };
                if body(our) != body(their) {
                    found.push(format!("{method} {path} body: {:?} is not {:?}", body(our), body(their)));
                }
                if answers(our) != answers(their) {
                    found.push(format!("{method} {path} answers: {:?} is not {:?}", answers(our), answers(their)));
                }
            }
        }
    }
    println!("{compared} operations compared");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn documents_beside_the_groups_are_upstreams() {
    let mut compared = 0;
    let mut found = Vec::new();
    for file in files("openapi-v3", "_openapi.json") {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let path = name.strip_suffix("_openapi").unwrap().replace("__", "/");
        let of = match path.split('/').collect::<Vec<_>>()[..] {
            ["api"] => OutlineOf::Core,
            ["apis"] => OutlineOf::Groups,
            ["apis", group] => OutlineOf::Group(group.into()),
            ["version"] => OutlineOf::Version,
            ["openid", "v1", "jwks"] => OutlineOf::Keys,
            // Files of the server's machine are not shown to the world.
            ["logs"] => continue,
            _ => continue,
        };
        assert_eq!(of.path(), path);
        compared += 1;
        let mut theirs: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let mut ours: Value = serde_json::from_slice(&openapi_v3_outline(&of)).unwrap();
        for document in [&mut ours, &mut theirs] {
            for item in document["paths"].as_object_mut().unwrap().values_mut() {
                let answers = answers(&item["get"]).into_iter().collect();
                item["get"]["responses"] = answers;
            }
        }
        differences(&ours, &theirs, &path, &mut found);
    }
    println!("{compared} documents compared");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn upstreams_examples_pass_the_check() {
    let mut checked = 0;
    let mut found = Vec::new();
    for file in files("roundtrip", ".json") {
        let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let text = |key: &str| document[key].as_str().unwrap_or_default();
        let GroupVersion { group, version } = GroupVersion::parse(text("apiVersion"));
        let Some(schema) = Schemas::builtin().kind(&GroupVersionKind::new(group, version, text("kind"))) else {
            continue;
        };
        checked += 1;
        let mut value = document.clone();
        match check(&schema, &mut value, Unknown::Report) {
            Ok(unknown) => found.extend(unknown.iter().map(|field| format!("{}: {field}", file.display()))),
            Err(error) => found.push(format!("{}: {error}", file.display())),
        }
    }
    println!("{checked} examples checked");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
