//! The spine: what every request meets, in order, on one screen.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use kernel_registry::Warnings;
use sdk_api::Status;
use sdk_client::Subject;
use sdk_plugin::Credentials;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, RequestBody};
use crate::info::{RequestInfo, query_pairs};
use crate::options::{self, Query};
use crate::respond::failure;
use crate::server::ApiServer;
use crate::steps::flow::{Classified, Listing};
use crate::steps::{audit, authenticate, authorize, flow, impersonate};
use crate::verbs;

/// A request from the network, taken apart.
pub struct Arrived {
    pub method: Method,
    pub info: Arc<RequestInfo>,
    pub query: Vec<(String, String)>,
    pub raw_query: String,
    pub headers: HeaderMap,
    pub body: RequestBody,
    /// Closes the connection that the request came on.
    pub connection: CancellationToken,
    /// Set if the client may switch to another protocol.
    pub upgrade: Option<hyper::upgrade::OnUpgrade>,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    /// The client certificate in DER, verified by TLS.
    certificate: Option<Vec<u8>>,
    /// Whom the certificate names, once that is known: it holds as long as the connection that was verified by it.
    user: OnceLock<Subject>,
    /// Closes the connection.
    connection: CancellationToken,
}

impl Peer {
    pub fn new(address: SocketAddr, certificate: Option<Vec<u8>>, connection: CancellationToken) -> Self {
        Self { address, certificate, user: OnceLock::new(), connection }
    }

    /// Who sent a request with these headers to this path.
    async fn user(&self, server: &ApiServer, headers: &HeaderMap, path: &str) -> Result<Subject, Status> {
        let bearer = authenticate::bearer(headers);
        let by_certificate = bearer.is_none() && self.certificate.is_some();
        if let Some(user) = self.user.get().filter(|_| by_certificate) {
            return Ok(user.clone());
        }
        let credentials = Credentials { client_certificate: self.certificate.clone(), bearer, audiences: Vec::new() };
        let user = authenticate::authenticate(server, &credentials, path).await?;
        if by_certificate {
            // Whoever comes second found out the same.
            let _ = self.user.set(user.clone());
        }
        Ok(user)
    }
}

/// Answers one request from the network.
pub async fn serve(server: Arc<ApiServer>, request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
    let started = server.clock().monotonic();
    let _inflight = server.metrics.begin();
    let arrived = take_apart(request, &peer);
    let (info, id) = (arrived.info.clone(), audit_id(&server, &arrived.headers));
    let time = options::timeout(Query(&arrived.query), server.settings.request_timeout);
    let warnings = Warnings::default();

    // Boxed: the future of a request holds every verb's, and is moved about below.
    let work = Box::pin(answer(&server, arrived, &peer, &id, &warnings));
    // A stream ends by its own time, everything else by the request's.
    let limited = async {
        if is_long_running(&info) {
            return work.await;
        }
        let time = match time {
            Ok(time) => time,
            Err(status) => return failure(&status),
        };
        let limit = server.clock().sleep(time);
        tokio::select! {
            response = work => response,
            () = limit => failure(&Status::timeout("Timeout: request did not complete within the allotted timeout")),
        }
    };
    let mut response = AssertUnwindSafe(limited).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(verb = info.verb, path = %info.path, "A request panicked.");
        failure(&Status::internal("the server met an unexpected condition"))
    });

    for warning in warnings.take() {
        // 299 is the code of all warnings of the API. Source: KEP-1693.
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("audit-id", value);
    }
    let known = server.registry.table().by_path(&info.group, &info.version, &info.resource).is_some();
    server.metrics.answered(&info, known, response.status().as_u16(), server.clock().monotonic() - started);
    response
}

async fn answer(
    server: &Arc<ApiServer>,
    arrived: Arrived,
    peer: &Peer,
    id: &str,
    warnings: &Warnings,
) -> Response<Body> {
    let mut entry = audit::Entry::open(server, id.to_owned());
    entry.source = Some(peer.address.ip());
    entry.user_agent = text(&arrived.headers, http::header::USER_AGENT.as_str());
    let user = match peer.user(server, &arrived.headers, &arrived.info.path).await {
        Ok(user) => user,
        Err(status) => {
            entry.close(server, &Subject::new("", &[]), None, &arrived.info, Err(&status));
            return failure(&status);
        }
    };
    let (info, headers) = (arrived.info.clone(), arrived.headers.clone());
    let (listing, classified) = (options::listing(Query(&arrived.query)), Classified::default());
    let done = pass(server, user, &info, &headers, (listing, &classified), entry, |user| async move {
        let response = verbs::network::run(server, &user, arrived, warnings).await?;
        Ok((response.status().as_u16(), response))
    });
    let mut response = Box::pin(done).await.unwrap_or_else(|status| failure(&status));
    classified.tell(response.headers_mut());
    response
}

/// What requests of every origin meet once it is known who asks. There is no other way to the verbs.
pub async fn pass<T, F: Future<Output = Result<(u16, T), Status>>>(
    server: &ApiServer,
    user: Subject,
    info: &RequestInfo,
    headers: &HeaderMap,
    (listing, classified): (Listing, &Classified),
    entry: audit::Entry,
    work: impl FnOnce(Subject) -> F,
) -> Result<T, Status> {
    let mut acting = None;
    let done = async {
        let acting_user = impersonate::impersonate(server, user.clone(), headers).await?;
        if acting_user != user {
            acting = Some(acting_user.clone());
        }
        let _seat = flow::seat(server, &acting_user, info, listing, classified).await?;
        authorize::authorize(server, &acting_user, info).await?;
        flow::seated(work(acting_user)).await
    }
    .await;
    match done {
        Ok((code, answer)) => {
            entry.close(server, &user, acting.as_ref(), info, Ok(code));
            Ok(answer)
        }
        Err(status) => {
            entry.close(server, &user, acting.as_ref(), info, Err(&status));
            Err(status)
        }
    }
}

fn take_apart(mut request: Request<Incoming>, peer: &Peer) -> Arrived {
    let upgrades = request.headers().contains_key(http::header::UPGRADE);
    let upgrade = upgrades.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let query = query_pairs(&raw_query);
    let info = RequestInfo::of(&parts.method, parts.uri.path(), &query);
    Arrived {
        method: parts.method,
        info: Arc::new(info),
        query,
        raw_query,
        headers: parts.headers,
        body: RequestBody::new(body),
        connection: peer.connection.clone(),
        upgrade,
    }
}

/// Streams: watches, logs, exec and the like, proxies.
fn is_long_running(info: &RequestInfo) -> bool {
    info.verb == "watch" || matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The client's id for the request, or a new one.
fn audit_id(server: &ApiServer, headers: &HeaderMap) -> String {
    let given = text(headers, "audit-id");
    let fits = !given.is_empty() && given.len() <= 64 && given.bytes().all(|b| b.is_ascii_graphic());
    if fits { given } else { server.registry.new_uid() }
}
