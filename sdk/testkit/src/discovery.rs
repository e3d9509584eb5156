//! Compares the rows of a plugin with the discovery document of upstream 1.36.

use std::borrow::Cow;
use std::path::PathBuf;

use sdk_api::Scope;
use sdk_plugin::{Kind, Plugin, Tables};
use serde_json::Value;

/// What a plugin registers.
pub fn rows(plugin: &dyn Plugin) -> Tables {
    let mut tables = Tables::default();
    plugin.register(&mut tables);
    tables
}

/// The rows that a function registers, as `kinds::register` of each group does.
pub fn kinds(register: fn(&mut Tables)) -> Vec<Kind> {
    let mut tables = Tables::default();
    register(&mut tables);
    tables.kinds
}

/// One line a kind: what users see of it besides its schema.
pub fn lines(kinds: &[Kind]) -> Vec<String> {
    kinds
        .iter()
        .map(|kind| {
            let scope = if kind.is_namespaced() { "namespaced" } else { "cluster" };
            let mut parts: Vec<_> = kind.subresources.iter().map(|(name, _)| *name).collect();
            parts.sort_unstable();
            let mut line = format!("{} {} {scope}", kind.gvk.group_version(), kind.plural);
            let (short, categories) = (texts_of(&kind.short_names), texts_of(&kind.categories));
            for (label, list) in [("", &short), ("in ", &categories), ("/", &parts)] {
                if !list.is_empty() {
                    line += &format!(" {label}{}", list.join(","));
                }
            }
            if kind.answer.is_some() {
                line += " answered";
            }
            line
        })
        .collect()
}

/// Where the reference data is: `KUBERNEL_SPEC`, or `shared/spec` beside the checkout. `None` where there is none.
fn reference() -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec");
    let folder = std::env::var_os("KUBERNEL_SPEC").map_or_else(beside, PathBuf::from);
    let text = std::fs::read(folder.join("discovery/aggregated_v2.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("the discovery document is JSON"))
}

fn texts(list: &Value) -> Vec<&str> {
    let mut texts: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    texts.sort_unstable();
    texts
}

fn texts_of<'a>(list: &'a [Cow<'static, str>]) -> Vec<&'a str> {
    list.iter().map(|text| &**text).collect()
}

fn sorted<'a>(list: &[&'a str]) -> Vec<&'a str> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}

/// What differs from upstream in the stable versions of `groups`, in words; empty where all is alike, and where the
/// reference data is missing.
pub fn differences(kinds: &[Kind], groups: &[&str]) -> Vec<String> {
    let Some(reference) = reference() else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut known = Vec::new();
    for group in reference["items"].as_array().into_iter().flatten() {
        let group_name = group["metadata"]["name"].as_str().unwrap_or_default();
        if !groups.contains(&group_name) {
            continue;
        }
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = version["version"].as_str().unwrap_or_default();
            if version_name.contains("alpha") || version_name.contains("beta") {
                continue;
            }
            for resource in version["resources"].as_array().into_iter().flatten() {
                let plural = resource["resource"].as_str().unwrap_or_default();
                let id = format!("{group_name}/{version_name} {plural}");
                known.push(id.clone());
                let row = kinds
                    .iter()
                    .find(|k| k.gvk.group == group_name && k.gvk.version == version_name && k.plural == plural);
                match row {
                    None => wrong.push(format!("{id}: no row")),
                    Some(row) => compare(&id, row, resource, &mut wrong),
                }
            }
        }
    }
    for kind in kinds.iter().filter(|kind| groups.contains(&kind.gvk.group.as_str())) {
        let id = format!("{}/{} {}", kind.gvk.group, kind.gvk.version, kind.plural);
        if !known.contains(&id) {
            wrong.push(format!("{id}: unknown upstream"));
        }
    }
    wrong
}

fn compare(id: &str, row: &Kind, resource: &Value, wrong: &mut Vec<String>) {
    let mut check = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            wrong.push(format!("{id}: {what} is {ours}, upstream {theirs}"));
        }
    };
    let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
    check("kind", row.gvk.kind.clone(), resource["responseKind"]["kind"].as_str().unwrap_or_default().to_owned());
    check("singular", row.singular.to_string(), text("singularResource"));
    let scope = if row.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" };
    check("scope", scope.into(), text("scope"));
    check(
        "short names",
        format!("{:?}", sorted(&texts_of(&row.short_names))),
        format!("{:?}", texts(&resource["shortNames"])),
    );
    check(
        "categories",
        format!("{:?}", sorted(&texts_of(&row.categories))),
        format!("{:?}", texts(&resource["categories"])),
    );
    let ours: Vec<_> = row.subresources.iter().map(|(name, _)| *name).collect();
    let mut theirs: Vec<_> = resource["subresources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| part["subresource"].as_str())
        .collect();
    theirs.sort_unstable();
    check("subresources", format!("{:?}", sorted(&ours)), format!("{theirs:?}"));
    let only_created = texts(&resource["verbs"]) == ["create"];
    check("answered", row.answer.is_some().to_string(), only_created.to_string());
}
