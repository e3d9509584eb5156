//! The kind table, and all that is true of every kind: reading, writing, deleting, watching, patches, columns.

mod actions;
mod admit;
mod columns;
mod delete;
mod document;
mod expire;
mod managed;
mod meta;
mod options;
pub mod patch;
mod read;
mod registry;
mod rules;
mod scale;
mod select;
mod table;
mod watch;
mod write;

pub use columns::{table_header, table_row};
pub use delete::Deletion;
pub use options::{
    ApplyPatch, Caller, DeleteRequest, FieldValidation, Input, ListRequest, PatchFormat, RevisionMatch, Warnings,
    WatchRequest,
};
pub use read::{ObjectPage, selector};
pub use registry::{Registry, Setup};
pub use table::KindTable;
pub use watch::{WatchItem, Watching};
pub use write::{Change, Updated};
