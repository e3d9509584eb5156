//! What acts on API services.

mod autoregister;
mod local;

pub use autoregister::Autoregister;
