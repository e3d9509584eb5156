//! Revisions, history, compaction, transactions: the store contract, its backends and the index they share.

mod contract;
pub mod index;
mod log;
mod memory;
mod seeded;
mod stage;
pub mod suite;

pub use contract::{
    COMMIT_WRITES_MAX, Commit, Committed, Error, Event, EventKind, Floor, History, IndexBy, Limits, ListQuery, Page,
    Precondition, Put, RevisionHole, Store, Write,
};
pub use log::{Disk, DiskFile, FaultDisk, LogStore, OpenError, Options, RealDisk, Recovery, Torn};
pub use memory::MemoryStore;
