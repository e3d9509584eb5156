//! Why an etcd store could not be opened.

use std::path::PathBuf;

use tonic::Status;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of etcd.
    #[error("{text:?} is no address of etcd: {why}; it looks like etcd://HOST:2379,HOST:2379/PREFIX")]
    Address { text: String, why: &'static str },
    /// A file with a certificate or key cannot be used.
    #[error("cannot use {}: {why}", path.display())]
    Certificate { path: PathBuf, why: String },
    /// No endpoint answered in time, or one refused.
    #[error("etcd at {endpoints} does not answer: {why}")]
    Silent { endpoints: String, why: String },
}

/// The innermost reason of a failed call: gRPC's own message is mostly "transport error".
pub(crate) fn reason(status: &Status) -> String {
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        reason = error.to_string();
        source = error.source();
    }
    reason
}
