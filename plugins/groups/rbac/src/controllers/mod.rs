//! The controllers of this group.

pub mod aggregation;
