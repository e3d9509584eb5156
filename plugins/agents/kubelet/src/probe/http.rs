//! HTTP requests of probes and hooks. Certificates are not verified: a probe asks whether somebody answers.

use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sdk_api::k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

/// What upstream's probes call themselves.
const USER_AGENT: &str = "kube-probe/1.36";

/// One GET.
#[derive(Debug)]
pub(crate) struct Request {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
}

/// What came back; the body is of no interest.
pub(crate) struct Response {
    pub(crate) status: u16,
}

/// A port by number, or by the name that the container gives it.
pub(crate) fn port(port: &IntOrString, container: Option<&Container>) -> Result<u16, String> {
    match port {
        IntOrString::Int(number) => {
            u16::try_from(*number).ok().filter(|n| *n > 0).ok_or_else(|| format!("invalid port number: {number}"))
        }
        IntOrString::String(name) => {
            if let Ok(number) = name.parse() {
                return Ok(number);
            }
            let ports = container.into_iter().flat_map(|container| container.ports.iter().flatten());
            let found = ports.into_iter().find(|port| port.name.as_deref() == Some(name.as_str()));
            found
                .and_then(|port| u16::try_from(port.container_port).ok())
                .ok_or_else(|| format!("couldn't find port: {name:?} in the container"))
        }
    }
}

/// `host:port`, with brackets around IPv6 addresses.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a connection failed, in the words of the system.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        std::io::ErrorKind::HostUnreachable => "no route to host".into(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        _ => error.to_string(),
    }
}

impl Request {
    /// The request of a probe or hook; `pod_ip` is asked unless it names a host.
    pub(crate) fn of(get: &HTTPGetAction, container: Option<&Container>, pod_ip: &str) -> Result<Self, String> {
        let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let headers = get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        Ok(Self {
            is_tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.into()),
            port: port(&get.port, container)?,
            path,
            headers: headers.collect(),
        })
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(&self.host, self.port), self.path)
    }

    fn build(&self) -> Result<hyper::Request<Empty<Bytes>>, String> {
        let mut request = hyper::Request::get(&self.path);
        let named = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !named("host") {
            request = request.header("host", authority(&self.host, self.port));
        }
        if !named("user-agent") {
            request = request.header("user-agent", USER_AGENT);
        }
        if !named("accept") {
            request = request.header("accept", "*/*");
        }
        request = request.header("connection", "close");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(|error| error.to_string())
    }
}

/// Sends a request and reads the head of the answer. The caller bounds the time.
pub(crate) async fn send(request: &Request) -> Result<Response, String> {
    let address = authority(&request.host, request.port);
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("dial tcp {address}: connect: {}", reason(&error)))?;
    if request.is_tls {
        let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone::default()));
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.with_no_client_auth()));
        let name = ServerName::try_from(request.host.clone()).map_err(|error| error.to_string())?;
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        exchange(request, TokioIo::new(stream)).await
    } else {
        exchange(request, TokioIo::new(stream)).await
    }
}

async fn exchange<S>(request: &Request, stream: S) -> Result<Response, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(text)?;
    let request = request.build()?;
    let answer = async { sender.send_request(request).await.map_err(text) };
    tokio::pin!(answer);
    // The connection is driven here, and dropped with its answer's body unread.
    let connection = std::pin::pin!(connection);
    let response = match futures::future::select(answer, connection).await {
        futures::future::Either::Left((answer, _)) => answer?,
        futures::future::Either::Right((_, answer)) => answer.await?,
    };
    Ok(Response { status: response.status().as_u16() })
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl Default for Anyone {
    fn default() -> Self {
        Self(rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes())
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn requests_name_their_port() {
        let container: Container =
            serde_json::from_value(json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]})).unwrap();
        for (get, url) in [
            (json!({"port": 80}), Ok("http://10.0.0.1:80/")),
            (json!({"port": "web", "path": "ready?x=1", "scheme": "HTTPS"}), Ok("https://10.0.0.1:8080/ready?x=1")),
            (json!({"port": "81", "host": "fd00::1"}), Ok("http://[fd00::1]:81/")),
            (json!({"port": "none"}), Err("couldn't find port: \"none\" in the container")),
            (json!({"port": 0}), Err("invalid port number: 0")),
        ] {
            let get: HTTPGetAction = serde_json::from_value(get).unwrap();
            let got = Request::of(&get, Some(&container), "10.0.0.1").map(|request| request.url());
            assert_eq!(got.as_deref().map_err(String::as_str), url);
        }
    }

    #[tokio::test]
    async fn answers_are_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n").await.unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let get = json!({"port": port, "path": "/x", "httpHeaders": [{"name": "X-A", "value": "b"}]});
        let request = Request::of(&serde_json::from_value(get).unwrap(), None, "127.0.0.1").unwrap();
        assert_eq!(send(&request).await.unwrap().status, 503);
        let head = server.await.unwrap().to_lowercase();
        assert!(head.starts_with("get /x http/1.1\r\n") && head.contains("x-a: b\r\n"), "{head}");
        assert!(head.contains("user-agent: kube-probe/"), "{head}");

        let error = send(&request).await.err().unwrap();
        assert!(error.ends_with("connect: connection refused"), "{error}");
    }
}
