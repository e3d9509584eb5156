//! A client of the node's server: plain requests, and commands over WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

/// An authority with a server and two clients: one the server knows, one it does not.
pub struct Identities {
    ca: CertifiedIssuer<'static, KeyPair>,
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Identities {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    fn issue(&self, name: &str) -> Result<Identity> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.ca)?;
        Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    fn roots(&self) -> Result<Arc<rustls::RootCertStore>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der().clone())?;
        Ok(Arc::new(roots))
    }

    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>> {
        let verifier = rustls::server::WebPkiClientVerifier::builder(self.roots()?).build()?;
        let (certificate, key) = self.issue("node")?;
        let config = rustls::ServerConfig::builder().with_client_cert_verifier(verifier);
        Ok(Arc::new(config.with_single_cert(vec![certificate], key)?))
    }

    fn client_config(&self, name: &str) -> Result<Arc<rustls::ClientConfig>> {
        let (certificate, key) = self.issue(name)?;
        let config = rustls::ClientConfig::builder().with_root_certificates(self.roots()?);
        Ok(Arc::new(config.with_client_auth_cert(vec![certificate], key)?))
    }
}

pub struct NodeClient {
    address: SocketAddr,
    identities: Identities,
}

impl NodeClient {
    pub fn new(address: SocketAddr, identities: Identities) -> Self {
        Self { address, identities }
    }

    async fn connect(&self, name: &str) -> Result<TlsStream<tokio::net::TcpStream>> {
        let connector = tokio_rustls::TlsConnector::from(self.identities.client_config(name)?);
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        Ok(connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?)
    }

    async fn request(&self, name: &str, path: &str) -> Result<(u16, String)> {
        let mut stream = self.connect(name).await?;
        // HTTP/1.0 answers are not chunked, and end with the connection.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: node\r\n\r\n").as_bytes()).await?;
        let mut answer = vec![];
        if let Err(error) = stream.read_to_end(&mut answer).await {
            ensure!(error.kind() == std::io::ErrorKind::UnexpectedEof, "{error}");
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.into()))
    }

    pub async fn get(&self, path: &str) -> Result<String> {
        let (status, body) = self.request("apiserver", path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    pub async fn get_as_stranger(&self, path: &str) -> Result<u16> {
        Ok(self.request("stranger", path).await?.0)
    }

    /// A WebSocket with one of the protocols of streams.
    async fn upgrade(&self, path: &str, protocol: &str) -> Result<TlsStream<tokio::net::TcpStream>> {
        let mut stream = self.connect("apiserver").await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {protocol}\r\norigin: http://node\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.with_context(|| String::from_utf8_lossy(&head).into_owned())?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        Ok(stream)
    }

    /// What the command says, and the status that the last channel brings.
    pub async fn exec(&self, path: &str) -> Result<(String, String)> {
        let mut stream = self.upgrade(path, "v4.channel.k8s.io").await?;
        let (mut out, mut status) = (vec![], vec![]);
        while let Some(payload) = frame(&mut stream).await? {
            match payload.first() {
                Some(1 | 2) => out.extend_from_slice(&payload[1..]),
                Some(3) => status.extend_from_slice(&payload[1..]),
                _ => {}
            }
        }
        Ok((String::from_utf8(out)?, String::from_utf8(status)?))
    }

    /// What a port answers to a text, up to the end of the first message.
    pub async fn port_forward(&self, path: &str, text: &str) -> Result<String> {
        let mut stream = self.upgrade(path, "v4.channel.k8s.io").await?;
        // Channel 0 is the first port's data; a mask of zeros changes nothing.
        let length = u8::try_from(text.len() + 1)?;
        ensure!(length < 126, "the text is too long for a short frame");
        let mut message = vec![0x82, 0x80 | length, 0, 0, 0, 0, 0];
        message.extend_from_slice(text.as_bytes());
        stream.write_all(&message).await?;
        let mut opened = [false; 2];
        while let Some(payload) = frame(&mut stream).await? {
            // The first message of each channel names the port.
            match payload.first() {
                Some(channel @ (0 | 1)) if !opened[usize::from(*channel)] => opened[usize::from(*channel)] = true,
                Some(0) => return Ok(String::from_utf8_lossy(&payload[1..]).into_owned()),
                Some(1) => bail!("{}", String::from_utf8_lossy(&payload[1..])),
                _ => {}
            }
        }
        bail!("nothing came back")
    }
}

/// The payload of the next frame; `None` when the other side has ended.
async fn frame(stream: &mut TlsStream<tokio::net::TcpStream>) -> Result<Option<Vec<u8>>> {
    let Ok(first) = stream.read_u8().await else { return Ok(None) };
    let length = match stream.read_u8().await? & 0x7f {
        126 => usize::from(stream.read_u16().await?),
        127 => usize::try_from(stream.read_u64().await?)?,
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    match first & 0x0f {
        8 => Ok(None),
        1 | 2 => Ok(Some(payload)),
        other => bail!("a frame of kind {other}"),
    }
}
