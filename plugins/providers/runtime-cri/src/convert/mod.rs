//! Between the contract's types and CRI's messages.

mod from_cri;
mod to_cri;

pub use from_cri::*;
pub use to_cri::*;
