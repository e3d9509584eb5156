//! `CustomResourceDefinition`: what users say of a kind of their own.

use sdk_api::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionStatus,
};
use sdk_api::{Timestamp, Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[Column::NAME, Column::path("Created At", ".metadata.creationTimestamp").typed("date")];

/// The row.
pub fn kind() -> Kind {
    Kind::of(DefinitionStrategy)
        .short_names(&["crd", "crds"])
        .categories(&["api-extensions"])
        .columns(COLUMNS)
        .status()
        .generation()
        .revision_required()
}

struct DefinitionStrategy;
impl Strategy for DefinitionStrategy {
    type Object = CustomResourceDefinition;

    fn default(&self, definition: &mut CustomResourceDefinition) {
        let spec = &mut definition.spec;
        let kind = spec.names.kind.clone();
        if !kind.is_empty() {
            spec.names.singular.get_or_insert_with(|| kind.to_lowercase());
            spec.names.list_kind.get_or_insert_with(|| format!("{kind}List"));
        }
        spec.conversion.get_or_insert_with(|| CustomResourceConversion {
            strategy: "None".into(),
            ..CustomResourceConversion::default()
        });
    }

    fn prepare_create(&self, new: &mut CustomResourceDefinition, _now: Timestamp) {
        new.status = None;
        note_stored_version(new);
    }

    fn prepare_update(&self, new: &mut CustomResourceDefinition, _old: &CustomResourceDefinition, _now: Timestamp) {
        note_stored_version(new);
    }

    fn validate(&self, new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Violations {
        let mut found = Violations::default();
        let spec = &new.spec;
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let wanted = format!("{}.{}", spec.names.plural, spec.group);
        if name != wanted {
            found.invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group");
        }
        if spec.group.is_empty() {
            found.required("spec.group", "");
        } else {
            for problem in names::dns1123_subdomain(&spec.group) {
                found.invalid("spec.group", spec.group.as_str(), problem);
            }
            if !spec.group.contains('.') {
                found.invalid("spec.group", spec.group.as_str(), "should be a domain with at least one dot");
            }
        }
        match spec.scope.as_str() {
            "" => found.required("spec.scope", ""),
            "Namespaced" | "Cluster" => {}
            other => found.not_supported("spec.scope", other, &["Cluster", "Namespaced"]),
        }
        validate_names(&mut found, spec);
        validate_versions(&mut found, spec);
        if let Some(old) = old {
            // Objects of the kind may be stored under these already.
            checks::unchanged(&mut found, "spec.group", &spec.group, &old.spec.group);
            checks::unchanged(&mut found, "spec.scope", &spec.scope, &old.spec.scope);
            checks::unchanged(&mut found, "spec.names.kind", &spec.names.kind, &old.spec.names.kind);
            checks::unchanged(&mut found, "spec.names.plural", &spec.names.plural, &old.spec.names.plural);
        }
        found
    }
}

/// Remembers in which versions objects may be stored.
fn note_stored_version(definition: &mut CustomResourceDefinition) {
    let Some(version) = definition.spec.versions.iter().find(|version| version.storage) else { return };
    let status = definition.status.get_or_insert_with(CustomResourceDefinitionStatus::default);
    let stored = status.stored_versions.get_or_insert_default();
    if !stored.contains(&version.name) {
        stored.push(version.name.clone());
    }
}

fn validate_names(found: &mut Violations, spec: &CustomResourceDefinitionSpec) {
    let given = &spec.names;
    let mut label = |field: String, text: &str| {
        for problem in names::dns1035_label(text) {
            found.invalid(&field, text, problem);
        }
    };
    label("spec.names.plural".into(), &given.plural);
    label("spec.names.kind".into(), &given.kind.to_lowercase());
    if let Some(singular) = &given.singular {
        label("spec.names.singular".into(), singular);
    }
    if let Some(list) = &given.list_kind {
        label("spec.names.listKind".into(), &list.to_lowercase());
    }
    for (list, words) in [("shortNames", &given.short_names), ("categories", &given.categories)] {
        for (at, word) in words.iter().flatten().enumerate() {
            label(format!("spec.names.{list}[{at}]"), word);
        }
    }
    if given.list_kind.as_deref() == Some(&given.kind) && !given.kind.is_empty() {
        found.invalid("spec.names.listKind", given.kind.as_str(), "kind and listKind may not be the same");
    }
}

fn validate_versions(found: &mut Violations, spec: &CustomResourceDefinitionSpec) {
    let mut seen = Vec::new();
    for (at, version) in spec.versions.iter().enumerate() {
        let field = format!("spec.versions[{at}]");
        for problem in names::dns1035_label(&version.name) {
            found.invalid(format!("{field}.name"), version.name.as_str(), problem);
        }
        if seen.contains(&version.name.as_str()) {
            found.invalid("spec.versions", version.name.as_str(), "must contain unique version names");
        }
        seen.push(&version.name);
        if version.schema.as_ref().is_none_or(|schema| schema.open_api_v3_schema.is_none()) {
            found.required(format!("{field}.schema.openAPIV3Schema"), "schemas are required");
        }
    }
    if spec.versions.iter().filter(|version| version.storage).count() != 1 {
        let value = serde_json::json!(seen);
        found.invalid("spec.versions", value, "must have exactly one version marked as storage version");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn definition(changes: Value) -> CustomResourceDefinition {
        let version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let mut spec = json!({
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version],
        });
        for (name, value) in changes.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let body = json!({"metadata": {"name": "widgets.example.com"}, "spec": spec});
        let mut definition = serde_json::from_value(body).unwrap();
        DefinitionStrategy.default(&mut definition);
        definition
    }

    #[test]
    fn names_are_filled_in_and_the_stored_version_is_kept() {
        let mut new = definition(json!({}));
        DefinitionStrategy.prepare_create(&mut new, Timestamp::UNIX_EPOCH);
        assert_eq!(new.spec.names.singular.as_deref(), Some("widget"));
        assert_eq!(new.spec.names.list_kind.as_deref(), Some("WidgetList"));
        assert_eq!(new.status.unwrap().stored_versions, Some(vec!["v1".to_owned()]));
    }

    #[test]
    fn definitions_are_checked() {
        let schema = json!({"openAPIV3Schema": {"type": "object"}});
        let version =
            |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema});
        for (case, changes, wrong) in [
            ("plain", json!({}), vec![]),
            ("another name", json!({"names": {"plural": "things", "kind": "Thing"}}), vec!["metadata.name"]),
            ("no domain", json!({"group": "example"}), vec!["metadata.name", "spec.group"]),
            ("an unknown scope", json!({"scope": "Global"}), vec!["spec.scope"]),
            ("never stored", json!({"versions": [version("v1", false)]}), vec!["spec.versions"]),
            ("stored twice", json!({"versions": [version("v1", true), version("v2", true)]}), vec!["spec.versions"]),
            (
                "the same version twice",
                json!({"versions": [version("v1", true), version("v1", false)]}),
                vec!["spec.versions"],
            ),
            (
                "no schema",
                json!({"versions": [{"name": "v1", "served": true, "storage": true}]}),
                vec!["spec.versions[0].schema.openAPIV3Schema"],
            ),
        ] {
            assert_eq!(DefinitionStrategy.validate(&definition(changes), None).fields(), wrong, "{case}");
        }
        let other = definition(json!({"scope": "Cluster"}));
        let found = DefinitionStrategy.validate(&other, Some(&definition(json!({}))));
        assert_eq!(found.fields(), ["spec.scope"]);
    }
}
