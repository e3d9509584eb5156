//! The node agent: observe, plan, act, report.

mod container;
mod eviction;
mod fleet;
mod kubelet;
mod logs;
mod node;
mod objects;
mod observe;
mod pod;
mod probe;
mod reflector;
mod running;
pub mod server;
mod settings;
mod volumes;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use container::cgroups::are_writable as cgroups_are_writable;
pub use eviction::EvictionHard;
pub use fleet::Fleet;
pub use kubelet::Kubelet;
pub use node::machine::Machine;
pub use server::NodeServer;
pub use settings::{Capacity, Ground, Limits, Settings};
