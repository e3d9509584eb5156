//! Reviews against a server that knows two tokens.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::{Clock, Key, Object, Status};
use sdk_client::Client;
use sdk_plugin::subresource::Rewrite;
use sdk_plugin::{Attributes, Call, Credentials, Decision, Kind, Rules, Server, Subject};
use sdk_testkit::{FakeApi, ManualClock};
use serde_json::{Value, json};

use crate::kinds;

/// Takes `good` for the audiences none and `vault`, and calls `expired` wrong.
struct TestServer(Arc<ManualClock>);

#[async_trait]
impl Server for TestServer {
    async fn rewrite(&self, key: &Key, _change: &mut Rewrite<'_>) -> Result<Arc<Object>, Status> {
        Err(Status::not_found(&key.resource, &key.name))
    }
    async fn authorize(&self, _attributes: &Attributes) -> Decision {
        Decision::NoOpinion { reason: String::new() }
    }
    async fn rules_for(&self, _user: &Subject, _namespace: &str) -> Rules {
        Rules::default()
    }
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status> {
        match credentials.bearer.as_deref() {
            Some("good") if credentials.audiences.iter().all(|audience| audience == "vault") => {
                Ok(Some(Subject::new("ann", &["devs"])))
            }
            Some("expired") => Err(Status::unauthorized()),
            _ => Ok(None),
        }
    }
    fn audiences(&self) -> Vec<String> {
        vec!["api".into()]
    }
    fn client(&self) -> Client {
        FakeApi::new(self.0.clone()).admin()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clone()
    }
}

async fn review(kind: Kind, body: Value) -> Result<Value, Status> {
    let user = Subject { uid: "u".into(), ..Subject::new("bob", &["system:authenticated"]) };
    let server = TestServer(ManualClock::new());
    let call = Call { user: &user, namespace: "", body, dry_run: false, server: &server };
    kind.answer.expect("an answered kind").create(call).await
}

#[tokio::test]
async fn tokens_are_reviewed() {
    let ann = json!({"username": "ann", "groups": ["devs"]});
    for (case, spec, status) in [
        ("good", json!({"token": "good"}), json!({"authenticated": true, "user": ann, "audiences": ["api"]})),
        (
            "good for one of two",
            json!({"token": "good", "audiences": ["vault", "other"]}),
            json!({"authenticated": true, "user": ann, "audiences": ["vault"]}),
        ),
        ("good for nobody asked", json!({"token": "good", "audiences": ["other"]}), json!({"user": {}})),
        ("unknown", json!({"token": "x"}), json!({"user": {}})),
        ("expired", json!({"token": "expired"}), json!({"user": {}, "error": "Unauthorized"})),
    ] {
        let answer = review(kinds::token_review::kind(), json!({"spec": spec})).await.unwrap();
        assert_eq!(answer["status"], status, "{case}");
    }
    let refused = review(kinds::token_review::kind(), json!({"spec": {}})).await.unwrap_err();
    assert_eq!(refused.code, 400);
}

#[tokio::test]
async fn the_caller_learns_who_they_are() {
    let answer = review(kinds::self_subject_review::kind(), json!({"kind": "SelfSubjectReview"})).await.unwrap();
    let user = json!({"username": "bob", "uid": "u", "groups": ["system:authenticated"]});
    assert_eq!(answer["status"], json!({"userInfo": user}));
    assert_eq!(answer["kind"], "SelfSubjectReview");
}
