//! `runtime-sim`: a node runtime without containers, so that thousands of nodes fit in one process.

mod address;
mod behaviour;
mod runtime;

pub use behaviour::PREFIX;
pub use runtime::{Delay, Delays, Settings, SimRuntime};
