//! Reviews against a server that lets `ann` read pods in `blue`, and nobody read secrets.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::{Clock, Key, Object, Status};
use sdk_client::Client;
use sdk_plugin::subresource::Rewrite;
use sdk_plugin::{Attributes, Call, Credentials, Decision, Kind, Rules, Server, Subject};
use sdk_testkit::{FakeApi, ManualClock};
use serde_json::{Value, json};

use crate::kinds;

struct TestServer(Arc<ManualClock>);

#[async_trait]
impl Server for TestServer {
    async fn rewrite(&self, key: &Key, _change: &mut Rewrite<'_>) -> Result<Arc<Object>, Status> {
        Err(Status::not_found(&key.resource, &key.name))
    }
    async fn authorize(&self, asked: &Attributes) -> Decision {
        match (asked.user.name.as_str(), asked.resource.as_str(), asked.namespace.as_str()) {
            ("ann", "pods", "blue") => Decision::Allow { reason: "because".into() },
            ("ann", "", "") if asked.path == "/healthz" && asked.verb == "get" => {
                Decision::Allow { reason: String::new() }
            }
            (_, "secrets", _) => Decision::Deny { reason: "never".into() },
            _ => Decision::NoOpinion { reason: String::new() },
        }
    }
    async fn rules_for(&self, user: &Subject, namespace: &str) -> Rules {
        let rule = json!({"verbs": [user.name], "resources": [namespace]});
        Rules { resource_rules: vec![rule], non_resource_rules: vec![], incomplete: false }
    }
    async fn authenticate(&self, _credentials: &Credentials) -> Result<Option<Subject>, Status> {
        Ok(None)
    }
    fn client(&self) -> Client {
        FakeApi::new(self.0.clone()).admin()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clone()
    }
}

/// The review's status, or the fields and code of the refusal.
async fn review(kind: Kind, namespace: &str, spec: Value) -> Result<Value, (u16, Vec<String>)> {
    let (user, server) = (Subject::new("ann", &[]), TestServer(ManualClock::new()));
    let call = Call { user: &user, namespace, body: json!({"spec": spec}), dry_run: false, server: &server };
    let answer = kind.answer.expect("an answered kind").create(call).await;
    answer.map(|review| review["status"].clone()).map_err(|status| {
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        (status.code, causes.into_iter().map(|cause| cause.field).collect())
    })
}

#[tokio::test]
async fn access_is_reviewed() {
    let pods = |namespace: &str| json!({"verb": "get", "resource": "pods", "namespace": namespace});
    let invalid = |field: &str| Err((422, vec![field.to_owned()]));
    for (case, kind, namespace, spec, expected) in [
        (
            "the caller may",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": pods("blue")}),
            Ok(json!({"allowed": true, "reason": "because"})),
        ),
        (
            "the caller may not",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": pods("green")}),
            Ok(json!({"allowed": false})),
        ),
        (
            "a path",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}),
            Ok(json!({"allowed": true})),
        ),
        ("nothing asked", kinds::self_subject_access_review::kind(), "", json!({}), invalid("spec.resourceAttributes")),
        (
            "two things asked",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": pods("blue"), "nonResourceAttributes": {"path": "/"}}),
            invalid("spec.nonResourceAttributes"),
        ),
        (
            "somebody else",
            kinds::subject_access_review::kind(),
            "",
            json!({"user": "bob", "resourceAttributes": {"verb": "get", "resource": "secrets"}}),
            Ok(json!({"allowed": false, "denied": true, "reason": "never"})),
        ),
        (
            "nobody",
            kinds::subject_access_review::kind(),
            "",
            json!({"resourceAttributes": pods("blue")}),
            invalid("spec.user"),
        ),
        (
            "selectors",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": {
                "verb": "get", "resource": "pods", "namespace": "blue",
                "fieldSelector": {"rawSelector": "a=b"},
                "labelSelector": {"requirements": [{"key": "a", "operator": "Later"}]},
            }}),
            Ok(json!({"allowed": true, "reason": "because"})),
        ),
        (
            "a selector of nothing",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": {"verb": "get", "resource": "pods", "fieldSelector": {}}}),
            invalid("spec.resourceAttributes.fieldSelector.requirements"),
        ),
        (
            "a bad selector",
            kinds::self_subject_access_review::kind(),
            "",
            json!({"resourceAttributes": {"verb": "get", "resource": "pods", "labelSelector": {
                "requirements": [{"key": "a", "operator": "In"}, {"key": "a b", "operator": "Exists"}],
            }}}),
            Err((
                422,
                [0, 1]
                    .map(|at| {
                        let part = if at == 0 { "values" } else { "key" };
                        format!("spec.resourceAttributes.labelSelector.requirements[{at}].{part}")
                    })
                    .to_vec(),
            )),
        ),
        (
            "here",
            kinds::local_subject_access_review::kind(),
            "blue",
            json!({"user": "ann", "resourceAttributes": pods("blue")}),
            Ok(json!({"allowed": true, "reason": "because"})),
        ),
        (
            "elsewhere",
            kinds::local_subject_access_review::kind(),
            "blue",
            json!({"user": "ann", "resourceAttributes": pods("green")}),
            invalid("spec.resourceAttributes.namespace"),
        ),
        (
            "rules",
            kinds::self_subject_rules_review::kind(),
            "",
            json!({"namespace": "blue"}),
            Ok(json!({
                "resourceRules": [{"verbs": ["ann"], "resources": ["blue"]}], "nonResourceRules": [],
                "incomplete": false,
            })),
        ),
        ("rules of nowhere", kinds::self_subject_rules_review::kind(), "", json!({}), Err((400, vec![]))),
    ] {
        assert_eq!(review(kind, namespace, spec).await, expected, "{case}");
    }
}

#[tokio::test]
async fn reviews_have_no_metadata() {
    let (user, server) = (Subject::new("ann", &[]), TestServer(ManualClock::new()));
    let spec = json!({"user": "ann", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "blue"}});
    for (metadata, is_good) in [
        (json!(null), true),
        (json!({"creationTimestamp": null}), true),
        (json!({"name": "a"}), false),
        (json!({"labels": {}}), true),
        (json!({"labels": {"a": "b"}}), false),
    ] {
        let body = json!({"metadata": metadata, "spec": spec});
        let call = Call { user: &user, namespace: "", body, dry_run: false, server: &server };
        let answer = kinds::subject_access_review::kind().answer.expect("an answered kind").create(call).await;
        assert_eq!(answer.is_ok(), is_good, "{metadata}");
    }
}
