//! Whether two pod templates are the same, the hash label aside.

use sdk_api::k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// The label that tells the pods of a Deployment's ReplicaSets apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// A template in a form that can be compared: without the hash label, and without lists and maps of nothing.
pub(super) fn comparable(template: &PodTemplateSpec) -> Value {
    let mut document = serde_json::to_value(template).expect("API types encode as JSON");
    if let Some(labels) = document["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    for field in ["labels", "annotations"] {
        let metadata = &mut document["metadata"];
        if metadata[field].as_object().is_none_or(serde_json::Map::is_empty) {
            metadata.as_object_mut().map(|fields| fields.remove(field));
        }
    }
    drop_empty_lists(&mut document);
    document
}

fn drop_empty_lists(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
            fields.values_mut().for_each(drop_empty_lists);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty_lists),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_label_and_empty_lists_do_not_count() {
        let template = |document: Value| comparable(&serde_json::from_value(document).unwrap());
        let plain = template(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}));
        for (case, other, same) in [
            (
                "hash",
                json!({"metadata": {"labels": {"a": "b", HASH_LABEL: "x"}}, "spec": {"containers": [{"name": "c"}]}}),
                true,
            ),
            (
                "empty",
                json!({"metadata": {"labels": {"a": "b"}, "annotations": {}},
                "spec": {"containers": [{"name": "c", "env": []}], "volumes": []}}),
                true,
            ),
            ("label", json!({"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c"}]}}), false),
            (
                "an empty object says something",
                json!({"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "securityContext": {}}]}}),
                false,
            ),
        ] {
            assert_eq!(template(other) == plain, same, "{case}");
        }
        let unlabelled = template(json!({"spec": {"containers": []}}));
        assert_eq!(
            unlabelled,
            template(json!({"metadata": {"labels": {HASH_LABEL: "x"}}, "spec": {"containers": []}}))
        );
    }
}
