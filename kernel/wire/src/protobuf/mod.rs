//! Kubernetes' protobuf: what a typed Go client sends unless it is told otherwise.
//!
//! A body is the four bytes `k8s\0` and the message `runtime.Unknown`, which names the object's apiVersion and kind and
//! carries the object's own message, `{1: {1: apiVersion, 2: kind}, 2: object, 3: encoding, 4: content type}`. Here one
//! codec walks the tables of [`sdk_schema::protobuf`]; the tree between is the one that the JSON form of the object has.
//! Source: Kubernetes API concepts, "Kubernetes Protobuf encoding".

mod decode;
mod encode;
mod reader;

use sdk_api::GroupVersionKind;
use sdk_schema::Schemas;

pub use decode::decode;
pub use encode::{encode, encode_list, watch_frame};

/// Whether a kind has a protobuf form, which custom resources have not. Asks the schemas, so that the tables of numbers
/// are not put together before somebody speaks protobuf.
pub fn speaks(kind: &GroupVersionKind) -> bool {
    Schemas::builtin().kind(kind).is_some()
}

/// What every body starts with.
const MAGIC: &[u8; 4] = b"k8s\0";

/// 0001-01-01T00:00:00Z, which Go's zero `Time` is and which has no fields on the wire.
const GO_ZERO_SECOND: i64 = -62_135_596_800;
