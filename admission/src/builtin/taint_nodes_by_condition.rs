//! `TaintNodesByCondition`: a new node takes no pods until it has been seen ready.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_plugin::{Admission, AdmissionRequest};
use serde_json::json;

use super::creates;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub struct TaintNodesByCondition;

#[async_trait]
impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, "", "nodes")
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        let spec = &mut request.object["spec"];
        let mut taints = spec["taints"].as_array().cloned().unwrap_or_default();
        if !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
            spec["taints"] = taints.into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Operation;

    use super::super::testing::{admit, request};
    use super::*;

    #[tokio::test]
    async fn a_new_node_is_tainted_once() {
        let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {}});
        for _ in 0..2 {
            node = admit(&TaintNodesByCondition, request(Operation::Create, "nodes", node, None)).await.unwrap();
            assert_eq!(node["spec"]["taints"], json!([{"key": NOT_READY, "effect": "NoSchedule"}]));
        }
        node["spec"]["taints"] = json!([]);
        let update = request(Operation::Update, "nodes", node.clone(), Some(node));
        assert_eq!(admit(&TaintNodesByCondition, update).await.unwrap()["spec"]["taints"], json!([]));
    }
}
