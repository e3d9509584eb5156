//! What is published of a schema: a definition as OpenAPI v3 has them, with the fields that every object has.

use std::collections::BTreeMap;

use sdk_api::GroupVersionKind;
use sdk_schema::{SchemaRef, Schemas};
use serde_json::{Value, json};

const REF: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The definitions of a kind and of its list, in the form that patches, apply and OpenAPI read.
pub fn definitions(gvk: &GroupVersionKind, list_kind: &str, schema: &Value) -> Option<SchemaRef> {
    let mut group: Vec<&str> = gvk.group.split('.').collect();
    group.reverse();
    let name = |kind: &str| format!("{}.{}.{kind}", group.join("."), gvk.version);
    let of = |kind: &str| json!([{"group": gvk.group, "version": gvk.version, "kind": kind}]);
    let mut object = schema.clone();
    if !object.is_object() {
        object = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    complete(&mut object, true);
    object["x-kubernetes-group-version-kind"] = of(&gvk.kind);
    let list = json!({
        "type": "object", "description": format!("{} is a list of {}", list_kind, gvk.kind), "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "kind": {"type": "string", "description": KIND},
            "items": {"type": "array", "items": {"$ref": format!("{REF}{}", name(&gvk.kind))}},
            "metadata": {"allOf": [{"$ref": format!("{REF}{META}ListMeta")}], "description": METADATA},
        },
        "x-kubernetes-group-version-kind": of(list_kind),
    });
    let all = BTreeMap::from([(name(&gvk.kind), object), (name(list_kind), list)]);
    Schemas::from_definitions(all).ok()?.kind(gvk)
}

/// Adds `apiVersion`, `kind` and `metadata` to whatever is an object of the API.
fn complete(schema: &mut Value, is_root: bool) {
    if is_root || schema["x-kubernetes-embedded-resource"] == true {
        schema["properties"]["apiVersion"] = json!({"type": "string", "description": API_VERSION});
        schema["properties"]["kind"] = json!({"type": "string", "description": KIND});
        schema["properties"]["metadata"] =
            json!({"allOf": [{"$ref": format!("{REF}{META}ObjectMeta")}], "description": METADATA});
    }
    for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if !(is_root && name == "metadata") && field.is_object() {
            complete(field, false);
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(word).filter(|inner| inner.is_object()) {
            complete(inner, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_has_what_every_object_has() {
        let gvk = GroupVersionKind::new("example.com", "v1", "Widget");
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "size": {"type": "integer"}, "pod": {"type": "object", "x-kubernetes-embedded-resource": true}}}}});
        let widget = definitions(&gvk, "WidgetList", &schema).unwrap();
        assert_eq!(widget.name(), Some("com.example.v1.Widget"));
        assert!(widget.at_path(&["metadata", "ownerReferences"]).is_some());
        assert!(widget.at_path(&["spec", "pod", "metadata", "labels"]).is_some());
        assert!(definitions(&gvk, "WidgetList", &Value::Null).unwrap().field("kind").is_some());
    }
}
