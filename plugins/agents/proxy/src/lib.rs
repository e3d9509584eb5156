//! The service proxy: Services and EndpointSlices to nftables.
//!
//! [`service`] joins what the API says, [`rules`] makes a table of it, [`table`] the transaction between two tables,
//! [`nft`] applies it, [`agent`] keeps at it.

pub mod agent;
pub mod nft;
pub mod rules;
pub mod service;
pub mod table;

pub use agent::{Proxy, Settings};
pub use nft::{Discard, Nft, System};
