//! Events of a plugin about objects.

use serde::{Deserialize, Serialize};

pub use crate::points::Done;
use crate::points::ObjectRef;

/// An event about an object. Source: `events.k8s.io/v1` Event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Note {
    /// Names the API version and kind, too, since events are about kinds.
    pub regarding: ObjectRef,
    pub api_version: String,
    pub kind: String,
    /// Whether it is a `Warning`.
    pub warning: bool,
    /// In upper camel case.
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    pub note: String,
}

crate::extension_point! {
    /// Tells people what happened.
    pub trait HostEvents: 0x101, "events", versions 1..=1, vectors "../../../vectors/host-events.json" {
        1 once record(Note) -> Done;
    }
}
