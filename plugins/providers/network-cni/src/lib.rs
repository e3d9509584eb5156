//! The CNI configuration of a node: a file in the runtime's folder, from the node's pod networks.

mod conflist;
mod network;

pub use conflist::{CONFLIST_FILE, Link, NETWORK_NAME};
pub use network::{CniNetwork, Settings};
