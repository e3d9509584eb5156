//! One connection to the server, over HTTP/1.1 or HTTP/2.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::Server;

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection, with what every request on it carries.
pub struct Connection {
    sender: Sender,
    authority: String,
    scheme: &'static str,
    bearer: Option<HeaderValue>,
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Connection {
    /// Connects and shakes hands. Fails if the server does not speak the protocol.
    pub async fn open(server: &Server, h2: bool) -> Result<Self> {
        let stream = TcpStream::connect(server.address).await.context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let sender = match &server.tls {
            None => shake_hands(stream, h2).await?,
            Some(tls) => {
                let connector = TlsConnector::from(tls.config.clone());
                let stream = connector.connect(tls.name.clone(), stream).await.context("the TLS handshake failed")?;
                let spoken = stream.get_ref().1.alpn_protocol().is_some_and(|protocol| protocol == b"h2");
                if spoken != h2 {
                    bail!("the server does not speak {}", if h2 { "HTTP/2" } else { "HTTP/1.1" });
                }
                shake_hands(stream, h2).await?
            }
        };
        let bearer = server.token.as_ref().map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let bearer = bearer.transpose().context("the token is no header value")?.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        Ok(Self { sender, authority: server.authority.clone(), scheme, bearer })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let response = self.ask(method, path, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await.context("the answer breaks off")?.to_bytes();
        Ok(Answer { status, body })
    }

    /// Sends a request; the answer's body is read as it comes.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).header(header::ACCEPT, "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header(header::HOST, &self.authority).body(Full::new(body))?;
                sender.ready().await.context("the connection is closed")?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let uri = format!("{}://{}{path}", self.scheme, self.authority);
                let request = request.uri(uri).body(Full::new(body))?;
                sender.ready().await.context("the connection is closed")?;
                sender.send_request(request).await
            }
        };
        response.context("no answer")
    }
}

async fn shake_hands(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, h2: bool) -> Result<Sender> {
    let io = TokioIo::new(stream);
    if h2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            // A LIST is large: the window must not be what is measured.
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(1 << 20)
            .handshake(io)
            .await
            .context("the HTTP/2 handshake failed")?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(io).await.context("the HTTP/1.1 handshake failed")?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}
