//! The default policy as data, and its way into the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use sdk_api::Violations;
use sdk_plugin::{Attributes, Authorizer};
use sdk_testkit::{FakeApi, ManualClock};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::authorizer::RbacAuthorizer;
use crate::kinds;

#[test]
fn every_document_is_valid_and_named_once() {
    let mut keys = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for document in documents() {
        let key = key(&document);
        let kind = match document["kind"].as_str().unwrap() {
            "ClusterRole" => kinds::cluster_role::kind(),
            "Role" => kinds::role::kind(),
            "ClusterRoleBinding" => kinds::cluster_role_binding::kind(),
            other => {
                assert_eq!(other, "RoleBinding");
                kinds::role_binding::kind()
            }
        };
        assert_eq!(kind.strategy.validate(&document, None), Ok(Violations::default()), "{key}");
        if let Some(role) = document["roleRef"]["name"].as_str() {
            let role = format!("{}{role}", &*key.namespace);
            assert!(roles.contains(&role), "{key} binds a role that is not there: {role}");
        } else {
            roles.insert(format!("{}{}", &*key.namespace, &*key.name));
        }
        assert!(keys.insert(key.clone()), "{key} is there twice");
    }
}

async fn authorizer(api: &FakeApi, clock: Arc<ManualClock>) -> RbacAuthorizer {
    let authorizer = RbacAuthorizer::default();
    let context = Context { client: api.admin(), clients: api.clients(), clock, stop: CancellationToken::new() };
    authorizer.start(context).await.unwrap();
    authorizer
}

#[tokio::test]
async fn the_policy_is_written_once_and_lets_the_parts_work() {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    assert_eq!(write_policy(&api.admin()).await.unwrap(), documents().len());
    assert_eq!(write_policy(&api.admin()).await.unwrap(), 0);

    let authorizer = authorizer(&api, clock).await;
    let account = |name: &str| Subject::service_account("kube-system", name);
    let node = Subject::new("system:node:n1", &["system:nodes", "system:authenticated"]);
    let scheduler = Subject::new("system:kube-scheduler", &["system:authenticated"]);
    let proxy = Subject::new("system:kube-proxy", &["system:authenticated"]);
    let user = Subject::new("ann", &["system:authenticated"]);
    let anonymous = Subject::new("system:anonymous", &["system:unauthenticated"]);
    for (who, verb, what, allowed) in [
        (&account("deployment-controller"), "create", "apps/replicasets", true),
        (&account("deployment-controller"), "create", "/pods", false),
        (&account("replicaset-controller"), "create", "/pods", true),
        (&account("replicaset-controller"), "create", "/events", true),
        (&account("serviceaccount-controller"), "create", "/serviceaccounts", true),
        (&account("root-ca-cert-publisher"), "create", "/configmaps", true),
        (&account("endpoint-controller"), "update", "/endpoints", true),
        (&account("endpointslice-controller"), "create", "discovery.k8s.io/endpointslices", true),
        (&account("generic-garbage-collector"), "delete", "example.com/anything", true),
        (&account("namespace-controller"), "update", "/namespaces/finalize", true),
        (&account("node-ipam-controller"), "patch", "/nodes", true),
        (&account("clusterrole-aggregation-controller"), "patch", "rbac.authorization.k8s.io/clusterroles", true),
        (&scheduler, "create", "/pods/binding", true),
        (&scheduler, "patch", "/pods/status", true),
        (&scheduler, "create", "/secrets", false),
        (&node, "update", "coordination.k8s.io/leases", true),
        (&node, "patch", "/nodes/status", true),
        (&node, "patch", "/pods/status", true),
        (&node, "create", "/serviceaccounts/token", true),
        (&node, "delete", "/nodes", false),
        (&proxy, "watch", "discovery.k8s.io/endpointslices", true),
        (&proxy, "update", "/services", false),
        (&user, "create", "authorization.k8s.io/selfsubjectaccessreviews", true),
        (&user, "get", "/pods", false),
        (&anonymous, "create", "authorization.k8s.io/selfsubjectaccessreviews", false),
    ] {
        let (group, resource) = what.split_once('/').unwrap();
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = Attributes {
            user: who.clone(),
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: "kube-system".into(),
            ..Attributes::default()
        };
        assert_eq!(authorizer.authorize(&asked).await.is_allowed(), allowed, "{} {verb} {what}", who.name);
    }
    for (who, path, allowed) in
        [(&user, "/api/v1", true), (&anonymous, "/healthz", true), (&anonymous, "/api/v1", false)]
    {
        let asked = Attributes { user: who.clone(), verb: "get".into(), path: path.into(), ..Attributes::default() };
        assert_eq!(authorizer.authorize(&asked).await.is_allowed(), allowed, "{} {path}", who.name);
    }
}

#[tokio::test]
async fn what_was_taken_away_comes_back_and_what_was_added_stays() {
    let api = FakeApi::new(ManualClock::new());
    write_policy(&api.admin()).await.unwrap();
    let key = |kind: &str, name: &str| Key::new(&GroupResource::new(kinds::rules::GROUP, kind), "", name);
    let (discovery, basic) = (key("clusterroles", "system:discovery"), key("clusterroles", "system:basic-user"));

    let mut changed = api.tree(&discovery);
    changed["rules"] = json!([{"verbs": ["get"], "nonResourceURLs": ["/mine"]}]);
    api.seed(changed);
    let mut left_alone = api.tree(&basic);
    left_alone["rules"] = json!([]);
    left_alone["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
    api.seed(left_alone);

    assert_eq!(write_policy(&api.admin()).await.unwrap(), 1);
    let rules = api.tree(&discovery)["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0]["nonResourceURLs"], json!(["/mine"]));
    assert_eq!(api.tree(&basic)["rules"], json!([]));
}
