//! `ComponentStatus`: how the parts of the control plane are. Deprecated upstream since 1.19, and still asked for by
//! people who look at a cluster for the first time. Nothing is stored: the health checks of the server answer.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::core::v1::ComponentStatus;
use sdk_plugin::{Answer, Call, Column, Kind};
use serde_json::{Value, json};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Status", |component, _| match healthy(component)["status"].as_str() {
        Some("True") => "Healthy".into(),
        Some("False") => "Unhealthy".into(),
        _ => "Unknown".into(),
    })
    .describe("Status of the component conditions"),
    Column::compute("Message", |component, _| text(&healthy(component)["message"]))
        .describe("Message of the component conditions"),
    Column::compute("Error", |component, _| text(&healthy(component)["error"]))
        .describe("Error of the component conditions"),
];

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<ComponentStatus>()
        .short_names(&["cs"])
        .columns(COLUMNS)
        .made_up(Components)
        .deprecated("v1 ComponentStatus is deprecated in v1.19+")
}

fn healthy(component: &Value) -> &Value {
    let mut conditions = component["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == "Healthy").unwrap_or(&Value::Null)
}

fn text(value: &Value) -> Value {
    value.as_str().unwrap_or_default().into()
}

/// The parts by the names that they have upstream, and the health check that tells of each: ours run in one process.
const COMPONENTS: [(&str, &str); 3] =
    [("controller-manager", "plugins"), ("etcd-0", "store"), ("scheduler", "plugins")];

struct Components;

#[async_trait]
impl Answer for Components {
    async fn read(&self, call: Call<'_>) -> Result<Vec<Value>, Status> {
        let checks = call.server.health();
        Ok(COMPONENTS
            .iter()
            .map(|(name, check)| component(name, checks.iter().find(|(known, _)| known == check)))
            .collect())
    }
}

fn component(name: &str, check: Option<&(&'static str, Result<(), String>)>) -> Value {
    let condition = match check {
        Some((_, Ok(()))) => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Some((_, Err(why))) => json!({"type": "Healthy", "status": "False", "message": why}),
        None => json!({"type": "Healthy", "status": "Unknown", "error": "nothing tells of this component"}),
    };
    json!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_as_its_check() {
        for (case, check, status, words) in [
            ("passes", Some(Ok(())), "True", "ok"),
            ("fails", Some(Err("disk full".to_owned())), "False", "disk full"),
            ("is not known", None, "Unknown", ""),
        ] {
            let shown = component("etcd-0", check.map(|outcome| ("store", outcome)).as_ref());
            assert_eq!(healthy(&shown)["status"], status, "{case}");
            assert_eq!(text(&healthy(&shown)["message"]), words, "{case}");
        }
    }
}
