//! Bytes to objects and back: JSON, YAML, negotiation, watch frames.
//!
//! A request's body goes `decode` → [`Identity::of`] → `sdk_schema::check`; an answer goes [`negotiate`] → [`list`],
//! [`watch_frame`] or the stored bytes themselves → [`render`] → [`gzip`].

mod decode;
mod error;
mod go_json;
mod identity;
mod negotiate;
pub mod protobuf;
mod write;
mod yaml_in;
mod yaml_out;

pub use decode::{ContentType, DEPTH_MAX, Decoded, PatchType, decode, decode_object};
pub use error::WireError;
pub use identity::{Identity, missing_kind, summary};
pub use negotiate::{Format, MediaType, Offer, Transform, accepts_gzip, choose, negotiate};
pub use write::{
    GZIP_BYTES_MIN, ListHead, gzip, list, list_chunks, pretty_json, render, render_frame, render_list, watch_frame,
};
pub use yaml_out::{json_to_yaml, to_yaml};
