//! Runs plugins: the tables they fill, and the tasks that run in the background.

pub mod host;
mod leader;
pub mod load;
pub mod task;

pub use host::Host;
pub use load::{HostApi, Limits, LoadError, LoadRequest, Loaded, Loader, Source};
pub use task::{OnFailure, Row, Stage, State, Task, TaskTable};
