//! The way to the runtime: a gRPC channel over its unix socket that connects anew when the socket comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use sdk_plugin::node::NodeError;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::Error;
use crate::error::{innermost, node_error};

/// How long a call may take unless it says otherwise, as the kubelet's `runtimeRequestTimeout`.
pub const CALL_DEADLINE: Duration = Duration::from_secs(120);
/// How long connecting to the socket may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The largest answer: 32 MiB. A list of thousands of containers with their annotations passes gRPC's usual 4 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A channel to a runtime's socket. Clones share it.
#[derive(Clone)]
pub struct Connection {
    socket: PathBuf,
    channel: Channel,
}

impl Connection {
    /// Looks at the socket, so that what is wrong with it is said in words, and opens a channel that connects lazily.
    pub async fn open(endpoint: &str) -> Result<Self, Error> {
        let socket = socket_path(endpoint)?;
        knock(&socket).await?;
        let target = socket.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let target = target.clone();
            async move { UnixStream::connect(target).await.map(TokioIo::new) }
        });
        // The name is only the `:authority` of the requests; the connector decides where they go.
        let channel = Endpoint::from_static("http://localhost")
            .connect_timeout(CONNECT_DEADLINE)
            .connect_with_connector_lazy(connector);
        Ok(Self { socket, channel })
    }

    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls `/package.Service/Method`. A failure is in the contract's terms.
    pub async fn call<Q, A>(&self, method: &'static str, request: Q, deadline: Duration) -> Result<A, NodeError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.try_call(method, request, deadline).await.map_err(|status| node_error(&status, &self.socket))
    }

    /// The same with gRPC's own answer.
    pub async fn try_call<Q, A>(&self, method: &'static str, request: Q, deadline: Duration) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let mut request = Request::new(request);
        // Also sent along, so that the runtime gives up when we do.
        request.set_timeout(deadline);
        let answer = grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::<Q, A>::default()).await?;
        Ok(answer.into_inner())
    }

    /// Opens a stream of answers; returns when the runtime sent its first one or refused.
    pub async fn stream<Q, A>(&self, method: &'static str, request: Q) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = Request::new(request);
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.server_streaming(request, PathAndQuery::from_static(method), codec).await?.into_inner())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        grpc.ready().await.map_err(|error| {
            let mut status = Status::new(Code::Unavailable, error.to_string());
            status.set_source(std::sync::Arc::new(error));
            status
        })?;
        Ok(grpc)
    }

    /// What a failed first call says about the runtime.
    pub fn refused(&self, status: &Status) -> Error {
        let path = self.socket.clone();
        match status.code() {
            Code::Unimplemented => Error::NoCri { path },
            _ => match innermost(status) {
                Some(reason) => Error::Silent { path, reason },
                None => Error::Failed { path, message: status.message().to_owned() },
            },
        }
    }
}

/// The path in an endpoint: `unix:///run/x.sock`, `unix:/run/x.sock` or the bare path.
pub fn socket_path(endpoint: &str) -> Result<PathBuf, Error> {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(Error::Endpoint { endpoint: endpoint.to_owned() });
    }
    Ok(PathBuf::from(path))
}

async fn knock(socket: &Path) -> Result<(), Error> {
    use std::io::ErrorKind;
    use std::os::unix::fs::FileTypeExt;
    let path = || socket.to_owned();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::Missing { path: path() },
        ErrorKind::PermissionDenied => Error::Denied { path: path() },
        _ => Error::Silent { path: path(), reason: error.to_string() },
    };
    let kind = tokio::fs::metadata(socket).await.map_err(failed)?.file_type();
    if !kind.is_socket() {
        return Err(Error::NotASocket { path: path() });
    }
    match tokio::time::timeout(CONNECT_DEADLINE, UnixStream::connect(socket)).await {
        Ok(connected) => connected.map(drop).map_err(failed),
        Err(_) => Err(Error::Silent { path: path(), reason: "no connection within 5 seconds".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (endpoint, want) in [
            ("unix:///run/containerd/containerd.sock", Some("/run/containerd/containerd.sock")),
            ("unix:/run/c.sock", Some("/run/c.sock")),
            ("/run/c.sock", Some("/run/c.sock")),
            ("run/c.sock", None),
            ("unix://run/c.sock", None),
            ("tcp://127.0.0.1:1", None),
            ("unix:///run/", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(socket_path(endpoint).ok(), want.map(PathBuf::from), "{endpoint:?}");
        }
    }

    #[tokio::test]
    async fn a_bad_socket_is_explained() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("file"), "").expect("a file");
        drop(std::os::unix::net::UnixListener::bind(at("stale")).expect("a socket"));
        for (name, want) in [("none", "does not exist"), ("file", "is not a socket"), ("stale", "nothing answers")] {
            let Err(error) = Connection::open(&at(name)).await else { panic!("{name} was opened") };
            assert!(error.to_string().contains(want), "{name}: {error}");
        }
    }
}
