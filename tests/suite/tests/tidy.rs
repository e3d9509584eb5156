//! House rules that a machine can check.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use suite::{files, root};

/// The rooms, as the paths of crates begin.
fn room(path: &str) -> &str {
    match path {
        "kernel/boot" => "boot",
        p if p.starts_with("kernel/") => "kernel",
        p if p.starts_with("sdk/") => "sdk",
        p if p.starts_with("tests/") => "tests",
        _ => "plugins",
    }
}

/// Which rooms a room may use, besides crates from outside.
fn may_use(room: &str, other: &str) -> bool {
    match room {
        "boot" | "tests" => true,
        "kernel" => matches!(other, "kernel" | "sdk"),
        "sdk" | "plugins" => other == "sdk",
        _ => false,
    }
}

/// Path of each crate of the workspace to those it depends on, outside its tests.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let here = root();
    let relative = |path: &str| {
        Path::new(path).strip_prefix(&here).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
    };
    let mut arrows = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = relative(package["manifest_path"].as_str().expect("a path"));
        let path = manifest.trim_end_matches("/Cargo.toml").to_owned();
        let uses = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].is_null());
        arrows.insert(path, uses.map(|dependency| relative(dependency["path"].as_str().expect("a path"))).collect());
    }
    arrows
}

#[test]
fn dependencies_point_one_way() {
    let arrows = arrows();
    assert!(arrows.len() > 20, "the workspace has its crates");
    let wrong: Vec<String> = arrows
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        .filter(|(from, to)| !may_use(room(from), room(to)))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "plugins, crds and admission use sdk; the kernel uses sdk; kernel/boot alone knows all"
    );
}

#[test]
fn every_crate_has_a_readme() {
    let missing: Vec<String> =
        arrows().into_keys().filter(|path| !root().join(path).join("README.md").exists()).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = files(&root(), "rs")
        .into_iter()
        .filter(|path| {
            let text = std::fs::read_to_string(path).expect("a readable file");
            let first = text.lines().next().unwrap_or_default();
            !first.starts_with("//! ") && !first.starts_with("// Generated")
        })
        .map(|path| path.strip_prefix(root()).expect("below the root").display().to_string())
        .collect();
    assert_eq!(silent, Vec::<String>::new(), "the first line of a file says what it is");
}

#[test]
fn nothing_is_left_to_do_on_a_reachable_path() {
    let macros = [["to", "do!("].concat(), ["unimpl", "emented!("].concat()];
    let found: Vec<String> = files(&root(), "rs")
        .into_iter()
        .filter(|path| {
            let text = std::fs::read_to_string(path).expect("a readable file");
            macros.iter().any(|word| text.contains(word.as_str()))
        })
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(found, Vec::<String>::new());
}
