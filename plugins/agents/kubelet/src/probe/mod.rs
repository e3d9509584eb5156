//! Probes: is a container started, alive, ready?

pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod runner;
mod verdict;

pub(crate) use verdict::{ProbeKind, Verdicts};
