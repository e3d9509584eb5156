//! gRPC probes: one call of `grpc.health.v1.Health/Check`.
//!
//! The message has one field each way, so it is written by hand; a client of its own would pull in code generation.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::probe::http;
use crate::probe::runner::Outcome;

const SERVING: u64 = 1;
/// Longest answer that is read.
const ANSWER_MAX: usize = 64 << 10;

/// Asks whether a service is being served. The caller bounds the time.
pub(crate) async fn check(address: &str, service: &str) -> Outcome {
    match call(address, service).await {
        Ok(SERVING) => Outcome::Success,
        Ok(status) => Outcome::Failure(format!("service unhealthy (responded with {:?})", status_name(status))),
        Err(why) => Outcome::Failure(why),
    }
}

fn status_name(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        _ => "SERVICE_UNKNOWN",
    }
}

async fn call(address: &str, service: &str) -> Result<u64, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("timeout: failed to connect service {address:?}: {}", http::reason(&error)))?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = hyper::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(message(service))))
        .map_err(|error| error.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let head = response.headers().clone();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let code =
            body.trailers().and_then(|trailers| trailers.get("grpc-status")).or(head.get("grpc-status")).cloned();
        let code = code.as_ref().and_then(|code| code.to_str().ok()).unwrap_or("0").to_owned();
        if code != "0" {
            return Err(format!("error: health rpc probe failed: grpc status {code}"));
        }
        Ok(status(&body.to_bytes()))
    };
    let connection = std::pin::pin!(connection);
    let answer = std::pin::pin!(answer);
    match futures::future::select(answer, connection).await {
        futures::future::Either::Left((answer, _)) => answer,
        futures::future::Either::Right((_, answer)) => answer.await,
    }
}

/// `HealthCheckRequest{service}` in a gRPC frame.
fn message(service: &str) -> Vec<u8> {
    let mut body = vec![];
    if !service.is_empty() {
        body.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            body.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        body.push(length as u8);
        body.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(body);
    frame
}

/// The status in a framed `HealthCheckResponse`; none at all is `UNKNOWN`.
fn status(frame: &[u8]) -> u64 {
    match frame.get(5..) {
        Some([0x08, value, ..]) => u64::from(*value & 0x7f),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        for (frame, want) in
            [(&[0, 0, 0, 0, 2, 8, 1][..], 1), (&[0, 0, 0, 0, 2, 8, 2], 2), (&[0, 0, 0, 0, 0], 0), (&[], 0)]
        {
            assert_eq!(status(frame), want);
        }
    }
}
