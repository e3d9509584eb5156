//! Streams to node agents: logs, exec, attach, port-forward, and the proxy to nodes. Bytes pass through untouched.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::ServerName;
use sdk_api::k8s_openapi::api::core::v1::{Node, Pod};
use sdk_api::{Key, Reason, Status};
use sdk_plugin::{Connect, Kind};
use tokio::net::TcpStream;

use crate::body::{Body, whole};
use crate::options::Query;
use crate::server::{ApiServer, NodeClient};
use crate::spine::Arrived;
use crate::verbs::scope_of;

/// Source: `KubeletPort`.
const KUBELET_PORT: u16 = 10250;
/// Headers that belong to one connection and are not passed on. Source: RFC 9110 section 7.6.1.
const HOP_HEADERS: [&str; 6] =
    ["keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"];
/// How much of a refusal is read. Source: `maxReadLength`.
const REFUSAL_BYTES_MAX: usize = 50_000;
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

pub async fn run(
    server: &Arc<ApiServer>,
    kind: &Kind,
    what: Connect,
    arrived: Arrived,
) -> Result<Response<Body>, Status> {
    let Some(client) = &server.settings.node_client else {
        return Err(Status::unavailable("this server runs without node agents to connect to"));
    };
    let name = arrived.info.name.clone();
    if kind.gvk.kind == "Node" {
        let path = if arrived.info.rest.is_empty() { "/".to_owned() } else { arrived.info.rest.clone() };
        let target = node_target(server, &name, path, arrived.raw_query.clone())?;
        return forward(client, target, arrived).await;
    }
    if kind.gvk.kind != "Pod" || what == Connect::Proxy {
        return Err(Status::not_implemented(format!("the proxy subresource of {}", kind.plural)));
    }
    let key = server.registry.key(
        server.registry.table().by_path("", "v1", "pods").ok_or_else(Status::no_such_path)?,
        scope_of(kind, &arrived.info),
        &name,
    );
    let stored = server.registry.store().get(&key).ok_or_else(|| Status::not_found(&key.resource, &name))?;
    let pod = stored.typed::<Pod>().map_err(|error| Status::internal(error.to_string()))?;
    let target = pod_target(server, &pod, what, Query(&arrived.query))?;
    let response = forward(client, target, arrived).await?;
    if what == Connect::Log && !response.status().is_success() {
        return Err(refused_logs(response).await);
    }
    Ok(response)
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

/// Where to connect, and what to ask there.
struct Target {
    address: IpAddr,
    port: u16,
    path: String,
    query: String,
}

fn node_target(server: &ApiServer, name: &str, path: String, query: String) -> Result<Target, Status> {
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
    Ok(Target { address, port: port.unwrap_or(KUBELET_PORT), path, query })
}

fn pod_target(server: &ApiServer, pod: &Pod, what: Connect, query: Query<'_>) -> Result<Target, Status> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    if node.is_empty() {
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
    node_target(server, node, kubelet_path, pairs.join("&"))
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

/// The container that a stream is about: the one named, the pod's default, or its only one.
fn container(pod: &Pod, named: &str) -> Result<String, Status> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(spec) = &pod.spec else { return Err(Status::bad_request(format!("pod {name} has no containers"))) };
    let regular: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let init = spec.init_containers.iter().flatten().map(|container| container.name.as_str());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str());
    if !named.is_empty() {
        let known = regular.iter().copied().chain(init).chain(ephemeral).any(|container| container == named);
        let refused = || Status::bad_request(format!("container {named} is not valid for pod {name}"));
        return known.then(|| named.to_owned()).ok_or_else(refused);
    }
    let default = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CONTAINER));
    match (default, regular.as_slice()) {
        (Some(default), all) if all.contains(&default.as_str()) => Ok(default.clone()),
        (_, [only]) => Ok((*only).to_owned()),
        (_, all) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

async fn forward(client: &NodeClient, target: Target, arrived: Arrived) -> Result<Response<Body>, Status> {
    let Target { address, port, path, query } = &target;
    let unreachable = |error: &dyn std::fmt::Display| {
        Status::new(500, Reason::InternalError, format!("error dialing backend: {address}:{port}: {error}"))
    };
    let tcp = TcpStream::connect((*address, *port)).await.map_err(|error| unreachable(&error))?;
    let _ = tcp.set_nodelay(true);
    let connector = tokio_rustls::TlsConnector::from(client.tls.clone());
    let tls = connector.connect(ServerName::from(*address), tcp).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|error| unreachable(&error))?;
    // Ends with the stream: when either side closes.
    tokio::spawn(connection.with_upgrades());

    let uri = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let mut request = Request::builder().method(arrived.method.clone()).uri(uri);
    if let Some(headers) = request.headers_mut() {
        copy_headers(&arrived.headers, headers, arrived.upgrade.is_some());
    }
    let host = format!("{address}:{port}");
    let has_body = !matches!(arrived.method, Method::GET | Method::HEAD) && arrived.upgrade.is_none();
    let body = if has_body { arrived.body.pass_on() } else { whole("") };
    let request = request
        .header(header::HOST, host)
        .body(body)
        .map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))?;
    let mut response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(downstream) = arrived.upgrade else {
            return Err(Status::internal("the node switched protocols although nobody asked"));
        };
        let upstream = hyper::upgrade::on(&mut response);
        // Ends when either side closes; the request's own task has answered by then.
        tokio::spawn(async move {
            let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else { return };
            let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
            if let Err(error) = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await {
                tracing::debug!(%error, "A stream to a node broke off.");
            }
        });
    }
    let (mut parts, body) = response.into_parts();
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        for name in HOP_HEADERS.iter().chain(&["connection"]) {
            parts.headers.remove(*name);
        }
    }
    Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()))
}

/// Passes on what concerns the node, never the caller's credentials.
fn copy_headers(from: &HeaderMap, to: &mut HeaderMap, upgrades: bool) {
    for (name, value) in from {
        let text = name.as_str();
        let hop =
            HOP_HEADERS.contains(&text) || (!upgrades && (*name == header::CONNECTION || *name == header::UPGRADE));
        let secret = *name == header::AUTHORIZATION || *name == header::COOKIE || text.starts_with("impersonate-");
        if !hop && !secret && *name != header::HOST && *name != HeaderName::from_static("content-length") {
            to.append(name.clone(), value.clone());
        }
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
}
