//! The `scale` subresource of a custom kind, over the three paths that its definition names.

use sdk_api::{GroupVersionKind, Status, Violations};
use sdk_plugin::Part;
use sdk_plugin::column::at_path;
use serde_json::{Value, json};

/// Where the numbers and the selector are.
#[derive(Clone, Debug)]
pub struct Scale {
    spec: String,
    status: String,
    /// Empty where there is none; the value is a selector's text.
    selector: String,
}

impl Scale {
    /// From `subresources.scale`.
    pub fn of(given: &Value) -> Option<Self> {
        let text = |field: &str| given[field].as_str().unwrap_or_default().to_owned();
        given.is_object().then(|| Self {
            spec: text("specReplicasPath"),
            status: text("statusReplicasPath"),
            selector: text("labelSelectorPath"),
        })
    }

    /// What is wrong with an object's numbers. Source: `customResourceValidator.ValidateScaleSpec` and `…Status`.
    pub fn validate(&self, object: &Value) -> Violations {
        let mut found = Violations::default();
        for path in [&self.spec, &self.status] {
            let value = at_path(object, path);
            let number = value.as_i64();
            let words = match (value, number) {
                (Value::Null, _) => continue,
                (_, None) => format!("{path} accessor error: {}, expected int64", of_type(value)),
                (_, Some(number)) if number < 0 => "should be a non-negative integer".into(),
                (_, Some(number)) if number > i64::from(i32::MAX) => {
                    format!("should be less than or equal to {}", i32::MAX)
                }
                _ => continue,
            };
            found.invalid(path, number.unwrap_or(0), words);
        }
        let selector = at_path(object, &self.selector);
        if !self.selector.is_empty() && !selector.is_null() && !selector.is_string() {
            let words = format!("{} accessor error: {}, expected string", self.selector, of_type(selector));
            found.invalid(&self.selector, "", words);
        }
        found
    }
}

/// A value and its type, as Go prints them.
fn of_type(value: &Value) -> String {
    let (shown, kind) = match value {
        Value::String(text) => (text.clone(), "string"),
        Value::Bool(_) => (value.to_string(), "bool"),
        Value::Number(number) => (value.to_string(), if number.is_f64() { "float64" } else { "int64" }),
        Value::Array(_) => (value.to_string(), "[]interface {}"),
        _ => (value.to_string(), "map[string]interface {}"),
    };
    format!("{shown} is of the type {kind}")
}

impl Part for Scale {
    fn kind(&self) -> Option<GroupVersionKind> {
        Some(GroupVersionKind::new("autoscaling", "v1", "Scale"))
    }

    fn read(&self, object: &Value) -> Result<Value, Status> {
        let Some(wanted) = at_path(object, &self.spec).as_i64() else {
            return Err(Status::internal(format!("the spec replicas field {:?} does not exist", self.spec)));
        };
        let mut metadata = serde_json::Map::new();
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(field) {
                metadata.insert(field.into(), value.clone());
            }
        }
        let mut scale = json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {}, "status": {"replicas": at_path(object, &self.status).as_i64().unwrap_or(0)},
        });
        if wanted != 0 {
            scale["spec"]["replicas"] = wanted.into();
        }
        if let Some(selector) =
            at_path(object, &self.selector).as_str().filter(|text| !text.is_empty() && !self.selector.is_empty())
        {
            scale["status"]["selector"] = selector.into();
        }
        Ok(scale)
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let wanted = new["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut at = object;
        for step in self.spec.split('.').filter(|step| !step.is_empty()) {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[step];
        }
        *at = wanted.into();
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        vec![self.spec.trim_start_matches('.').into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_where_the_definition_says() {
        let given = json!({"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.sel"});
        let scale = Scale::of(&given).unwrap();
        let mut object = json!({"metadata": {"name": "a"}, "spec": {"n": 2}, "status": {"n": 1, "sel": "a=b"}});
        let mut read = scale.read(&object).unwrap();
        assert_eq!(
            (&read["spec"], &read["status"]),
            (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "a=b"}))
        );
        read["spec"]["replicas"] = json!(5);
        scale.write(&mut object, &read).unwrap();
        assert_eq!(object["spec"]["n"], 5);
        assert!(scale.read(&json!({})).unwrap_err().message.contains("\".spec.n\" does not exist"));
        assert_eq!(
            scale.validate(&json!({"spec": {"n": -1}, "status": {"n": "x"}})).fields(),
            [".spec.n", ".status.n"]
        );
        assert!(Scale::of(&Value::Null).is_none());
    }
}
