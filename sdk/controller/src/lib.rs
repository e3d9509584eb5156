//! The one harness that runs controllers: shared informers, work queue, plan and act, events, leader election.

pub mod cache;
pub mod catalogue;
pub mod inbox;
pub mod informer;
pub mod lease;
pub mod queue;
pub mod recorder;
pub mod run;
pub mod store;

mod act;
mod correlate;

pub use cache::InformerCache;
pub use catalogue::Catalogue;
pub use inbox::Inbox;
pub use informer::{Handler, Informer, Informers};
pub use lease::{LeaderElection, LeaseSettings};
pub use queue::WorkQueue;
pub use recorder::EventRecorder;
pub use run::{Harness, identity, run_controllers};
