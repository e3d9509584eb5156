//! Frames of watch events, encoded once for all the watches that tell the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kernel_wire::MediaType;
use sdk_plugin::Kind;

/// How many frames are kept. Watches that follow tell the newest few; who catches up encodes for itself.
const FRAMES_MAX: usize = 64;
/// A larger frame costs more in memory than its encoding does in time.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// What makes two frames the same: a revision belongs to one state of one object.
#[derive(Clone)]
pub struct Which {
    pub revision: u64,
    /// `ADDED` and so on.
    pub event: &'static str,
    pub kind: Arc<Kind>,
    pub media_type: MediaType,
}

impl Which {
    fn is(&self, other: &Self) -> bool {
        self.revision == other.revision
            && self.event == other.event
            && self.media_type == other.media_type
            && Arc::ptr_eq(&self.kind, &other.kind)
    }
}

/// The newest frames, newest last.
#[derive(Default)]
pub struct Frames(Mutex<VecDeque<(Which, Bytes)>>);

impl Frames {
    pub fn get(&self, which: &Which) -> Option<Bytes> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().rev().find(|(known, _)| known.is(which)).map(|(_, frame)| frame.clone())
    }

    pub fn put(&self, which: Which, frame: &Bytes) {
        if frame.len() > FRAME_BYTES_MAX {
            return;
        }
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() >= FRAMES_MAX {
            frames.pop_front();
        }
        frames.push_back((which, frame.clone()));
    }
}

#[cfg(test)]
mod tests {
    use kernel_wire::{Offer, negotiate};
    use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Secret};

    use super::*;

    #[test]
    fn only_the_same_is_shared_and_old_ones_go() {
        let frames = Frames::default();
        let agreed = |accept| negotiate(Some(accept), &Offer::WATCH).unwrap();
        let kind = Arc::new(Kind::plain::<ConfigMap>());
        let which =
            |revision| Which { revision, event: "ADDED", kind: kind.clone(), media_type: agreed("application/json") };
        frames.put(which(7), &Bytes::from_static(b"seven"));
        assert_eq!(frames.get(&which(7)).as_deref(), Some(&b"seven"[..]));
        let other = Arc::new(Kind::plain::<Secret>());
        for (case, different) in [
            ("revision", which(8)),
            ("event", Which { event: "MODIFIED", ..which(7) }),
            ("kind", Which { kind: other, ..which(7) }),
            ("format", Which { media_type: agreed("application/vnd.kubernetes.protobuf"), ..which(7) }),
        ] {
            assert_eq!(frames.get(&different), None, "{case}");
        }
        frames.put(which(9), &Bytes::from(vec![0; FRAME_BYTES_MAX + 1]));
        assert_eq!(frames.get(&which(9)), None, "too large");
        (100..100 + FRAMES_MAX as u64).for_each(|revision| frames.put(which(revision), &Bytes::new()));
        assert_eq!((frames.get(&which(7)), frames.get(&which(100))), (None, Some(Bytes::new())));
    }
}
