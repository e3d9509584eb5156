//! `SelfSubjectRulesReview`: what the caller may do in a namespace. `kubectl auth can-i --list` asks it.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;
use sdk_plugin::{Answer, Call, Kind};
use serde_json::{Value, json};

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<SelfSubjectRulesReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let mut review = call.body;
        let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        let rules = call.server.rules_for(call.user, namespace).await;
        let mut status = json!({
            "resourceRules": rules.resource_rules,
            "nonResourceRules": rules.non_resource_rules,
            "incomplete": rules.incomplete,
        });
        if rules.incomplete {
            status["evaluationError"] = "some rules could not be listed".into();
        }
        review["status"] = status;
        Ok(review)
    }
}
