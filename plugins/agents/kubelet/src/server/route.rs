//! Which path does what.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use sdk_plugin::node::{ContainerState, NodeError, StreamRequest};

use crate::server::{Body, NodeServer, json, logs, proxy, stats, text};

/// The parameters of a query, each with all its values in order.
pub(crate) struct Query(HashMap<String, Vec<String>>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.entry(decode(key)).or_default().push(decode(value));
        }
        Self(found)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str)
    }

    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// Whether any of the keys is set to something true.
    pub(crate) fn is_set(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| matches!(self.get(key), Some("1" | "true" | "True" | "t" | "T" | "TRUE")))
    }
}

/// Undoes percent encoding and `+`.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = || {
            let digit = |offset: usize| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
            Some((digit(1)? * 16 + digit(2)?) as u8)
        };
        match bytes[at] {
            b'%' => match hex() {
                Some(byte) => {
                    out.push(byte);
                    at += 3;
                    continue;
                }
                None => out.push(b'%'),
            },
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(crate) async fn answer(server: &Arc<NodeServer>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match parts.as_slice() {
        ["healthz"] => text(StatusCode::OK, "ok"),
        ["pods"] if is_read => pods(server),
        ["stats", "summary"] if is_read => stats::summary(server).await,
        ["metrics"] if is_read => stats::metrics(server),
        ["containerLogs", namespace, pod, container] if is_read => {
            logs::answer(server, namespace, pod, container, &query)
        }
        ["exec" | "attach", namespace, pod, container] => {
            // Upstream also takes the pod's uid between the pod and the container; nobody sends it.
            stream(server, parts[0], namespace, pod, container, &query, request).await
        }
        ["portForward", namespace, pod] => forward(server, namespace, pod, &query, request).await,
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn pods(server: &NodeServer) -> Response<Body> {
    let mut items = vec![];
    for node in server.nodes() {
        for slot in node.slots() {
            items.extend(slot.state().object.as_ref().map(|object| object.tree().as_ref().clone()));
        }
    }
    json(&serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

fn status_of(error: &NodeError) -> StatusCode {
    match error {
        NodeError::NotFound(_) => StatusCode::NOT_FOUND,
        NodeError::Unimplemented(_) => StatusCode::NOT_IMPLEMENTED,
        NodeError::Unavailable(_) | NodeError::Deadline(_) => StatusCode::SERVICE_UNAVAILABLE,
        NodeError::AlreadyExists(_) | NodeError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn stream(
    server: &Arc<NodeServer>,
    what: &str,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some((node, slot, _)) = server.find_pod(namespace, name) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let run = slot.state().observed.latest(container).filter(|run| run.state == ContainerState::Running).cloned();
    let Some(run) = run else {
        return text(StatusCode::NOT_FOUND, &format!("container not found ({container:?})"));
    };
    let wanted = StreamRequest {
        container_id: run.id,
        command: query.all("command"),
        tty: query.is_set(&["tty"]),
        stdin: query.is_set(&["input", "stdin"]),
        stdout: query.is_set(&["output", "stdout"]),
        stderr: query.is_set(&["error", "stderr"]) && !query.is_set(&["tty"]),
    };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    let url = match what {
        "exec" => node.runtime().exec_url(&wanted).await,
        _ => node.runtime().attach_url(&wanted).await,
    };
    match url {
        Ok(url) => proxy::upgrade(&url, request).await,
        Err(error) => text(status_of(&error), &error.to_string()),
    }
}

async fn forward(
    server: &Arc<NodeServer>,
    namespace: &str,
    name: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some((node, slot, _)) = server.find_pod(namespace, name) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let sandbox = slot.state().observed.sandbox().filter(|sandbox| sandbox.ready).map(|sandbox| sandbox.id.clone());
    let Some(sandbox) = sandbox else {
        return text(StatusCode::NOT_FOUND, &format!("pod {name:?} has no running sandbox"));
    };
    let lists = query.all("ports").into_iter().chain(query.all("port"));
    let ports: Vec<u16> =
        lists.flat_map(|list| list.split(',').filter_map(|port| port.parse().ok()).collect::<Vec<_>>()).collect();
    match node.runtime().port_forward_url(&sandbox, &ports).await {
        Ok(url) => proxy::upgrade(&url, request).await,
        Err(error) => text(status_of(&error), &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%20%26%3D%c3%a4&input=1&tty=false&bad=%zz&flag");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a &=ä"]);
        assert!(query.is_set(&["stdin", "input"]) && !query.is_set(&["tty"]) && !query.is_set(&["flag"]));
        assert_eq!((query.get("bad"), query.get("none")), (Some("%zz"), None));
    }
}
