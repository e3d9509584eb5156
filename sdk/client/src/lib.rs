//! The API client: the same calls in process or over the network.
//!
//! Whoever acts on the cluster does so through a [`Client`], which carries an identity. In process its transport hands
//! out the store's own shared objects without encoding them.

mod client;
mod options;

pub use client::{Client, Clients, Transport, WatchStream};
pub use options::{
    DeleteOptions, ListOptions, ObjectList, Patch, PatchKind, Propagation, Request, Subject, Target, Verb, WatchEvent,
    WatchOptions,
};
