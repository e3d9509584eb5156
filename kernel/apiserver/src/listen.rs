//! From a TCP connection to requests: TLS 1.3, HTTP/1.1 and 2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::server::ApiServer;
use crate::spine::{Peer, serve};

/// Streams of one HTTP/2 connection: informers of a large program share one. Source: `--http2-max-streams-per-connection`
/// is 250 upstream by default; ours fits 1,500 watches.
const STREAMS_MAX: u32 = 2_000;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// What a stream may hold that its client does not take: a watcher that does not read costs this and no more.
const STREAM_SEND_BYTES: usize = 128 << 10;
/// All headers of a request together: tokens are large, more than this is none. The answer beyond is 431.
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// What an HTTP/1.1 connection buffers: a request's head must fit, and what the client does not take.
const HTTP1_BYTES_MAX: usize = 128 << 10;
/// How many streams a client may open and reset before they are looked at. Source: CVE-2023-44487, rapid reset.
const RESET_STREAMS_MAX: usize = 100;
/// A peer that has vanished is found out by the system, which wakes nobody here: after 60 seconds of silence it asks
/// every 15, and gives up after 6 questions.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 6);
/// How long a client may take for its TLS handshake and its headers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stopping server waits for requests in work.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    pub address: SocketAddr,
    #[source]
    pub source: io::Error,
}

/// A bound socket. Binding comes first, so that an occupied port is known before anything starts.
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self { tcp, address })
    }

    /// The address bound to; its port is the one chosen where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the server stops, then lets requests in work finish.
    pub async fn serve(self, server: Arc<ApiServer>, tls: Arc<rustls::ServerConfig>) {
        let acceptor = TlsAcceptor::from(tls);
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = server.stop.cancelled() => break,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((tcp, address)) => {
                    let (server, acceptor, watcher) = (server.clone(), acceptor.clone(), graceful.watcher());
                    tokio::spawn(async move {
                        if let Err(error) = connection(server, acceptor, tcp, address, watcher).await {
                            tracing::debug!(%address, %error, "A connection ended early.");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "Could not accept a connection.");
                    server.clock().sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.tcp);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = server.clock().sleep(DRAIN_TIMEOUT) => {
                tracing::info!("Closing connections that are still in use.");
            }
        }
    }
}

async fn connection(
    server: Arc<ApiServer>,
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    address: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tcp.set_nodelay(true)?;
    keep_alive(&tcp)?;
    let tls = tokio::select! {
        tls = acceptor.accept(tcp) => tls?,
        () = server.clock().sleep(HANDSHAKE_TIMEOUT) => return Err("the TLS handshake took too long".into()),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|der| der.to_vec());
    let closing = CancellationToken::new();
    let peer = Arc::new(Peer::new(address, certificate, closing.clone()));
    let service = service_fn(move |request| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<_, Infallible>(serve(server, request, peer).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT).max_buf_size(HTTP1_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_SEND_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(tls), service).into_owned();
    tokio::select! {
        ended = watcher.watch(connection) => ended,
        () = closing.cancelled() => Err("a watcher did not read".into()),
    }
}

fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let (idle, interval, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, idle)?;
    sockopt::set_tcp_keepintvl(tcp, interval)?;
    sockopt::set_tcp_keepcnt(tcp, count)?;
    Ok(())
}
