//! `CustomResourceDefinition`: what users say of a kind of their own.

use sdk_api::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use sdk_api::{Timestamp, Violations};
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

use super::validate;
use crate::establish::FINALIZER;
use crate::schema::Schema;

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
        validate::definition(&tree(new), old.map(tree).as_ref())
    }

    fn validate_status(&self, new: &CustomResourceDefinition, _old: &CustomResourceDefinition) -> Violations {
        validate::status(&tree(new))
    }

    fn warnings(&self, new: &CustomResourceDefinition) -> Vec<String> {
        let mut warnings = Vec::new();
        for (at, version) in new.spec.versions.iter().enumerate() {
            let document = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            let schema = document.and_then(|document| Schema::parse(&serde_json::to_value(document).ok()?).ok());
            let path = format!("spec.versions[{at}].schema.openAPIV3Schema");
            if let Some(schema) = schema {
                schema.walk(&path, &mut |path, schema| {
                    if !schema.rules.is_empty() {
                        warnings.push(format!(
                            "{path}.x-kubernetes-validations: rules are kept, but not evaluated by this server yet"
                        ));
                    }
                });
            }
        }
        warnings
    }

    /// A definition stays until its objects are gone.
    fn begin_deletion(&self, definition: &mut CustomResourceDefinition) {
        let finalizers = definition.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
    }
}

fn tree(definition: &CustomResourceDefinition) -> Value {
    serde_json::to_value(definition).expect("API types encode as JSON")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
                "more of a version",
                json!({"versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                        "a": {"type": "string"}, "o": {"type": "object"}}}}}},
                    "selectableFields": [{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}, {"jsonPath": ".spec.o"},
                        {"jsonPath": ".metadata.name"}, {"jsonPath": ".spec.z"}, {"jsonPath": ".spec.a[0]"}, {}],
                    "additionalPrinterColumns": [{"name": "A", "type": "text", "jsonPath": "spec.a"},
                        {"type": "string", "format": "x", "jsonPath": ".spec.a"}],
                    "subresources": {"scale": {"specReplicasPath": ".status.n", "statusReplicasPath": ""}}}]}),
                vec![
                    "spec.versions[0].subresources.scale.specReplicasPath",
                    "spec.versions[0].subresources.scale.statusReplicasPath",
                    "spec.versions[0].additionalPrinterColumns[0].type",
                    "spec.versions[0].additionalPrinterColumns[0].jsonPath",
                    "spec.versions[0].additionalPrinterColumns[1].name",
                    "spec.versions[0].additionalPrinterColumns[1].format",
                    "spec.versions[0].selectableFields[1].jsonPath",
                    "spec.versions[0].selectableFields[2].jsonPath",
                    "spec.versions[0].selectableFields[3].jsonPath",
                    "spec.versions[0].selectableFields[4].jsonPath",
                    "spec.versions[0].selectableFields[5].jsonPath",
                    "spec.versions[0].selectableFields[6].jsonPath",
                ],
            ),
            ("unknown fields everywhere", json!({"preserveUnknownFields": true}), vec!["spec.preserveUnknownFields"]),
            ("a webhook", json!({"conversion": {"strategy": "Webhook"}}), vec!["spec.conversion.webhook.clientConfig"]),
            ("another conversion", json!({"conversion": {"strategy": "Magic"}}), vec!["spec.conversion.strategy"]),
            (
                "a group of Kubernetes",
                json!({"group": "x.k8s.io"}),
                vec!["metadata.name", "metadata.annotations[api-approved.kubernetes.io]"],
            ),
            (
                "no schema",
                json!({"versions": [{"name": "v1", "served": true, "storage": true}]}),
                vec!["spec.versions[0].schema.openAPIV3Schema"],
            ),
        ] {
            let found = DefinitionStrategy.validate(&definition(changes), None);
            assert_eq!(found.fields(), wrong, "{case}: {}", found.summary());
        }
        let other = definition(json!({"scope": "Cluster"}));
        let mut old = definition(json!({}));
        assert!(DefinitionStrategy.validate(&other, Some(&old)).is_empty(), "not established yet");
        old.status =
            serde_json::from_value(json!({"conditions": [{"type": "Established", "status": "True"}]})).unwrap();
        assert_eq!(DefinitionStrategy.validate(&other, Some(&old)).fields(), ["spec.scope"]);
    }
}
