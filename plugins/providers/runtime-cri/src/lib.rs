//! A node runtime over CRI v1: containerd and its kind.
//!
//! - [`CriRuntime`]: the contract [`sdk_plugin::node::NodeRuntime`], spoken to a runtime's unix socket.
//! - [`images`]: image archives: build, read, and load them into containerd.

mod connection;
mod convert;
mod error;
mod events;
pub mod images;
mod info;
mod proto;
mod runtime;

pub use error::Error;
pub use info::RuntimeInfo;
pub use runtime::{CriRuntime, DEFAULT_ENDPOINT};
