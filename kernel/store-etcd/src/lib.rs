//! The store contract over etcd v3: an index in memory fed by one watch, and writes as guarded transactions.

mod address;
mod barrier;
mod commit;
mod compactor;
mod connection;
mod error;
mod feed;
mod layout;
mod load;
mod pending;
mod proto;
mod record;
mod store;
pub mod testing;
mod value;

pub use address::{Address, TlsFiles};
pub use error::Error;
pub use store::{EtcdStore, Options};
