//! `SelfSubjectReview`: who the server takes the caller for. `kubectl auth whoami` asks it.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::authentication::v1::SelfSubjectReview;
use sdk_plugin::{Answer, Call, Kind};
use serde_json::{Value, json};

use crate::user_info;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<SelfSubjectReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let user = user_info(call.user);
        let mut review = call.body;
        review["metadata"]["creationTimestamp"] = json!(sdk_api::time::rfc3339(call.server.clock().now()));
        review["status"] = json!({"userInfo": user});
        Ok(review)
    }
}
