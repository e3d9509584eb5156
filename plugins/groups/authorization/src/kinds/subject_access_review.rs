//! `SubjectAccessReview`: whether somebody may do something.

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::authorization::v1::SubjectAccessReview;
use sdk_api::{Status, Violations};
use sdk_plugin::{Answer, Call, Kind};
use serde_json::Value;

use crate::access;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<SubjectAccessReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let mut found = Violations::default();
        access::validate(&mut found, &call.body, true);
        access::refuse("SubjectAccessReview", &found)?;
        let spec = &call.body["spec"];
        let attributes = access::attributes(spec, access::subject(spec));
        Ok(access::answer(call.body, &attributes, call.server).await)
    }
}
