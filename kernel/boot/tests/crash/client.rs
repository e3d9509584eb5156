//! A client on one connection, with the admin's entry of a kubeconfig.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kernel_boot::kubeconfig;
use rustls::pki_types::ServerName;
use serde_json::Value;

pub struct Client {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn connect(kubeconfig: &Path, cluster: &str) -> Result<Self> {
        let access = kubeconfig::access(kubeconfig, cluster)?;
        let authority = access.server.strip_prefix("https://").context("no https server")?.to_owned();
        let tcp = tokio::net::TcpStream::connect(&authority).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::from(tcp.peer_addr()?.ip());
        let tls = tokio_rustls::TlsConnector::from(access.tls).connect(name, tcp).await?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(Self { authority, sender })
    }

    /// The code and the document of an answer; an error if it did not come whole.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("host", &self.authority);
        let request = request.header("content-type", "application/json").body(Full::new(bytes))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&bytes)?))
    }
}
