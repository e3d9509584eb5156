//! One pod on this node, from its first look to its last trace.

mod admit;
mod backoff;
mod conditions;
pub(crate) mod end;
mod garbage;
pub(crate) mod labels;
pub(crate) mod members;
pub(crate) mod observed;
pub(crate) mod plan;
mod report;
mod resize;
pub(crate) mod slot;
mod start;
mod status;
#[cfg(test)]
pub(crate) mod test_support;
mod worker;
