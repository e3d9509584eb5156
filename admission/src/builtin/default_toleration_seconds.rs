//! `DefaultTolerationSeconds`: pods stay five minutes on a node that does not answer, unless they say otherwise.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_plugin::{Admission, AdmissionRequest, Operation};
use serde_json::{Value, json};

use super::is_about;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

pub struct DefaultTolerationSeconds;

#[async_trait]
impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update) && is_about(request, "", "pods")
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        let spec = &mut request.object["spec"];
        let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
        let before = tolerations.len();
        for taint in TAINTS {
            if !tolerations[..before].iter().any(|toleration| tolerates(toleration, taint)) {
                tolerations.push(json!({
                    "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
                }));
            }
        }
        if tolerations.len() > before {
            spec["tolerations"] = tolerations.into();
        }
        Ok(())
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let matches = |field: &str, wanted: &str| {
        let text = toleration[field].as_str().unwrap_or_default();
        text.is_empty() || text == wanted
    };
    matches("key", taint) && matches("effect", "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{admit, request};
    use super::*;

    #[tokio::test]
    async fn missing_tolerations_are_added() {
        let added =
            |taint: &str| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let own = json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let everything = json!({"operator": "Exists"});
        let other = json!({"key": TAINTS[0], "effect": "NoSchedule"});
        for (case, given, expected) in [
            ("none", json!([]), json!([added(TAINTS[0]), added(TAINTS[1])])),
            ("one", json!([own]), json!([own, added(TAINTS[1])])),
            ("everything", json!([everything]), json!([everything])),
            ("another effect", json!([other]), json!([other, added(TAINTS[0]), added(TAINTS[1])])),
        ] {
            let pod =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"tolerations": given}});
            let admitted =
                admit(&DefaultTolerationSeconds, request(Operation::Create, "pods", pod, None)).await.unwrap();
            assert_eq!(admitted["spec"]["tolerations"], expected, "{case}");
        }
    }
}
