//! The messages of CRI v1 (package `runtime.v1`) that the bridge sends and reads, as prost structs.
//!
//! Only the fields in use are here: protobuf skips what it does not know, so a runtime of any v1 age is understood. Tags
//! are the wire format and never change. Source: the Kubernetes container runtime interface, v1.

mod container;
mod image;
mod sandbox;
mod service;

pub use container::*;
pub use image::*;
pub use sandbox::*;
pub use service::*;

/// A message without fields in use.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

/// A number that may be absent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Int64Value {
    #[prost(int64, tag = "1")]
    pub value: i64,
}

/// A count that may be absent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UInt64Value {
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}
