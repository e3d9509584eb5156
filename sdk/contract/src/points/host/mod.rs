//! The other direction: what a plugin asks of the kernel, with its own identity and within its permissions. The same frame,
//! the same macro; log lines go beside it.

pub mod client;
pub mod events;
