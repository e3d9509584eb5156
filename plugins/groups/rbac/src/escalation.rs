//! Nobody gives what they do not have: who writes a role must hold its rules, or be allowed to `escalate`; who writes a
//! binding must hold the rules of the role, or be allowed to `bind` it. Source: Kubernetes documentation, "Using RBAC
//! Authorization", privilege escalation prevention and bootstrapping.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use sdk_api::{GroupResource, Status};
use sdk_plugin::{Admission, AdmissionRequest, Attributes, Authorizer, Operation, Subject};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::authorizer::{RbacAuthorizer, is_master};
use crate::kinds::rules::GROUP;

/// Checks writes of roles and bindings.
pub struct Escalation(pub Arc<RbacAuthorizer>);

/// What a write gives.
enum Gift {
    /// The rules of a role; whether it will gather more.
    Rules { rules: Vec<PolicyRule>, gathers: bool },
    /// A role.
    Role(RoleRef),
}

#[async_trait]
impl Admission for Escalation {
    fn name(&self) -> &'static str {
        "RbacEscalation"
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        request.kind.group == GROUP
            && matches!(request.operation, Operation::Create | Operation::Update)
            && !is_master(&request.user)
    }

    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        let Some(gift) = gift(request) else { return Ok(()) };
        let (verb, resource, name) = match &gift {
            Gift::Rules { .. } => ("escalate", request.resource.clone(), request.name.as_str()),
            Gift::Role(role) => ("bind", format!("{}s", role.kind.to_lowercase()), role.name.as_str()),
        };
        let asked = Attributes {
            user: request.user.clone(),
            verb: verb.into(),
            group: GROUP.into(),
            version: "v1".into(),
            resource,
            namespace: request.namespace.clone(),
            name: name.into(),
            ..Attributes::default()
        };
        if self.0.authorize(&asked).await.is_allowed() {
            return Ok(());
        }
        let given = match gift {
            Gift::Rules { gathers: true, .. } => everything(),
            Gift::Rules { rules, gathers: false } => rules,
            Gift::Role(role) => self.0.rules_of(&role, &request.namespace).ok_or_else(|| {
                let resource = GroupResource::new(GROUP, &format!("{}s", role.kind.to_lowercase()));
                Status::not_found(&resource, &role.name)
            })?,
        };
        let missing = self.0.not_held(&request.user, &request.namespace, &given);
        if missing.is_empty() { Ok(()) } else { Err(refusal(request, &missing)) }
    }
}

/// What is given by this write and was not given before; `None` for nothing.
fn gift(request: &AdmissionRequest) -> Option<Gift> {
    let (new, old) = (&request.object, request.old.as_ref().map(|old| old.tree().as_ref()));
    let is_same = |fields: &[&str]| old.is_some_and(|old| fields.iter().all(|field| old.get(field) == new.get(field)));
    match request.resource.as_str() {
        "roles" | "clusterroles" => {
            if is_same(&["rules", "aggregationRule"]) {
                return None;
            }
            let gathers = !new["aggregationRule"].is_null() && !is_same(&["aggregationRule"]);
            Some(Gift::Rules { rules: read(&new["rules"]), gathers })
        }
        "rolebindings" | "clusterrolebindings" if !is_same(&["roleRef", "subjects"]) => {
            Some(Gift::Role(read(&new["roleRef"])))
        }
        _ => None,
    }
}

fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_default()
}

/// A role that gathers may come to hold anything.
fn everything() -> Vec<PolicyRule> {
    let all = || vec!["*".to_owned()];
    vec![
        PolicyRule { verbs: all(), api_groups: Some(all()), resources: Some(all()), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: Some(all()), ..PolicyRule::default() },
    ]
}

fn refusal(request: &AdmissionRequest, missing: &[PolicyRule]) -> Status {
    let resource = GroupResource::new(&request.kind.group, &request.resource);
    let Subject { name, groups, .. } = &request.user;
    let rules: Vec<_> = missing.iter().map(shown).collect();
    let why = format!(
        "user {name:?} (groups={groups:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        rules.join("\n")
    );
    Status::forbidden(&resource, &request.name, why)
}

/// A rule as upstream's message shows it.
fn shown(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", rule.api_groups.as_ref()),
        ("Resources", rule.resources.as_ref()),
        ("ResourceNames", rule.resource_names.as_ref()),
        ("NonResourceURLs", rule.non_resource_urls.as_ref()),
        ("Verbs", Some(&rule.verbs)),
    ];
    let parts = parts.into_iter().filter_map(|(name, list)| {
        let list = list.filter(|list| !list.is_empty())?;
        Some(format!("{name}:{list:?}"))
    });
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use sdk_api::GroupVersionKind;
    use sdk_plugin::Context;
    use sdk_testkit::{FakeApi, ManualClock, cache};
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn document(kind: &str, namespace: &str, rest: Value) -> Value {
        let mut document =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "new"}});
        if !namespace.is_empty() {
            document["metadata"]["namespace"] = namespace.into();
        }
        for (field, value) in rest.as_object().into_iter().flatten() {
            document[field] = value.clone();
        }
        document
    }

    /// `ann` may read pods in `blue`; `bob` may escalate roles, and bind the role `powers`.
    async fn escalation() -> Escalation {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let named = |mut document: Value, name: &str| {
            document["metadata"]["name"] = name.into();
            document
        };
        let rule = |verbs: &[&str], group: &str, resource: &str| json!({"verbs": verbs, "apiGroups": [group], "resources": [resource]});
        let bound = |role: &str, user: &str| {
            let role = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
            json!({"roleRef": role, "subjects": [{"kind": "User", "name": user}]})
        };
        for seed in [
            named(document("ClusterRole", "", json!({"rules": [rule(&["get", "list"], "", "pods")]})), "reader"),
            named(document("ClusterRole", "", json!({"rules": [rule(&["*"], "*", "*")]})), "powers"),
            named(
                document(
                    "ClusterRole",
                    "",
                    json!({"rules": [
                        rule(&["escalate"], GROUP, "roles"),
                        {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["powers"]},
                    ]}),
                ),
                "keeper",
            ),
            named(document("RoleBinding", "blue", bound("reader", "ann")), "ann"),
            named(document("ClusterRoleBinding", "", bound("keeper", "bob")), "bob"),
        ] {
            api.seed(seed);
        }
        let authorizer = Arc::new(RbacAuthorizer::default());
        let context = Context { client: api.admin(), clients: api.clients(), clock, stop: CancellationToken::new() };
        authorizer.start(context).await.unwrap();
        Escalation(authorizer)
    }

    async fn write(escalation: &Escalation, user: &str, object: Value, old: Option<Value>) -> Result<(), Status> {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let request = AdmissionRequest {
            operation: if old.is_some() { Operation::Update } else { Operation::Create },
            user: Subject::new(user, &["devs"]),
            resource: format!("{}s", kind.to_lowercase()),
            kind: GroupVersionKind::new(GROUP, "v1", kind),
            subresource: String::new(),
            namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().into(),
            name: "new".into(),
            object,
            old: old.map(cache::object),
            dry_run: false,
            warnings: Vec::new(),
        };
        assert!(escalation.handles(&request));
        escalation.validate(&request).await
    }

    #[tokio::test]
    async fn nobody_gives_what_they_do_not_have() {
        let escalation = escalation().await;
        let role = |namespace: &str, verb: &str| {
            let rules = json!([{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]);
            document(if namespace.is_empty() { "ClusterRole" } else { "Role" }, namespace, json!({"rules": rules}))
        };
        let bind = |namespace: &str, name: &str| {
            let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
            document(kind, namespace, json!({"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}}))
        };
        let gathering = document("ClusterRole", "", json!({"aggregationRule": {"clusterRoleSelectors": [{}]}}));
        let mut labelled = role("blue", "delete");
        labelled["metadata"]["labels"] = json!({"a": "b"});
        for (case, user, object, old, code) in [
            ("what one has", "ann", role("blue", "get"), None, None),
            ("more than that", "ann", role("blue", "delete"), None, Some(403)),
            ("elsewhere", "ann", role("green", "get"), None, Some(403)),
            ("everywhere", "ann", role("", "get"), None, Some(403)),
            ("a new label", "ann", labelled, Some(role("blue", "delete")), None),
            ("one more verb", "ann", role("blue", "delete"), Some(role("blue", "get")), Some(403)),
            ("who may escalate", "bob", role("blue", "delete"), None, None),
            ("but not there", "bob", role("", "delete"), None, Some(403)),
            ("a role that gathers", "ann", gathering, None, Some(403)),
            ("a role one has", "ann", bind("blue", "reader"), None, None),
            ("a role one has not", "ann", bind("blue", "powers"), None, Some(403)),
            ("who may bind", "bob", bind("", "powers"), None, None),
            ("but not that", "bob", bind("", "reader"), None, Some(403)),
            ("a role that is not there", "ann", bind("blue", "ghost"), None, Some(404)),
        ] {
            let found = write(&escalation, user, object, old).await.err().map(|status| status.code);
            assert_eq!(found, code, "{case}");
        }
        let refused = write(&escalation, "ann", role("blue", "delete"), None).await.unwrap_err();
        assert_eq!(
            refused.message,
            "roles.rbac.authorization.k8s.io \"new\" is forbidden: user \"ann\" (groups=[\"devs\"]) is attempting to grant \
             RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
        );
    }
}
