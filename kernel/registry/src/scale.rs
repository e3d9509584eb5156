//! The `scale` subresource: an `autoscaling/v1` Scale over any kind that counts replicas.

use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1 as metav1;
use sdk_api::{GroupVersionKind, LabelSelector, Status};
use sdk_plugin::Part;
use sdk_plugin::column::at_path;
use sdk_plugin::kind::ScalePaths;
use serde_json::{Value, json};

pub struct ScalePart(pub ScalePaths);

impl Part for ScalePart {
    fn kind(&self) -> Option<GroupVersionKind> {
        Some(GroupVersionKind::new("autoscaling", "v1", "Scale"))
    }

    fn read(&self, object: &Value) -> Result<Value, Status> {
        let mut metadata = serde_json::Map::new();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(field) {
                metadata.insert(field.into(), value.clone());
            }
        }
        let mut scale = json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {}, "status": {"replicas": at_path(object, self.0.status).as_i64().unwrap_or(0)},
        });
        if let Some(wanted) = at_path(object, self.0.spec).as_i64().filter(|wanted| *wanted != 0) {
            scale["spec"]["replicas"] = wanted.into();
        }
        let selector = selector_text(at_path(object, self.0.selector));
        if !selector.is_empty() {
            scale["status"]["selector"] = selector.into();
        }
        Ok(scale)
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let wanted = new["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut at = object;
        for step in self.0.spec.split('.').filter(|step| !step.is_empty()) {
            at = &mut at[step];
        }
        *at = wanted.into();
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        vec![self.0.spec.trim_start_matches('.').into()]
    }
}

/// A selector of either form as a query.
fn selector_text(selector: &Value) -> String {
    if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        let typed: Option<metav1::LabelSelector> = serde_json::from_value(selector.clone()).ok();
        return typed
            .and_then(|typed| LabelSelector::from_typed(&typed).ok())
            .map_or_else(String::new, |s| s.to_string());
    }
    let labels = serde_json::from_value(selector.clone()).unwrap_or_default();
    LabelSelector::from_labels(&labels).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_read_from_and_written_to_its_object() {
        let part =
            ScalePart(ScalePaths { spec: ".spec.replicas", status: ".status.replicas", selector: ".spec.selector" });
        let mut object = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "status": {"replicas": 2},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}});
        let mut scale = part.read(&object).unwrap();
        assert_eq!(scale["status"], json!({"replicas": 2, "selector": "app=web"}));
        assert_eq!(scale["metadata"], json!({"name": "a"}));
        scale["spec"]["replicas"] = json!(5);
        part.write(&mut object, &scale).unwrap();
        assert_eq!(object["spec"]["replicas"], 5);
    }
}
