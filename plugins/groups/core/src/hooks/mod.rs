//! What Services reserve when they are written: cluster IPs and node ports.

mod claims;
mod pool;
mod service;

pub use claims::SharedServiceHook;
pub use service::ServiceHook;
