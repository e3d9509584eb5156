//! Passes a request on to another server, and its answer or stream back, byte by byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sdk_api::{Reason, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::body::{Body, whole};
use crate::server::ApiServer;
use crate::spine::Arrived;

/// How long a connection may take to stand. The dialer of upstream's API server waits 30 s, which is longer than people do.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that belong to one connection and are not passed on. Source: RFC 9110 section 7.6.1.
const HOP_HEADERS: [&str; 6] =
    ["keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"];

/// Where to connect, and what to ask there.
pub struct Target {
    pub address: IpAddr,
    pub port: u16,
    /// Escaped, with its leading slash.
    pub path: String,
    pub query: String,
    /// `None` is plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What a node agent cannot answer is an error inside; what a pod cannot, a service that is not there.
    pub is_agent: bool,
}

impl Target {
    fn unreachable(&self, error: &dyn std::fmt::Display) -> Status {
        let at = SocketAddr::new(self.address, self.port);
        if self.is_agent {
            return Status::new(500, Reason::InternalError, format!("error dialing backend: {at}: {error}"));
        }
        Status::unavailable(format!("error trying to reach service: {at}: {error}"))
    }
}

/// Asks the target what the request asks, with more headers, and passes the answer back.
pub async fn forward(
    server: &ApiServer,
    target: &Target,
    more: &[(&'static str, String)],
    arrived: Arrived,
) -> Result<Response<Body>, Status> {
    let connected = tokio::select! {
        connected = TcpStream::connect((target.address, target.port)) => connected,
        () = server.clock().sleep(DIAL_TIMEOUT) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    let tcp = connected.map_err(|error| target.unreachable(&error))?;
    let _ = tcp.set_nodelay(true);
    match &target.tls {
        None => exchange(tcp, target, more, arrived).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsConnector::from(config.clone());
            let tls = tokio::select! {
                tls = handshake.connect(ServerName::from(target.address), tcp) => tls,
                () = server.clock().sleep(DIAL_TIMEOUT) => Err(std::io::ErrorKind::TimedOut.into()),
            };
            exchange(tls.map_err(|error| target.unreachable(&error))?, target, more, arrived).await
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    target: &Target,
    more: &[(&'static str, String)],
    arrived: Arrived,
) -> Result<Response<Body>, Status> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| target.unreachable(&error))?;
    // Ends with the stream: when either side closes.
    tokio::spawn(connection.with_upgrades());

    let Target { path, query, .. } = target;
    let uri = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let mut request = Request::builder().method(arrived.method.clone()).uri(uri);
    if let Some(headers) = request.headers_mut() {
        copy_headers(&arrived.headers, headers, arrived.upgrade.is_some());
    }
    for (name, value) in more {
        request = request.header(*name, value.as_str());
    }
    let has_body = !matches!(arrived.method, Method::GET | Method::HEAD) && arrived.upgrade.is_none();
    let body = if has_body { arrived.body.pass_on() } else { whole("") };
    let request = request
        .header(header::HOST, SocketAddr::new(target.address, target.port).to_string())
        .body(body)
        .map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))?;
    let mut response = sender.send_request(request).await.map_err(|error| target.unreachable(&error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(downstream) = arrived.upgrade else {
            return Err(Status::internal("the other side switched protocols although nobody asked"));
        };
        let upstream = hyper::upgrade::on(&mut response);
        // Ends when either side closes; the request's own task has answered by then.
        tokio::spawn(async move {
            let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else { return };
            let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
            if let Err(error) = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await {
                tracing::debug!(%error, "A stream that was passed on broke off.");
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

/// Passes on what concerns the other side, never the caller's credentials.
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

    #[test]
    fn credentials_and_hops_stay_here() {
        let mut from = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("cookie", "session"),
            ("impersonate-user", "root"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("accept", "text/html"),
        ] {
            from.insert(name, value.parse().unwrap());
        }
        for (upgrades, passed) in [(false, vec!["accept"]), (true, vec!["accept", "connection", "upgrade"])] {
            let mut to = HeaderMap::new();
            copy_headers(&from, &mut to, upgrades);
            let mut names: Vec<&str> = to.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, passed);
        }
    }
}
