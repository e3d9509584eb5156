//! Reads `facts.txt` and lays it over the definitions.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::collect::add_fact;

/// One line is one fact: `name = value : type#field type#field …`.
///
/// The name is a short form of a schema keyword, the value is JSON, and a `[]` or `{}` after a field means its items.
/// A type alone means the definition itself. Types may leave out `io.k8s.api.`, and `meta.` is short for the package of
/// ObjectMeta. Lines that start with `#` are remarks; a line that starts with spaces goes on with the one before.
pub fn apply(text: &str, definitions: &mut BTreeMap<String, Value>) -> anyhow::Result<()> {
    let mut fact: Option<(&str, Value)> = None;
    for (number, line) in text.lines().enumerate() {
        let at = || format!("facts.txt line {}", number + 1);
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let targets = if line.starts_with(' ') {
            line
        } else {
            let (name, rest) = line.split_once(" = ").with_context(at)?;
            let (value, targets) =
                rest.split_once(" : ").or(rest.strip_suffix(" :").map(|v| (v, ""))).with_context(at)?;
            fact = Some((keyword(name).with_context(at)?, serde_json::from_str(value).with_context(at)?));
            targets
        };
        let (name, value) = fact.as_ref().with_context(at)?;
        for target in targets.split_whitespace() {
            let schema = find(definitions, target).with_context(|| format!("{}: no such field: {target}", at()))?;
            add_fact(schema, name, value.clone());
        }
    }
    Ok(())
}

fn keyword(name: &str) -> anyhow::Result<&'static str> {
    Ok(match name {
        "list-type" => "x-kubernetes-list-type",
        "list-map-keys" => "x-kubernetes-list-map-keys",
        "map-type" => "x-kubernetes-map-type",
        "merge-key" => "x-kubernetes-patch-merge-key",
        "strategy" => "x-kubernetes-patch-strategy",
        "required" => "required",
        "unions" => "x-kubernetes-unions",
        "default" => "default",
        other => bail!("no such fact: {other}"),
    })
}

fn find<'a>(definitions: &'a mut BTreeMap<String, Value>, target: &str) -> Option<&'a mut Value> {
    let (definition, field) = match target.split_once('#') {
        Some((definition, field)) => (definition, Some(field)),
        None => (target, None),
    };
    let definition = match definition.strip_prefix("meta.") {
        Some(name) => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"),
        None if definition.starts_with("io.k8s.") => definition.to_owned(),
        None => format!("io.k8s.api.{definition}"),
    };
    let mut schema = definitions.get_mut(&definition)?;
    let Some(field) = field else { return Some(schema) };
    let name = field.trim_end_matches(['[', ']', '{', '}']);
    schema = schema.get_mut("properties")?.get_mut(name)?;
    let mut rest = &field[name.len()..];
    while !rest.is_empty() {
        schema = schema.get_mut(if rest.starts_with("[]") { "items" } else { "additionalProperties" })?;
        rest = &rest[2..];
    }
    Some(schema)
}
