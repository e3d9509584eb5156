//! `TokenReview`: whose a bearer token is.

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::authentication::v1::TokenReview;
use sdk_plugin::cells::strings;
use sdk_plugin::{Answer, Call, Credentials, Kind};
use serde_json::{Value, json};

use crate::user_info;

/// How many audiences a review may name; each is checked on its own.
const AUDIENCES_MAX: usize = 32;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<TokenReview>().answered(Review)
}

struct Review;

#[async_trait]
impl Answer for Review {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let mut review = call.body;
        let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let asked: Vec<String> = strings(&review["spec"]["audiences"], "").map(str::to_owned).collect();
        if asked.len() > AUDIENCES_MAX {
            return Err(Status::bad_request(format!("a TokenReview may name at most {AUDIENCES_MAX} audiences")));
        }
        let mut status = json!({});
        let mut valid_for = Vec::new();
        let is_for_us = asked.is_empty();
        // Without audiences the token must be meant for the API server itself.
        let rounds: Vec<Vec<String>> =
            if asked.is_empty() { vec![vec![]] } else { asked.into_iter().map(|audience| vec![audience]).collect() };
        for audiences in rounds {
            let credentials =
                Credentials { bearer: Some(token.clone()), audiences: audiences.clone(), ..Credentials::default() };
            match call.server.authenticate(&credentials).await {
                Ok(Some(user)) => {
                    status["user"] = user_info(&user);
                    status["authenticated"] = true.into();
                    valid_for.extend(audiences);
                }
                Ok(None) => {}
                Err(error) => status["error"] = error.message.into(),
            }
        }
        if status["authenticated"] == true {
            if is_for_us {
                valid_for = call.server.audiences();
            }
            status.as_object_mut().expect("made as an object").remove("error");
        } else {
            status["user"] = json!({});
        }
        if !valid_for.is_empty() {
            status["audiences"] = json!(valid_for);
        }
        review["status"] = status;
        Ok(review)
    }
}
