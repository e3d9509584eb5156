//! Container logs: parse, rotate, read.

pub(crate) mod parse;
pub(crate) mod read;
pub(crate) mod rotate;
