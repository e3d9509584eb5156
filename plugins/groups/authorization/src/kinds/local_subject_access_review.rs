//! `LocalSubjectAccessReview`: whether somebody may do something in one namespace, for those who may only ask there.

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use sdk_api::{Status, Violations};
use sdk_plugin::{Answer, Call, Kind};
use serde_json::Value;

use crate::access;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<LocalSubjectAccessReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        const KIND: &str = "LocalSubjectAccessReview";
        let spec = &call.body["spec"];
        let mut found = Violations::default();
        access::validate(&mut found, &call.body, true);
        if !spec["nonResourceAttributes"].is_null() {
            let value = spec["nonResourceAttributes"].clone();
            found.invalid("spec.nonResourceAttributes", value, "disallowed on this kind of request");
        }
        let namespace = spec["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
        if !spec["resourceAttributes"].is_null() && namespace != call.namespace {
            found.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace");
        }
        access::refuse(KIND, &found)?;
        let attributes = access::attributes(spec, access::subject(spec));
        Ok(access::answer(call.body, &attributes, call.server).await)
    }
}
