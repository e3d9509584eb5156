//! Whether the user may do it.

use sdk_api::{GroupResource, Status};
use sdk_client::Subject;
use sdk_plugin::{Attributes, Decision};

use crate::info::RequestInfo;
use crate::server::ApiServer;

/// The request in an authorizer's terms.
pub fn attributes(user: &Subject, info: &RequestInfo) -> Attributes {
    Attributes {
        user: user.clone(),
        verb: info.verb.into(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
    }
}

/// Asks the authorizers in order; the first that decides counts. Nobody deciding is a refusal.
pub async fn decide(server: &ApiServer, attributes: &Attributes) -> Decision {
    let mut reasons = Vec::new();
    for authorizer in &server.authorizers {
        match authorizer.authorize(attributes).await {
            Decision::NoOpinion { reason } => reasons.extend((!reason.is_empty()).then_some(reason)),
            decided => return decided,
        }
    }
    Decision::NoOpinion { reason: reasons.join(", ") }
}

pub async fn authorize(server: &ApiServer, user: &Subject, info: &RequestInfo) -> Result<(), Status> {
    let attributes = attributes(user, info);
    match decide(server, &attributes).await {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny { reason } | Decision::NoOpinion { reason } => Err(refusal(&attributes, &reason)),
    }
}

/// Upstream's words for a refusal.
pub fn refusal(attributes: &Attributes, reason: &str) -> Status {
    let Attributes { user, verb, resource, group, subresource, namespace, name, path, .. } = attributes;
    let user = &user.name;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !attributes.is_resource() {
        let nothing = GroupResource::new("", "");
        return Status::forbidden(&nothing, "", format!("User {user:?} cannot {verb} path {path:?}{because}"));
    }
    let what = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = if namespace.is_empty() || resource == "namespaces" {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    let words = format!("User {user:?} cannot {verb} resource {what:?} in API group {group:?} {place}{because}");
    Status::forbidden(&GroupResource::new(group, resource), name, words)
}
