//! Streams to node agents: logs, exec, attach, port-forward. Bytes pass through untouched.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sdk_api::k8s_openapi::api::core::v1::{Node, Pod};
use sdk_api::{GroupKind, Key, Reason, Status, Violations};
use sdk_client::Subject;
use sdk_plugin::{Connect, Decision, Kind};

use crate::body::{Body, whole};
use crate::options::Query;
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::steps::authorize;
use crate::verbs::forward::{Target, forward};
use crate::verbs::{not_allowed, proxy, scope_of};

/// Source: `KubeletPort`.
const KUBELET_PORT: u16 = 10250;
/// How much of a refusal is read. Source: `maxReadLength`.
const REFUSAL_BYTES_MAX: usize = 50_000;

pub async fn run(
    server: &Arc<ApiServer>,
    user: &Subject,
    kind: &Kind,
    what: Connect,
    arrived: Arrived,
) -> Result<Response<Body>, Status> {
    let allowed: &[Method] = match what {
        Connect::Log => &[Method::GET, Method::HEAD],
        Connect::Exec | Connect::Attach | Connect::PortForward => &[Method::GET, Method::POST],
        Connect::Proxy => return proxy::run(server, kind, arrived).await,
    };
    if !allowed.contains(&arrived.method) {
        return Err(not_allowed());
    }
    if what != Connect::Log && arrived.method == Method::GET {
        may_create(server, user, &arrived).await?;
    }
    let name = arrived.info.name.clone();
    let key = server.registry.key(
        server.registry.table().by_path("", "v1", "pods").ok_or_else(Status::no_such_path)?,
        scope_of(kind, &arrived.info),
        &name,
    );
    if what == Connect::Log {
        let found = log_options(Query(&arrived.query))?;
        if !found.is_empty() {
            return Err(Status::invalid(
                &GroupKind { group: String::new(), kind: "PodLogOptions".into() },
                &name,
                &found,
            ));
        }
    }
    let stored = server.registry.store().get(&key).ok_or_else(|| Status::not_found(&key.resource, &name))?;
    let pod = stored.typed::<Pod>().map_err(|error| Status::internal(error.to_string()))?;
    let Some(target) = pod_target(server, &pod, what, Query(&arrived.query))? else {
        // A pod without a node has said nothing yet.
        let nothing = Response::builder().status(StatusCode::NO_CONTENT).body(whole(""));
        return nothing.map_err(|error| Status::internal(error.to_string()));
    };
    let response = forward(server, &target, &[], arrived).await?;
    if what == Connect::Log && !response.status().is_success() {
        return Err(refused_logs(response).await);
    }
    Ok(response)
}

/// A stream may do anything in a container, so that opening one by GET, as WebSockets do, needs the right to create too.
/// Source: KEP-4006, `AuthorizePodWebsocketUpgradeCreatePermission`.
async fn may_create(server: &ApiServer, user: &Subject, arrived: &Arrived) -> Result<(), Status> {
    let mut attributes = authorize::attributes(user, &arrived.info);
    attributes.verb = "create".into();
    match authorize::decide(server, &attributes).await {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny { reason } | Decision::NoOpinion { reason } => Err(authorize::refusal(&attributes, &reason)),
    }
}

/// What is wrong with the options of a log. Source: API reference, "PodLogOptions".
fn log_options(query: Query<'_>) -> Result<Violations, Status> {
    let mut found = Violations::default();
    let number = |name: &str| match query.get(name) {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax (parameter {name})"))
        }),
    };
    if let Some(lines) = number("tailLines")?.filter(|lines| *lines < 0) {
        found.invalid("tailLines", lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = number("limitBytes")?.filter(|bytes| *bytes < 1) {
        found.invalid("limitBytes", bytes, "must be greater than 0");
    }
    let since = query.get("sinceTime");
    if !since.is_empty() && since.parse::<sdk_api::Timestamp>().is_err() {
        return Err(Status::bad_request(format!(
            "parsing time {since:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse"
        )));
    }
    match number("sinceSeconds")? {
        Some(_) if !since.is_empty() => {
            found.forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified");
        }
        Some(seconds) if seconds < 1 => found.invalid("sinceSeconds", seconds, "must be greater than 0"),
        _ => {}
    }
    if !query.get("stream").is_empty() {
        found.forbidden("stream", "may not be specified");
    }
    Ok(found)
}

/// Clients show the words of a Status and of nothing else; the node's own are plain text.
/// Source: `GenericHttpResponseChecker`.
async fn refused_logs(response: Response<Body>) -> Status {
    let (parts, mut body) = response.into_parts();
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if text.len() > REFUSAL_BYTES_MAX {
            text = b"the node's answer is too long".to_vec();
            break;
        }
    }
    let text = String::from_utf8_lossy(&text);
    match parts.status {
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => Status::new(404, Reason::NotFound, text),
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal(text),
        other => Status::new(other.as_u16(), Reason::Unknown, text),
    }
}

/// The agent of a node.
pub fn node_target(server: &ApiServer, name: &str, path: String, query: String) -> Result<Target, Status> {
    let Some(client) = &server.settings.node_client else {
        return Err(Status::unavailable("this server runs without node agents to connect to"));
    };
    let key = Key::of::<Node>("", name);
    let stored = server.registry.store().get(&key).ok_or_else(|| Status::not_found(&key.resource, name))?;
    let node = stored.typed::<Node>().map_err(|error| Status::internal(error.to_string()))?;
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let address = addresses
        .filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"))
        .find_map(|address| address.address.parse().ok())
        .ok_or_else(|| Status::unavailable(format!("node {name:?} has no address yet")))?;
    let port = status
        .and_then(|status| status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref())
        .and_then(|endpoint| u16::try_from(endpoint.port).ok())
        .filter(|port| *port > 0);
    let port = port.unwrap_or(KUBELET_PORT);
    Ok(Target { address, port, path, query, tls: Some(client.tls.clone()), is_agent: true })
}

/// `None` for the log of a pod that is nowhere yet.
fn pod_target(server: &ApiServer, pod: &Pod, what: Connect, query: Query<'_>) -> Result<Option<Target>, Status> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    if matches!(what, Connect::Log | Connect::Exec | Connect::Attach) {
        container(pod, query.get("container"))?;
    }
    if node.is_empty() {
        if what == Connect::Log {
            return Ok(None);
        }
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let (kubelet_path, pairs) = match what {
        Connect::Log => {
            let path = format!("/containerLogs/{namespace}/{name}/{}", container(pod, query.get("container"))?);
            (path, query.0.iter().filter(|(key, _)| key != "container").cloned().collect())
        }
        Connect::Exec | Connect::Attach => {
            let container = container(pod, query.get("container"))?;
            let verb = if what == Connect::Exec { "exec" } else { "attach" };
            (format!("/{verb}/{namespace}/{name}/{container}"), stream_query(query))
        }
        Connect::PortForward | Connect::Proxy => (format!("/portForward/{namespace}/{name}"), query.0.to_vec()),
    };
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value): &(String, String)| format!("{}={}", encode(key), encode(value))).collect();
    node_target(server, node, kubelet_path, pairs.join("&")).map(Some)
}

/// From the names of `PodExecOptions` to those of the kubelet.
fn stream_query(query: Query<'_>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (theirs, ours) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(theirs) {
            pairs.push((ours.to_owned(), "1".to_owned()));
        }
    }
    pairs.extend(query.0.iter().filter(|(key, _)| key == "command").cloned());
    pairs
}

/// The container that a stream is about: the one named, or the pod's only one.
fn container(pod: &Pod, named: &str) -> Result<String, Status> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let init = spec.init_containers.iter().flatten().map(|container| container.name.as_str());
    let all = init.chain(spec.containers.iter().map(|container| container.name.as_str()));
    let all = all.chain(spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str()));
    let all: Vec<&str> = all.collect();
    if !named.is_empty() {
        let refused = || Status::bad_request(format!("container {named} is not valid for pod {name}"));
        return all.contains(&named).then(|| named.to_owned()).ok_or_else(refused);
    }
    match spec.containers.as_slice() {
        [only] => Ok(only.name.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_of_logs_becomes_a_status_with_its_words() {
        for (code, reason, message) in [
            (400, Reason::BadRequest, "no such run"),
            (404, Reason::NotFound, "no such run"),
            (500, Reason::InternalError, "Internal error occurred: no such run"),
            (501, Reason::Unknown, "no such run"),
        ] {
            let response = Response::builder().status(code).body(whole("no such run")).expect("a good answer");
            let status = refused_logs(response).await;
            assert_eq!((status.code, status.reason, &*status.message), (code, reason, message));
        }
        let long = Response::builder().status(400).body(whole(vec![b'x'; REFUSAL_BYTES_MAX + 1])).expect("good");
        assert!(refused_logs(long).await.message.len() < 100);
    }

    #[test]
    fn a_stream_finds_its_container() {
        let pod = |names: &[&str]| -> Pod {
            let all: Vec<_> = names.iter().map(|name| serde_json::json!({ "name": name })).collect();
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p"},
                "spec": {"containers": all, "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}}))
            .unwrap()
        };
        for (case, names, named, expected) in [
            ("the only one", vec!["a"], "", Ok("a")),
            ("named", vec!["a", "b"], "b", Ok("b")),
            ("debugging", vec!["a"], "e", Ok("e")),
            ("unknown", vec!["a"], "x", Err("container x is not valid for pod p")),
            ("none", vec![], "", Err("a container name must be specified for pod p")),
            (
                "several",
                vec!["a", "b"],
                "",
                Err("a container name must be specified for pod p, choose one of: [i a b e]"),
            ),
        ] {
            let chosen = container(&pod(&names), named).map_err(|status| status.message);
            assert_eq!(chosen, expected.map(str::to_owned).map_err(str::to_owned), "{case}");
        }
    }

    #[test]
    fn options_of_logs_are_checked() {
        for (query, wrong) in [
            ("", vec![]),
            ("tailLines=5&limitBytes=1&sinceSeconds=1&follow=true", vec![]),
            ("tailLines=-1", vec!["tailLines: Invalid value: -1: must be greater than or equal to 0"]),
            ("limitBytes=0", vec!["limitBytes: Invalid value: 0: must be greater than 0"]),
            ("sinceSeconds=0", vec!["sinceSeconds: Invalid value: 0: must be greater than 0"]),
            (
                "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
                vec!["[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"],
            ),
            ("stream=Stdout", vec!["stream: Forbidden: may not be specified"]),
        ] {
            let pairs = crate::info::query_pairs(query);
            let found: Vec<String> = log_options(Query(&pairs)).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found, wrong, "{query}");
        }
        for query in ["tailLines=many", "sinceTime=yesterday"] {
            assert_eq!(log_options(Query(&crate::info::query_pairs(query))).unwrap_err().code, 400, "{query}");
        }
    }
}
