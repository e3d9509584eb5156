//! How a plugin that is not built in comes to run: one [`Loader`] a transport, found by its name.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sdk_contract::{Descriptor, OwnedFrame, Permissions, Reply, Transport};

/// What is to be loaded.
#[derive(Clone)]
pub struct LoadRequest {
    /// The name of the `Plugin` object.
    pub plugin: String,
    /// Counts the loads of this plugin, from 1.
    pub generation: u64,
    pub source: Source,
    /// What was granted of what it asks for. Empty while only its descriptor is wanted.
    pub permissions: Permissions,
    pub limits: Limits,
    /// Whether native code may run in this process instead of a child.
    pub in_process: bool,
    /// What answers the plugin's own calls.
    pub host: Arc<dyn HostApi>,
}

/// Where a plugin's code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of the kernel's own, fetched and verified. `digest` is `sha256:…`.
    File { path: PathBuf, digest: String },
    /// A program that the kernel runs; a file of it was verified, too.
    Command { program: PathBuf, arguments: Vec<String> },
    /// Somebody else runs it: `unix:///…` or `https://…`.
    Endpoint { address: String },
}

/// Bounds of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub memory_bytes: u64,
    /// Calls at once.
    pub concurrency: u32,
    pub request_bytes: usize,
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, concurrency: 8, request_bytes: 8 << 20, reply_bytes: 4 << 20 }
    }
}

/// What a plugin's own calls reach, with its identity and its permissions.
#[async_trait]
pub trait HostApi: Send + Sync + 'static {
    async fn call(&self, frame: OwnedFrame) -> Result<Reply, sdk_contract::Fault>;
    /// A line of the plugin's log; level 1 is error, 5 is trace.
    fn log(&self, level: u8, target: &str, message: &str);
}

/// A generation of a plugin that has been loaded, and not yet configured.
pub struct Loaded {
    pub descriptor: Descriptor,
    pub transport: Arc<dyn Transport>,
}

/// Why a plugin cannot be loaded. The message names what to change.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The artifact is not what this transport runs: a truncated file, another architecture, a forbidden build.
    #[error("{0}")]
    Artifact(String),
    /// It needs what was not granted.
    #[error("{0}")]
    Denied(String),
    /// It speaks another version.
    #[error("{0}")]
    Incompatible(String),
    /// It could not be started now; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// Makes running plugins of artifacts, for one transport.
#[async_trait]
pub trait Loader: Send + Sync + 'static {
    /// `native`, `wasm` or `remote`.
    fn transport(&self) -> &'static str;
    /// Loads and describes. Nothing of the plugin answers calls before it is configured and started, by
    /// [`Transport::control`]. Dropping the transport lets go of everything, without leaving a process behind.
    async fn load(&self, request: LoadRequest) -> Result<Loaded, LoadError>;
}
