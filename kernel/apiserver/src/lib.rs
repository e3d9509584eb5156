//! The API server: from TCP to the registry and back. `spine.rs` lists what a request meets.

mod body;
mod discovery;
mod health;
mod info;
mod listen;
mod local;
mod metrics;
mod openapi;
mod options;
mod respond;
mod server;
mod spine;
mod stall;
mod steps;
mod verbs;

pub use discovery::Discovery;
pub use health::{Check, Health};
pub use listen::{ListenError, Listener};
pub use local::LocalClients;
pub use openapi::{Form, OpenApi, Packed};
pub use server::{ApiServer, NodeClient, Settings};
