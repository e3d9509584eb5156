//! `Namespace`: where names are unique, and what goes when it goes.

use sdk_api::k8s_openapi::api::core::v1::Namespace;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{Status, Timestamp, Violations, names};
use sdk_plugin::{Column, FieldOf, Kind, Part, Strategy};
use sdk_workload::validate::each_invalid;
use serde_json::Value;

use super::fields::at;

/// The label by which selectors find a namespace by name. Source: KEP-2161.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Taken off by the namespace controller once the namespace is empty.
const FINALIZER: &str = "kubernetes";

const COLUMNS: &[Column] =
    &[Column::NAME, Column::path("Status", ".status.phase").describe("The status of the namespace"), Column::AGE];
const FIELDS: &[FieldOf] = &[FieldOf { name: "status.phase", value: |namespace| at(namespace, ".status.phase") }];

/// The row.
pub fn kind() -> Kind {
    Kind::of(NamespaceStrategy)
        // Namespaces go one by one: what is in them goes first.
        .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
        .short_names(&["ns"])
        .columns(COLUMNS)
        .fields(FIELDS)
        .name_rule(names::dns1123_label)
        .status()
        .part("finalize", Finalize)
        .delete_answers_object()
}

struct NamespaceStrategy;
impl Strategy for NamespaceStrategy {
    type Object = Namespace;

    fn default(&self, namespace: &mut Namespace) {
        name_label(&mut namespace.metadata);
    }

    fn prepare_create(&self, new: &mut Namespace, _now: Timestamp) {
        name_label(&mut new.metadata);
        new.status.get_or_insert_default().phase = Some("Active".into());
        let finalizers = new.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
    }

    fn prepare_update(&self, new: &mut Namespace, old: &Namespace, _now: Timestamp) {
        new.spec.clone_from(&old.spec);
        name_label(&mut new.metadata);
    }

    fn validate(&self, new: &Namespace, old: Option<&Namespace>) -> Violations {
        let mut found = Violations::default();
        // An update leaves them as they are.
        if old.is_none() {
            for finalizer in new.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()) {
                finalizer_name(&mut found, finalizer, "spec.finalizers");
            }
        }
        found
    }

    fn validate_part(&self, _part: &str, new: &Namespace, _old: &Namespace) -> Violations {
        let mut found = Violations::default();
        for (i, finalizer) in new.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).enumerate() {
            finalizer_name(&mut found, finalizer, &format!("spec.finalizers[{i}]"));
        }
        found
    }

    fn validate_status(&self, new: &Namespace, _old: &Namespace) -> Violations {
        let mut found = Violations::default();
        let phase = new.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let deleting = new.metadata.deletion_timestamp.is_some();
        if !deleting && phase != "Active" {
            found.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty");
        }
        if deleting && phase != "Terminating" {
            found.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
        found
    }

    fn begin_deletion(&self, namespace: &mut Namespace) {
        namespace.status.get_or_insert_default().phase = Some("Terminating".into());
    }

    fn is_held(&self, namespace: &Namespace) -> bool {
        namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref()).is_some_and(|held| !held.is_empty())
    }
}

fn finalizer_name(found: &mut Violations, finalizer: &str, path: &str) {
    each_invalid(found, path, finalizer, names::qualified_name(finalizer));
    if !finalizer.contains('/') && !matches!(finalizer, FINALIZER | "orphan" | "foregroundDeletion") {
        let why = "name is neither a standard finalizer name nor is it fully qualified";
        found.invalid(path, finalizer, why);
    }
}

fn name_label(metadata: &mut ObjectMeta) {
    if let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) {
        metadata.labels.get_or_insert_default().insert(NAME_LABEL.into(), name);
    }
}

/// The `finalize` subresource: the only way to change `spec.finalizers`.
struct Finalize;
impl Part for Finalize {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        match new["spec"].get("finalizers") {
            Some(Value::Array(finalizers)) => object["spec"]["finalizers"] = finalizers.clone().into(),
            _ => drop(object.get_mut("spec").and_then(Value::as_object_mut).and_then(|spec| spec.remove("finalizers"))),
        }
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        vec!["spec.finalizers".into()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespace(value: Value) -> Namespace {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_new_namespace_is_active_and_held() {
        let mut new = namespace(json!({"metadata": {"name": "a"}}));
        NamespaceStrategy.prepare_create(&mut new, Timestamp::UNIX_EPOCH);
        let expected = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        assert_eq!(serde_json::to_value(&new).unwrap(), expected);
        assert!(NamespaceStrategy.is_held(&new));
        NamespaceStrategy.begin_deletion(&mut new);
        assert_eq!(new.status.unwrap().phase.as_deref(), Some("Terminating"));
    }

    #[test]
    fn an_update_leaves_the_finalizers() {
        let old = namespace(json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}));
        let mut new = namespace(json!({"metadata": {"name": "a"}, "spec": {}}));
        NamespaceStrategy.prepare_update(&mut new, &old, Timestamp::UNIX_EPOCH);
        assert!(NamespaceStrategy.is_held(&new));
    }

    #[test]
    fn finalize_takes_the_finalizers_off() {
        let mut stored = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}});
        Finalize.write(&mut stored, &json!({"spec": {"finalizers": []}})).unwrap();
        assert!(!NamespaceStrategy.is_held(&namespace(stored.clone())));
        stored["spec"]["finalizers"] = json!(["kubernetes"]);
        Finalize.write(&mut stored, &json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
        assert_eq!(stored, json!({"metadata": {"name": "a"}, "spec": {}}));
    }

    #[test]
    fn finalizers_and_phases_are_checked() {
        for (case, finalizers, wrong) in [
            ("none", json!([]), vec![]),
            ("the standard one", json!(["kubernetes"]), vec![]),
            ("a qualified one", json!(["example.com/x"]), vec![]),
            ("an unknown one", json!(["x"]), vec!["spec.finalizers"]),
        ] {
            let found = NamespaceStrategy.validate(&namespace(json!({"spec": {"finalizers": finalizers}})), None);
            assert_eq!(found.fields(), wrong, "{case}");
        }
        let unknown = namespace(json!({"spec": {"finalizers": ["x"]}}));
        assert_eq!(NamespaceStrategy.validate_part("finalize", &unknown, &unknown).fields(), ["spec.finalizers[0]"]);
        let terminating = namespace(json!({"status": {"phase": "Terminating"}}));
        assert_eq!(NamespaceStrategy.validate_status(&terminating, &terminating).fields(), ["status.Phase"]);
    }
}
