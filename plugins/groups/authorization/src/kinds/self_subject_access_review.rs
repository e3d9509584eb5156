//! `SelfSubjectAccessReview`: whether the caller may do something. `kubectl auth can-i` asks it.

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use sdk_api::{Status, Violations};
use sdk_plugin::{Answer, Call, Kind};
use serde_json::Value;

use crate::access;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<SelfSubjectAccessReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let mut found = Violations::default();
        access::validate(&mut found, &call.body, false);
        access::refuse("SelfSubjectAccessReview", &found)?;
        let spec = &call.body["spec"];
        let attributes = access::attributes(spec, call.user.clone());
        Ok(access::answer(call.body, &attributes, call.server).await)
    }
}
