//! Why the runtime could not be used, and what gRPC's answers mean to the contract.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use sdk_plugin::node::NodeError;
use tonic::{Code, Status};

/// Why no bridge to the runtime could be made. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{endpoint:?} is no endpoint of a container runtime: give unix:///PATH or /PATH")]
    Endpoint { endpoint: String },
    #[error(
        "no container runtime: {path} does not exist. Start containerd, or name its socket with --runtime-endpoint"
    )]
    Missing { path: PathBuf },
    #[error("{path} is not a socket. Name the container runtime's socket with --runtime-endpoint")]
    NotASocket { path: PathBuf },
    #[error("the container runtime's socket {path} may only be opened by root. Run as root")]
    Denied { path: PathBuf },
    #[error("nothing answers on {path}: {reason}. Start containerd, or name its socket with --runtime-endpoint")]
    Silent { path: PathBuf, reason: String },
    #[error("{name} {version} on {path} is too old. Install containerd 1.6 or newer, which speaks CRI v1")]
    TooOld { name: String, version: String, path: PathBuf },
    #[error(
        "the runtime on {path} does not offer CRI v1. If it is containerd, remove \"cri\" from disabled_plugins in its \
         configuration (mostly /etc/containerd/config.toml) and restart it; it must be 1.6 or newer"
    )]
    NoCri { path: PathBuf },
    #[error("the container runtime on {path} failed: {message}")]
    Failed { path: PathBuf, message: String },
}

impl From<Error> for NodeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { .. } | Error::Silent { .. } | Error::Failed { .. } => Self::Unavailable(error.to_string()),
            Error::TooOld { .. } | Error::NoCri { .. } => Self::Unimplemented(error.to_string()),
            Error::Endpoint { .. } | Error::NotASocket { .. } | Error::Denied { .. } => Self::Failed(error.to_string()),
        }
    }
}

/// What an answer other than OK means.
///
/// containerd gives `Unknown` for much that has a better code; where the contract's callers act on the difference, its
/// words decide. A status with a cause did not come from the runtime: it broke on the way, under several codes.
pub fn node_error(status: &Status, socket: &Path) -> NodeError {
    let message = status.message().to_owned();
    match (status.code(), innermost(status)) {
        // The client's own deadline comes as `Cancelled`, the server's as `DeadlineExceeded`.
        (Code::DeadlineExceeded | Code::Cancelled, _) => NodeError::Deadline(message),
        (_, Some(reason)) => {
            NodeError::Unavailable(format!("the container runtime does not answer on {}: {reason}", socket.display()))
        }
        (Code::NotFound, None) => NodeError::NotFound(message),
        (Code::AlreadyExists, None) => NodeError::AlreadyExists(message),
        (Code::Unimplemented, None) => NodeError::Unimplemented(message),
        (Code::Unavailable, None) => NodeError::Unavailable(message),
        // "failed to reserve container name ...: name ... is reserved for ..."
        (Code::Unknown, None) if message.contains("is reserved for") => NodeError::AlreadyExists(message),
        (Code::Unknown, None) if message.contains("context deadline exceeded") => NodeError::Deadline(message),
        _ => NodeError::Failed(message),
    }
}

/// The deepest cause below a status that did not come from the runtime but from the way to it.
pub fn innermost(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_what_callers_act_on() {
        let reserved = "failed to reserve container name \"a_b\": name \"a_b\" is reserved for \"12\"";
        for (code, message, want) in [
            (Code::NotFound, "no such container", "NotFound"),
            (Code::AlreadyExists, "exists", "AlreadyExists"),
            (Code::Unknown, reserved, "AlreadyExists"),
            (Code::Unknown, "timeout 1s exceeded: context deadline exceeded", "Deadline"),
            (Code::Unknown, "runc create failed", "Failed"),
            (Code::DeadlineExceeded, "late", "Deadline"),
            (Code::Cancelled, "Timeout expired", "Deadline"),
            (Code::Unavailable, "going away", "Unavailable"),
            (Code::Unimplemented, "unknown method", "Unimplemented"),
            (Code::InvalidArgument, "bad", "Failed"),
        ] {
            let error = node_error(&Status::new(code, message), Path::new("/run/x.sock"));
            assert!(format!("{error:?}").starts_with(want), "{code:?} {message}: {error:?}");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn what_broke_on_the_way_can_be_tried_again() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let status = Status::from_error(Box::new(reset));
        let error = node_error(&status, Path::new("/run/x.sock"));
        assert!(matches!(&error, NodeError::Unavailable(message) if message.contains("/run/x.sock")), "{error:?}");
    }

    #[test]
    fn each_message_says_what_to_do() {
        let path = PathBuf::from("/run/c.sock");
        for (error, advice) in [
            (Error::Missing { path: path.clone() }, "Start containerd"),
            (Error::Denied { path: path.clone() }, "Run as root"),
            (Error::NoCri { path: path.clone() }, "disabled_plugins"),
            (Error::TooOld { name: "containerd".into(), version: "1.4.13".into(), path }, "1.6 or newer"),
        ] {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
