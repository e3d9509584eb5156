//! The one frame: `(method, meta, head, blobs) -> (head, blobs)`, in either direction.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A method of an extension point: the point's number in the upper half, the method's in the lower. Assigned once, never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MethodId(pub u32);

impl MethodId {
    pub const fn new(point: u16, method: u16) -> Self {
        Self((point as u32) << 16 | method as u32)
    }

    pub const fn point(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// 0 to 63, so that what a plugin implements fits a bitmap.
    pub const fn method(self) -> u16 {
        self.0 as u16
    }
}

/// What is true of a call, whatever it asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallMeta {
    /// Unique among the calls of a plugin's generation.
    pub call_id: u64,
    /// 0 for the first try.
    #[serde(default)]
    pub attempt: u8,
    /// Milliseconds that are left. Relative, so that clocks need not agree.
    pub deadline_ms: u32,
    /// A W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    #[serde(default)]
    pub dry_run: bool,
    /// The version of the point that was negotiated.
    pub point_version: u16,
}

/// Bulk bytes beside a head, which refers to them by position: objects as the store holds them, little-endian arrays.
pub type Blobs = SmallVec<[Bytes; 2]>;

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub method: MethodId,
    pub meta: &'a CallMeta,
    /// JSON, small.
    pub head: &'a [u8],
    pub blobs: &'a [Bytes],
}

impl Frame<'_> {
    /// Copies the head, shares the blobs.
    pub fn to_owned(&self) -> OwnedFrame {
        OwnedFrame {
            method: self.method,
            meta: self.meta.clone(),
            head: Bytes::copy_from_slice(self.head),
            blobs: self.blobs.iter().cloned().collect(),
        }
    }
}

/// A call that outlives its caller's borrow.
#[derive(Clone, Debug)]
pub struct OwnedFrame {
    pub method: MethodId,
    pub meta: CallMeta,
    pub head: Bytes,
    pub blobs: Blobs,
}

impl OwnedFrame {
    pub fn borrow(&self) -> Frame<'_> {
        Frame { method: self.method, meta: &self.meta, head: &self.head, blobs: &self.blobs }
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub head: Bytes,
    pub blobs: Blobs,
}
