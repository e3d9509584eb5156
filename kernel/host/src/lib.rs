//! Runs plugins: the tables they fill, and the tasks that run in the background.

pub mod host;
mod leader;
pub mod task;

pub use host::Host;
pub use task::{OnFailure, Row, Stage, State, Task, TaskTable};
