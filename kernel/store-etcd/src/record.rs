//! What is written beside an object by each commit, under one key: who, when, and what a deletion leaves to say.
//!
//! The key gets the same revision as the object, so it serves three ends. The values of objects stay plain JSON. A
//! deletion, which has no value of its own, still tells its author and its final state. And the revision of this one key is
//! the newest of all that was committed under the prefix, which is what a consistent read needs to know.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kernel_store::RevisionHole;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::value;

/// The value of the key `last-commit`, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Which server wrote, and the number of the commit there: it finds its own commits by it.
    pub id: String,
    pub time: Timestamp,
    pub author: Arc<str>,
    /// Of a deletion: the final state, if it differs from the stored one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Box<RawValue>>,
}

impl Record {
    /// `last` must be a JSON document.
    pub fn new(id: String, time: Timestamp, author: Arc<str>, last: Option<&RevisionHole>) -> Result<Self, String> {
        let raw = |hole: &RevisionHole| {
            let text = String::from_utf8(value::closed(hole).to_vec()).map_err(|error| error.to_string())?;
            RawValue::from_string(text).map_err(|error| error.to_string())
        };
        Ok(Self { id, time, author, last: last.map(raw).transpose()? })
    }

    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("plain data encodes").into()
    }

    /// What other programs wrote there says nothing.
    pub fn decode(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_default()
    }

    /// The final state of a deletion.
    pub fn last(&self) -> Option<RevisionHole> {
        value::open(&Bytes::copy_from_slice(self.last.as_ref()?.get().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_the_bytes_of_a_last_state() {
        let hole = RevisionHole {
            head: Bytes::from_static(br#"{ "n": 1.50, "metadata":{"resourceVersion":""#),
            tail: Bytes::from_static(br#""}}"#),
        };
        let time = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap();
        let record = Record::new("ab-1".into(), time, "ann".into(), Some(&hole)).unwrap();
        let again = Record::decode(&record.encode());
        assert_eq!((&*again.id, &*again.author, again.time), ("ab-1", "ann", time));
        assert_eq!(again.last().unwrap().fill(9), hole.fill(9));
        assert!(Record::decode(b"not ours").last().is_none());
    }
}
