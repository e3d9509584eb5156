//! The commands, one file each.

pub mod down;
pub mod images;
pub mod reset;
pub mod server;
pub mod status;
pub mod up;
pub mod version;
