//! The watch bus: a watch is a cursor over the store's events. It keeps no queue: when it is slow, it falls behind the
//! store's history and ends with an error; it never skips.

mod cursor;
mod filter;

pub use cursor::{Item, Start, Watch, WatchError};
pub use filter::{Filter, Selects, with_revision};
