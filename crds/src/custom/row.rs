//! From a definition's document to the rows of its versions.

use std::borrow::Cow;
use std::sync::Arc;

use sdk_api::{GroupResource, GroupVersionKind, Scope};
use sdk_plugin::kind::{Field, ReadField};
use sdk_plugin::{Kind, PartOf, StoredAs};
use serde_json::Value;

use super::columns::columns;
use super::scale::Scale;
use super::strategy::Custom;
use crate::json_path::JsonPath;
use crate::schema::{Schema, publish};

/// The rows of a definition, one for each version that is served or stored. Its names are those that were accepted.
pub fn rows(definition: &Value) -> Vec<Kind> {
    let versions = definition["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(stored) = versions.iter().find(|version| version["storage"] == true) else { return Vec::new() };
    let hub = Arc::new(strategy(definition, stored));
    let mut rows = vec![row(definition, stored, hub.clone())];
    for version in versions.iter().filter(|version| version["storage"] != true && version["served"] == true) {
        let own = Arc::new(strategy(definition, version));
        let (to, from) = (hub.clone(), own.clone());
        let stored_as = StoredAs::new(
            hub.gvk.clone(),
            move |document| to.convert(document),
            move |document| from.convert(document),
        );
        rows.push(row(definition, version, own).stored_as(stored_as.own_rules()));
    }
    rows
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn strategy(definition: &Value, version: &Value) -> Custom {
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let schema = &version["schema"]["openAPIV3Schema"];
    Custom {
        gvk: GroupVersionKind::new(text(spec, "group"), text(version, "name"), text(names, "kind")),
        resource: GroupResource::new(text(spec, "group"), text(names, "plural")),
        // Validation has read it already; what cannot be read any more keeps its documents as they are.
        schema: Arc::new(Schema::parse(schema).unwrap_or_else(|_| Schema::anything())),
        scale: Scale::of(&version["subresources"]["scale"]),
        is_terminating: definition["metadata"]["deletionTimestamp"].is_string(),
    }
}

fn row(definition: &Value, version: &Value, strategy: Arc<Custom>) -> Kind {
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let scope = if text(spec, "scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced };
    let words = |field: &str| -> Vec<Cow<'static, str>> {
        names[field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|word| Some(word.as_str()?.to_owned().into()))
            .collect()
    };
    let gvk = strategy.gvk.clone();
    let list_kind = text(names, "listKind").to_owned();
    let scale = strategy.scale.clone();
    let schema = publish::definitions(&gvk, &list_kind, &version["schema"]["openAPIV3Schema"]);
    let mut row = Kind::named(gvk, text(names, "plural"), scope, strategy).generation().revision_required();
    row.singular = text(names, "singular").to_owned().into();
    row.list_kind = list_kind.into();
    row.short_names = words("shortNames");
    row.categories = words("categories");
    row.columns = columns(version);
    row.fields = fields(version);
    row.served = version["served"] == true;
    row.schema = schema;
    row.deprecated = deprecation(definition, version);
    if version["subresources"]["status"].is_object() {
        row = row.part("status", PartOf { fields: &["status"], metadata: false });
    }
    match scale {
        Some(scale) => row.part("scale", scale),
        None => row,
    }
}

fn fields(version: &Value) -> Vec<Field> {
    let given = version["selectableFields"].as_array().into_iter().flatten();
    let field = |field: &Value| {
        let path = text(field, "jsonPath").to_owned();
        let parsed = JsonPath::parse(&path).ok()?;
        let value: Arc<ReadField> = Arc::new(move |object| match parsed.find(object).first() {
            None | Some(Value::Null) => "".into(),
            Some(Value::String(text)) => text.as_str().into(),
            Some(other) => other.to_string().into(),
        });
        Some(Field { name: path.trim_start_matches('.').to_owned().into(), value })
    };
    given.filter_map(field).collect()
}

/// What users of a deprecated version are warned of. Source: KEP-1693, and upstream's words where the definition has none.
fn deprecation(definition: &Value, version: &Value) -> Option<Cow<'static, str>> {
    if version["deprecated"] != true {
        return None;
    }
    if let Some(words) = version["deprecationWarning"].as_str() {
        return Some(words.to_owned().into());
    }
    let (group, kind) = (text(&definition["spec"], "group"), text(&definition["spec"]["names"], "kind"));
    let others = definition["spec"]["versions"].as_array().into_iter().flatten();
    let better = others
        .filter(|other| other["served"] == true && other["deprecated"] != true)
        .max_by_key(|other| crate::versions::rank(text(other, "name")))
        .filter(|other| crate::versions::rank(text(other, "name")) > crate::versions::rank(text(version, "name")));
    let words = format!("{group}/{} {kind} is deprecated", text(version, "name"));
    Some(match better {
        Some(better) => format!("{words}; use {group}/{} {kind}", text(better, "name")).into(),
        None => words.into(),
    })
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Served;
    use serde_json::json;

    use super::*;

    fn definition(versions: Value) -> Value {
        let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]});
        json!({"spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions},
               "status": {"acceptedNames": names}})
    }

    fn version(name: &str, served: bool, storage: bool, field: &str) -> Value {
        json!({"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}, field: {"type": "string", "default": "d"}}}}}}})
    }

    #[test]
    fn a_version_is_a_row() {
        let mut v1 = version("v1", true, false, "one");
        v1["deprecated"] = json!(true);
        v1["subresources"] =
            json!({"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}});
        v1["selectableFields"] = json!([{"jsonPath": ".spec.a"}]);
        let definition = definition(json!([
            v1,
            version("v2", false, true, "two"),
            version("v3", false, false, "x"),
            version("v4", true, false, "y")
        ]));
        let rows = rows(&definition);
        let seen: Vec<_> =
            rows.iter().map(|row| (row.gvk.version.as_str(), row.served, row.stored_as.is_some())).collect();
        assert_eq!(seen, [("v2", false, false), ("v1", true, true), ("v4", true, true)]);
        let v1 = &rows[1];
        assert_eq!(v1.deprecated.as_deref(), Some("example.com/v1 Widget is deprecated; use example.com/v4 Widget"));
        assert_eq!(v1.short_names, ["wd"]);
        assert_eq!(v1.subresources.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["status", "scale"]);
        assert!(matches!(v1.subresource("scale"), Some(Served::Part(part)) if part.kind().is_some()));
        assert_eq!((v1.field("spec.a").unwrap().value)(&json!({"spec": {"a": "x"}})), "x");
        assert!(v1.schema.as_ref().unwrap().at_path(&["spec", "one"]).is_some());
    }

    #[test]
    fn documents_pass_from_version_to_version() {
        let rows = rows(&definition(json!([version("v2", true, true, "two"), version("v1", true, false, "one")])));
        let (v2, v1) = (&rows[0], &rows[1]);
        let mut document = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x", "shape": 1},
            "spec": {"a": "b", "other": 1}});
        let unknown = v1.strategy.decode(&mut document).unwrap().unwrap();
        assert_eq!(unknown, ["unknown field \"metadata.shape\"", "unknown field \"spec.other\""]);
        assert_eq!(document["spec"], json!({"a": "b", "one": "d"}));
        (v1.stored_as.as_ref().unwrap().to_stored)(&mut document);
        v2.strategy.default(&mut document).unwrap();
        assert_eq!(
            (&document["apiVersion"], &document["spec"]),
            (&json!("example.com/v2"), &json!({"a": "b", "two": "d"}))
        );

        let old =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"}, "spec": {"one": "d"}});
        let key = GroupResource::new("example.com", "widgets");
        let fresh = v2.strategy.refresh(&sdk_api::Object::from_tree(&key, old)).unwrap();
        assert_eq!((&fresh["apiVersion"], &fresh["spec"]), (&json!("example.com/v2"), &json!({"two": "d"})));
        assert!(v2.strategy.refresh(&sdk_api::Object::from_tree(&key, fresh)).is_none());
        let wrong = v2.strategy.validate(&json!({"spec": {"a": 1}}), None).unwrap();
        assert_eq!(wrong.fields(), ["spec.a"]);
    }
}
