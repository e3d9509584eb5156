//! The load generator: measures an API server of this machine over its real door.

pub mod connection;
pub mod drive;
pub mod kubeconfig;
pub mod process;
pub mod ready;
pub mod report;
pub mod watch;
pub mod work;
