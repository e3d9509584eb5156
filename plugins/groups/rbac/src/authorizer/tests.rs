//! Decisions over a small set of roles, and as they change.

use sdk_api::Key;
use sdk_testkit::{FakeApi, ManualClock, until};
use tokio_util::sync::CancellationToken;

use super::*;

fn document(kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
    let mut document = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}});
    if !namespace.is_empty() {
        document["metadata"]["namespace"] = namespace.into();
    }
    for (field, value) in rest.as_object().into_iter().flatten() {
        document[field] = value.clone();
    }
    document
}

fn role(kind: &str, namespace: &str, name: &str, verb: &str, resource: &str) -> Value {
    let rules = json!([{"verbs": [verb], "apiGroups": [""], "resources": [resource]}]);
    document(kind, namespace, name, json!({"rules": rules}))
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subjects: Value) -> Value {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1});
    document(kind, namespace, name, json!({"roleRef": role, "subjects": subjects}))
}

/// An authorizer that has read what `seed` put there.
async fn world(seed: impl IntoIterator<Item = Value>) -> (FakeApi, Arc<RbacAuthorizer>) {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    for document in seed {
        api.seed(document);
    }
    let authorizer = Arc::new(RbacAuthorizer::default());
    let context = Context { client: api.admin(), clients: api.clients(), clock, stop: CancellationToken::new() };
    authorizer.start(context).await.unwrap();
    for informer in &authorizer.started.get().unwrap().each {
        informer.synced().await;
    }
    (api, authorizer)
}

fn asks(user: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> Attributes {
    Attributes {
        user: Subject::new(user, groups),
        verb: verb.into(),
        resource: resource.into(),
        namespace: namespace.into(),
        ..Attributes::default()
    }
}

#[tokio::test]
async fn decisions_follow_the_bindings() {
    let (_api, authorizer) = world([
        role("ClusterRole", "", "reader", "get", "pods"),
        role("Role", "blue", "writer", "create", "pods"),
        binding("", "all-readers", ("ClusterRole", "reader"), json!([{"kind": "Group", "name": "readers"}])),
        binding("blue", "ann", ("ClusterRole", "reader"), json!([{"kind": "User", "name": "ann"}])),
        binding(
            "blue",
            "robots",
            ("Role", "writer"),
            json!([
                {"kind": "ServiceAccount", "name": "bot"},
                {"kind": "ServiceAccount", "name": "bot", "namespace": "green"},
            ]),
        ),
        binding("", "lost", ("ClusterRole", "gone"), json!([{"kind": "User", "name": "eve"}])),
    ])
    .await;
    let bot = |namespace: &str| format!("system:serviceaccount:{namespace}:bot");
    for (case, attributes, reason) in [
        (
            "by a group, anywhere",
            asks("bob", &["readers"], "get", "pods", "green"),
            Ok("RBAC: allowed by ClusterRoleBinding \"all-readers\" of ClusterRole \"reader\" to Group \"readers\""),
        ),
        (
            "by name, in one namespace",
            asks("ann", &[], "get", "pods", "blue"),
            Ok("RBAC: allowed by RoleBinding \"ann/blue\" of ClusterRole \"reader\" to User \"ann\""),
        ),
        ("not in another", asks("ann", &[], "get", "pods", "green"), Err("")),
        ("not over all", asks("ann", &[], "get", "pods", ""), Err("")),
        (
            "an account of the binding's namespace",
            asks(&bot("blue"), &[], "create", "pods", "blue"),
            Ok("RBAC: allowed by RoleBinding \"robots/blue\" of Role \"writer\" to ServiceAccount \"bot/blue\""),
        ),
        (
            "an account of another namespace",
            asks(&bot("green"), &[], "create", "pods", "blue"),
            Ok("RBAC: allowed by RoleBinding \"robots/blue\" of Role \"writer\" to ServiceAccount \"bot/green\""),
        ),
        ("an account of a third", asks(&bot("red"), &[], "create", "pods", "blue"), Err("")),
        (
            "a role that is not there",
            asks("eve", &[], "get", "pods", "blue"),
            Err("RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"),
        ),
        ("a master", asks("root", &[MASTERS], "delete", "nodes", ""), Ok("")),
        ("nobody", asks("", &[], "get", "pods", "blue"), Err("")),
    ] {
        let expected = match reason {
            Ok(reason) => Decision::Allow { reason: reason.into() },
            Err(reason) => Decision::NoOpinion { reason: reason.into() },
        };
        assert_eq!(authorizer.authorize(&attributes).await, expected, "{case}");
    }
}

#[tokio::test]
async fn changes_are_followed() {
    let (api, authorizer) = world([
        role("ClusterRole", "", "reader", "get", "pods"),
        binding("", "b", ("ClusterRole", "reader"), json!([{"kind": "User", "name": "ann"}])),
    ])
    .await;
    let ask = asks("ann", &[], "get", "pods", "blue");
    let is_allowed = async |verb: &str| {
        let ask = Attributes { verb: verb.into(), ..ask.clone() };
        authorizer.authorize(&ask).await.is_allowed()
    };
    assert!(is_allowed("get").await);
    api.seed(role("ClusterRole", "", "reader", "list", "pods"));
    until("the new rules", || authorizer.with_index(|index| index.find(&ask).is_err())).await;
    assert!(is_allowed("list").await);
    api.remove(&Key::of::<ClusterRoleBinding>("", "b"));
    let list = Attributes { verb: "list".into(), ..ask.clone() };
    until("the lost binding", || authorizer.with_index(|index| index.find(&list).is_err())).await;
    assert!(!is_allowed("list").await);
}

#[tokio::test]
async fn the_rules_of_a_user_are_listed() {
    let (_api, authorizer) = world([
        role("ClusterRole", "", "reader", "get", "pods"),
        role("Role", "blue", "writer", "create", "pods"),
        document("ClusterRole", "", "paths", json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]})),
        binding("", "a", ("ClusterRole", "reader"), json!([{"kind": "User", "name": "ann"}])),
        binding("", "b", ("ClusterRole", "paths"), json!([{"kind": "User", "name": "ann"}])),
        binding("blue", "c", ("Role", "writer"), json!([{"kind": "User", "name": "ann"}])),
    ])
    .await;
    for (namespace, resources, paths) in [("blue", 2, 1), ("green", 1, 1)] {
        let rules = authorizer.rules_for(&Subject::new("ann", &[]), namespace).await;
        assert_eq!((rules.resource_rules.len(), rules.non_resource_rules.len()), (resources, paths), "{namespace}");
        assert!(!rules.incomplete);
    }
    let master = authorizer.rules_for(&Subject::new("root", &[MASTERS]), "blue").await;
    assert_eq!(master.resource_rules[0]["verbs"], json!(["*"]));
}

#[tokio::test]
async fn nobody_is_refused_before_the_first_policy_is_written() {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let binding = binding("", "b", ("ClusterRole", "reader"), json!([{"kind": "User", "name": "ann"}]));
    let authorizer = Arc::new(RbacAuthorizer::awaiting(vec![Key::of::<ClusterRoleBinding>("", "b")]));
    let context =
        Context { client: api.admin(), clients: api.clients(), clock: clock.clone(), stop: CancellationToken::new() };
    authorizer.start(context).await.unwrap();
    let asking = authorizer.clone();
    let answer = tokio::spawn(async move { asking.authorize(&asks("ann", &[], "get", "pods", "blue")).await });
    api.seed(role("ClusterRole", "", "reader", "get", "pods"));
    let role = [Key::of::<ClusterRole>("", "reader")];
    until("the role", || authorizer.with_index(|index| index.has_all(&role))).await;
    assert!(!answer.is_finished());
    api.seed(binding);
    assert!(answer.await.unwrap().is_allowed());
}

#[tokio::test]
async fn the_wait_for_the_first_policy_ends() {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    let authorizer = RbacAuthorizer::awaiting(vec![Key::of::<ClusterRoleBinding>("", "never")]);
    let context =
        Context { client: api.admin(), clients: api.clients(), clock: clock.clone(), stop: CancellationToken::new() };
    authorizer.start(context).await.unwrap();
    clock.advance(SETTLING);
    let answer = authorizer.authorize(&asks("ann", &[], "get", "pods", "blue")).await;
    assert_eq!(answer, Decision::NoOpinion { reason: String::new() });
}
