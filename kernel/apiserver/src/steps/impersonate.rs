//! Acting as somebody else. Source: Kubernetes documentation, "User impersonation".

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use sdk_api::Status;
use sdk_client::Subject;
use sdk_plugin::Attributes;

use crate::server::ApiServer;
use crate::steps::authenticate::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::steps::authorize::{decide, refusal};

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).filter(|value| !value.is_empty()).collect()
}

/// The user that the rest of the request runs as: the caller, or whom the caller may impersonate.
pub async fn impersonate(server: &ApiServer, user: Subject, headers: &HeaderMap) -> Result<Subject, Status> {
    let (names, uids, groups) = (all(headers, USER), all(headers, UID), all(headers, GROUP));
    let mut extra: Vec<(String, &str)> = Vec::new();
    for (header, value) in headers {
        if let (Some(key), Ok(value)) = (header.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra.push((percent_decode_str(key).decode_utf8_lossy().into_owned(), value));
        }
    }
    let Some(name) = names.first() else {
        if uids.is_empty() && groups.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request(
            "requested impersonation of groups, uid or extra without impersonating a user",
        ));
    };
    let mut wanted = Subject::new(name, &groups);
    let service_account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match service_account {
        Some((namespace, account)) => {
            may(server, &user, "", "serviceaccounts", "", namespace, account).await?;
            if groups.is_empty() {
                wanted.groups = Subject::service_account(namespace, account).groups;
            }
        }
        None => may(server, &user, "", "users", "", "", name).await?,
    }
    for group in &groups {
        may(server, &user, "", "groups", "", "", group).await?;
    }
    for uid in &uids {
        may(server, &user, "authentication.k8s.io", "uids", "", "", uid).await?;
        wanted.uid = (*uid).to_owned();
    }
    for (key, value) in extra {
        may(server, &user, "authentication.k8s.io", "userextras", &key, "", value).await?;
        wanted.extra.entry(key).or_default().push(value.to_owned());
    }
    // Everybody is in one of two groups, whoever they are taken for.
    let everybody = if *name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !wanted.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        wanted.groups.push(everybody.into());
    }
    Ok(wanted)
}

async fn may(
    server: &ApiServer,
    user: &Subject,
    group: &str,
    resource: &str,
    subresource: &str,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    let attributes = Attributes {
        user: user.clone(),
        verb: "impersonate".into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    };
    let decision = decide(server, &attributes).await;
    if decision.is_allowed() { Ok(()) } else { Err(refusal(&attributes, "")) }
}
