//! What tests are made of: a clock that stands still, an API server in memory, a cache of fixed objects, builders.

pub mod api;
pub mod build;
pub mod cache;
pub mod clock;
pub mod discovery;
pub mod wait;

pub use api::{FakeApi, WriteRecord};
pub use build::Build;
pub use cache::FixedCache;
pub use clock::ManualClock;
pub use wait::{settle, until};
