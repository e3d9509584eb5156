//! Hands a stream on to the runtime: the request goes to the URL that the runtime gave, and after the upgrade every byte
//! passes through untouched, whatever protocol the two ends speak.

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::{Body, text};

pub(crate) async fn upgrade(url: &str, request: Request<Incoming>) -> Response<Body> {
    match try_upgrade(url, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(error, "Could not hand a stream on to the runtime.");
            text(StatusCode::BAD_GATEWAY, &format!("cannot reach the container runtime's streaming server: {error}"))
        }
    }
}

async fn try_upgrade(url: &str, mut request: Request<Incoming>) -> Result<Response<Body>, String> {
    let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let authority = url.authority().ok_or("the URL has no host")?.clone();
    if url.scheme_str() != Some("http") {
        return Err(format!(
            "the runtime streams over {:?}, only http is spoken",
            url.scheme_str().unwrap_or_default()
        ));
    }
    let address = (authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "A stream of the runtime ended early.");
        }
    });
    let mut onward =
        Request::builder().method(request.method().clone()).uri(url.path_and_query().map_or("/", |p| p.as_str()));
    for (name, value) in request.headers() {
        if name != http::header::HOST && name != http::header::CONTENT_LENGTH {
            onward = onward.header(name, value);
        }
    }
    let onward = onward.header(http::header::HOST, authority.as_str()).body(Empty::<Bytes>::new());
    let mut response = sender.send_request(onward.map_err(|error| error.to_string())?).await.map_err(text)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (head, body) = response.into_parts();
        // An error in the middle of the runtime's answer ends ours.
        let body = body.collect().await.map_err(text)?.to_bytes();
        return Ok(Response::from_parts(head, http_body_util::Full::new(body).boxed()));
    }
    let theirs = hyper::upgrade::on(&mut response);
    let ours = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (Ok(theirs), Ok(ours)) = futures::future::join(theirs, ours).await else { return };
        let (mut theirs, mut ours) = (TokioIo::new(theirs), TokioIo::new(ours));
        if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
            tracing::debug!(%error, "A stream into a container broke.");
        }
    });
    let (head, _) = response.into_parts();
    Ok(Response::from_parts(head, Empty::new().boxed()))
}
