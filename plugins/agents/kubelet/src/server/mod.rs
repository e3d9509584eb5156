//! The node's HTTPS server: health, pods, logs, and streams into containers. The kubelets of a process share one.

mod logs;
mod proxy;
mod route;
mod stats;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::pod::slot::Slot;
use crate::running::Node;

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 1024;
/// Longest that a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The body of an answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// Serves the kubelets that register with it.
///
/// Every client must show a certificate that the TLS configuration verifies, and whose common name is allowed.
pub struct NodeServer {
    tls: Arc<rustls::ServerConfig>,
    allowed: Vec<String>,
    kubelets: Mutex<BTreeMap<String, Weak<Node>>>,
}

impl NodeServer {
    /// `tls` must ask for client certificates; `allowed` are the common names that may do everything, such as the API
    /// server's client's.
    pub fn new(tls: Arc<rustls::ServerConfig>, allowed: Vec<String>) -> Arc<Self> {
        Arc::new(Self { tls, allowed, kubelets: Mutex::default() })
    }

    fn kubelets(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Node>>> {
        self.kubelets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, node: &Arc<Node>) {
        self.kubelets().insert(node.settings.node_name.clone(), Arc::downgrade(node));
    }

    pub(crate) fn unregister(&self, node: &Arc<Node>) {
        let mut kubelets = self.kubelets();
        let name = &node.settings.node_name;
        if kubelets.get(name).is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(node))) {
            kubelets.remove(name);
        }
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.kubelets().values().filter_map(Weak::upgrade).collect()
    }

    /// The pod of a name, on whichever node it is.
    pub(crate) fn find_pod(&self, namespace: &str, name: &str) -> Option<(Arc<Node>, Arc<Slot>, Arc<Pod>)> {
        self.nodes().into_iter().find_map(|node| {
            let (slot, pod) = node.find_pod(namespace, name)?;
            Some((node, slot, pod))
        })
    }

    /// Accepts connections until `stop`.
    pub async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, stop: CancellationToken) {
        let acceptor = TlsAcceptor::from(self.tls.clone());
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(seat) = seats.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "The node's server could not accept a connection.");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (server, acceptor, stop) = (self.clone(), acceptor.clone(), stop.clone());
            tokio::spawn(async move {
                let _seat = seat;
                tokio::select! {
                    () = server.talk(acceptor, stream) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    async fn talk(self: Arc<Self>, acceptor: TlsAcceptor, stream: TcpStream) {
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
        let name = stream.get_ref().1.peer_certificates().and_then(|chain| common_name(chain.first()?));
        let may = name.is_some_and(|name| self.allowed.contains(&name));
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            async move {
                if !may && request.uri().path() != "/healthz" {
                    return Ok::<_, Infallible>(text(StatusCode::FORBIDDEN, "Forbidden"));
                }
                Ok(server.respond(request).await)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "A connection of the node's server ended early.");
        }
    }

    /// Answers one request of a client that may do everything. Upgrades work where the connection allows them.
    pub async fn respond(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        route::answer(self, request).await
    }
}

/// The common name in a certificate's subject.
fn common_name(certificate: &rustls_pki_types::CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(Into::into)
}

/// An answer of plain text, with a newline at its end as Go's `http.Error` writes one.
fn text(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{message}\n"))).boxed());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
