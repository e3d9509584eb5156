//! Calls to etcd: over TLS or not, to whichever endpoint answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{once, pending};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint as Target, Uri};
use tonic::{Code, ConnectError, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tracing::debug;

use crate::address::{Address, Endpoint, TlsFiles};
use crate::error::reason;
use crate::proto;

/// How long one connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long one try of a call may take.
const TRY_DEADLINE: Duration = Duration::from_secs(5);
/// How long a call may take with all its tries.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How often an idle connection is tried, and how long that may take. Source: `keepaliveTime`, `keepaliveTimeout` of the
/// API server; etcd cuts off who asks more often than every 5 s.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How much of an answer may be under way, 4 MiB: pages of the first load are large.
const WINDOW_BYTES: u32 = 4 << 20;

/// Why a write was not acknowledged.
pub enum Unwritten {
    /// It did not happen.
    Refused(Status),
    /// It may have happened, or may happen yet.
    Unknown(Status),
}

/// Channels to all endpoints, of which one is in use.
pub struct Connection {
    channels: Vec<Channel>,
    names: Vec<String>,
    current: AtomicUsize,
}

impl Connection {
    /// Connects when something is called.
    pub fn new(address: &Address) -> Self {
        let channels = address.endpoints.iter().map(|endpoint| channel(endpoint, address.tls.as_ref())).collect();
        let names = address.endpoints.iter().map(Endpoint::authority).collect();
        Self { channels, names, current: AtomicUsize::new(0) }
    }

    /// The endpoint in use.
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Takes the next endpoint, unless another call already left the one that failed.
    fn leave(&self, failed: usize) {
        let next = (failed + 1) % self.channels.len();
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Calls what may be called twice, at any endpoint that answers.
    pub async fn read<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let end = tokio::time::Instant::now() + CALL_DEADLINE;
        loop {
            let at = self.current();
            let status = match self.call(at, method, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) if !is_passing(&status) => return Err(status),
                Err(status) => status,
            };
            debug!(endpoint = self.names[at], method, reason = reason(&status), "A call failed.");
            self.leave(at);
            tokio::time::sleep(RETRY_PAUSE).await;
            if tokio::time::Instant::now() >= end {
                return Err(status);
            }
        }
    }

    /// Calls what must not happen twice: it is tried again only where it was not sent.
    pub async fn write<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Unwritten>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let end = tokio::time::Instant::now() + CALL_DEADLINE;
        loop {
            let at = self.current();
            let status = match self.call(at, method, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if is_unsent(&status) {
                self.leave(at);
                tokio::time::sleep(RETRY_PAUSE).await;
                if tokio::time::Instant::now() >= end {
                    return Err(Unwritten::Refused(status));
                }
            } else if is_passing(&status) {
                self.leave(at);
                return Err(Unwritten::Unknown(status));
            } else {
                return Err(Unwritten::Refused(status));
            }
        }
    }

    async fn call<Q, A>(&self, at: usize, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let call = async {
            let mut grpc = self.grpc(at).await?;
            let mut request = Request::new(request);
            // Also sent along, so that etcd gives up when we do.
            request.set_timeout(TRY_DEADLINE);
            let answer = grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::<Q, A>::default()).await?;
            Ok(answer.into_inner())
        };
        let late = || Status::deadline_exceeded(format!("no answer within {TRY_DEADLINE:?}"));
        tokio::time::timeout(TRY_DEADLINE, call).await.unwrap_or_else(|_| Err(late()))
    }

    /// Opens a watch at the endpoint in use; gives also which that is. The watch ends when the endpoint loses its leader.
    pub async fn watch(
        &self,
        create: proto::WatchCreateRequest,
    ) -> Result<(Streaming<proto::WatchResponse>, usize), (Status, usize)> {
        let at = self.current();
        let open = async {
            let mut grpc = self.grpc(at).await?;
            let create = proto::WatchRequest { create: Some(create) };
            // The stream of our requests stays open: its end would be the watch's.
            let mut request = Request::new(once(async { create }).chain(pending()));
            request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
            let codec = ProstCodec::<proto::WatchRequest, proto::WatchResponse>::default();
            Ok(grpc.streaming(request, PathAndQuery::from_static(proto::WATCH), codec).await?.into_inner())
        };
        let late = || Status::deadline_exceeded(format!("no watch within {TRY_DEADLINE:?}"));
        match tokio::time::timeout(TRY_DEADLINE, open).await.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => Ok((stream, at)),
            Err(status) => Err((status, at)),
        }
    }

    /// Takes another endpoint for what comes, if there is one.
    pub fn avoid(&self, at: usize) {
        self.leave(at);
    }

    pub fn name(&self, at: usize) -> &str {
        &self.names[at]
    }

    async fn grpc(&self, at: usize) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channels[at].clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(grpc)
    }
}

/// Whether the request never left: the connection did not come about.
fn is_unsent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether another try, perhaps elsewhere, may succeed. What etcd itself decides is not among these.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal | Code::Aborted
    )
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn channel(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> Channel {
    let (here, tls) = (endpoint.clone(), tls.cloned());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri = |scheme: &str| -> Uri {
        format!("{scheme}://{}", endpoint.authority()).parse().expect("Endpoint::parse() takes only host names")
    };
    let connector = tower::service_fn(move |_: Uri| {
        let (endpoint, tls) = (here.clone(), tls.clone());
        async move { connect(&endpoint, tls.as_ref()).await.map(TokioIo::new) }
    });
    // The encryption is the connector's; the origin is what requests say.
    Target::from(uri("http"))
        .origin(uri(scheme))
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .connect_with_connector_lazy(connector)
}

async fn connect(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> Result<Box<dyn Io>, Failure> {
    let tcp = TcpStream::connect((&*endpoint.host, endpoint.port)).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let connector = tokio_rustls::TlsConnector::from(tls.config()?);
    Ok(Box::new(connector.connect(endpoint.server_name(), tcp).await?))
}
