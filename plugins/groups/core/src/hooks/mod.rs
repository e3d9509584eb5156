//! What Services reserve when they are written: cluster IPs and node ports.

mod pool;
mod service;

pub use service::ServiceHook;
