//! The scheduler: gives every pod a node.
//!
//! [`core::Core`] takes changes in and gives decisions out; [`plan::Planner`] decides on one pod; `act` carries decisions
//! out; [`agent`] connects them to the API. The plugins that decide stand in [`plugins`], one file each.

mod act;
pub mod agent;
pub mod class;
pub mod cluster;
pub mod core;
pub mod diagnosis;
pub mod event;
pub mod framework;
pub mod node;
mod node_selector;
pub mod plan;
pub mod plugins;
pub mod pod;
mod queue;
pub mod random;

pub use agent::{Scheduler, Settings};
