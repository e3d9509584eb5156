//! Everything that is registered, printed: `rows.txt` is reviewed as a diff. `UPDATE_ROWS=1` writes it anew.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use kernel_boot::data_dir::DataDir;
use kernel_boot::options::{Runtime, Up};
use kernel_boot::{pki::Pki, plugins};
use sdk_api::{Scope, SystemClock};
use sdk_plugin::{Kind, Tables};
use suite::root;

fn tables() -> Tables {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::new("suite", folder.path().join("data"), folder.path().join("kubeconfig"), Runtime::None);
    let dir = DataDir::of(&up.place).unwrap();
    let pki = Pki::open(&folder.path().join("pki")).unwrap();
    let address = "127.0.0.1:6443".parse().unwrap();
    plugins::register(plugins::settings(&up, &pki, &dir, address, Arc::new(SystemClock::default())).unwrap())
}

fn print_kind(out: &mut String, kind: &Kind) {
    let scope = if kind.scope == Scope::Namespaced { "namespaced" } else { "cluster" };
    writeln!(out, "{} {} {scope}", kind.gvk.group_version(), kind.gvk.kind).unwrap();
    let mut line = |name: &str, words: Vec<String>| {
        if !words.is_empty() {
            writeln!(out, "    {name}: {}", words.join(" ")).unwrap();
        }
    };
    let texts = |all: &[Cow<'static, str>]| all.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    line("names", [vec![kind.plural.to_string(), kind.singular.to_string()], texts(&kind.short_names)].concat());
    line("categories", texts(&kind.categories));
    line("verbs", kind.verbs.iter().map(|verb| (*verb).to_owned()).collect());
    line(
        "columns",
        kind.columns.iter().map(|c| format!("{:?}{}", c.name, if c.priority > 0 { "(wide)" } else { "" })).collect(),
    );
    line("subresources", kind.subresources.iter().map(|(name, _)| (*name).to_owned()).collect());
    line("fields", kind.fields.iter().map(|field| field.name.to_string()).collect());
    let flags = [
        (kind.generation, "generation"),
        (kind.revision_required, "revision-required"),
        (kind.create_on_update, "create-on-update"),
        (kind.status_on_create, "status-on-create"),
        (!kind.delete_answers_status, "delete-answers-object"),
        (kind.hook.is_some(), "hook"),
        (kind.answer.is_some(), "answered"),
        (kind.stored_as.is_some(), "stored-as-another"),
    ];
    line("is", flags.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()).collect());
}

#[tokio::test]
async fn every_registered_row_is_reviewed() {
    let tables = tables();
    let mut out = String::new();
    let mut kinds: Vec<&Kind> = tables.kinds.iter().collect();
    kinds.sort_by_key(|kind| (kind.gvk.group.clone(), kind.gvk.version.clone(), kind.plural.clone()));
    for kind in kinds {
        print_kind(&mut out, kind);
    }
    for (title, names) in [
        ("controllers", tables.controllers.iter().map(|row| row.name()).collect::<Vec<_>>()),
        ("kind sources", tables.kind_sources.iter().map(|row| row.name()).collect()),
        ("agents", tables.agents.iter().map(|row| row.name()).collect()),
        ("authenticators", tables.authenticators.iter().map(|row| row.name()).collect()),
        ("authorizers", tables.authorizers.iter().map(|row| row.name()).collect()),
        ("admission", tables.admissions.iter().map(|row| row.name()).collect()),
        ("audit", tables.audit_sinks.iter().map(|row| row.name()).collect()),
    ] {
        writeln!(out, "{title}: {}", names.join(" ")).unwrap();
    }
    let golden = root().join("tests/suite/rows.txt");
    if std::env::var_os("UPDATE_ROWS").is_some() {
        std::fs::write(&golden, &out).unwrap();
    }
    let known = std::fs::read_to_string(&golden).unwrap_or_default();
    let (ours, theirs): (Vec<_>, Vec<_>) = (out.lines().collect(), known.lines().collect());
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
    assert!(
        ours == theirs,
        "rows.txt differs from line {}: {:?} is registered, {:?} was reviewed; look at the change, then run with UPDATE_ROWS=1",
        at + 1,
        ours.get(at),
        theirs.get(at)
    );
}

/// Upstream's discovery, where the data is at hand: every stable kind is served with the same verbs.
#[tokio::test]
async fn every_stable_kind_has_upstreams_verbs() {
    let spec = root().join("../shared/spec/discovery/aggregated_v2.json");
    let Ok(text) = std::fs::read_to_string(&spec) else {
        println!("left out: upstream's discovery is not at hand");
        return;
    };
    let discovery: serde_json::Value = serde_json::from_str(&text).unwrap();
    let tables = tables();
    let mut differences = Vec::new();
    for group in discovery["items"].as_array().unwrap() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().unwrap() {
            let version_name = version["version"].as_str().unwrap();
            if version_name.contains("alpha") || version_name.contains("beta") {
                continue;
            }
            for resource in version["resources"].as_array().unwrap() {
                let plural = resource["resource"].as_str().unwrap();
                let row = tables
                    .kinds
                    .iter()
                    .find(|kind| kind.plural == plural && kind.gvk.group == name && kind.gvk.version == version_name);
                let mut theirs: Vec<&str> =
                    resource["verbs"].as_array().unwrap().iter().filter_map(|verb| verb.as_str()).collect();
                theirs.sort_unstable();
                let Some(row) = row else {
                    differences.push(format!("{name}/{version_name} {plural} is not served"));
                    continue;
                };
                let mut ours = row.verbs.to_vec();
                ours.sort_unstable();
                if ours != theirs {
                    differences.push(format!("{name}/{version_name} {plural}: {ours:?}, upstream {theirs:?}"));
                }
            }
        }
    }
    assert_eq!(differences, Vec::<String>::new());
}
