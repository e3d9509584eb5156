//! What a request meets before its object is looked at, one file a step; `spine.rs` says in which order.

pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod flow;
pub mod impersonate;
