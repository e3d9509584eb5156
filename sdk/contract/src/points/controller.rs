//! Controller: a plugin is a function of a key. The kernel owns informers, queue, retries, lease and finalizer.

use serde::{Deserialize, Serialize};

use super::{GroupVersionResource, ObjectRef};

/// The question for what the kernel is to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchesQuery {}

/// What a controller follows. Asked once, after `Start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Watches {
    /// Its keys are what is reconciled.
    pub primary: GroupVersionResource,
    /// A change brings the primary that owns it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<GroupVersionResource>,
    /// A change is mapped to keys by [`Controller::map`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<GroupVersionResource>,
    /// Whether primaries are kept by a finalizer until [`Controller::finalize`] is done with them.
    pub finalizes: bool,
}

/// A key. Blob 0 is the object, where there is one; an object that is gone has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reconcile {
    pub key: ObjectRef,
    pub gone: bool,
    /// How often this key failed in a row.
    pub failures: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "next")]
pub enum Next {
    /// Nothing, until something changes.
    #[default]
    Done,
    /// The same key again, then.
    After {
        #[serde(rename = "milliseconds")]
        milliseconds: u64,
    },
}

/// An object that changed; blob 0 is it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    pub object: ObjectRef,
}

/// The primaries that a change concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Keys {
    pub keys: Vec<ObjectRef>,
}

crate::extension_point! {
    /// Compares wanted with observed, and acts through the host's client.
    pub trait Controller: 7, "controller", versions 1..=1, vectors "../../vectors/controller.json" {
        /// One key.
        1 idempotent reconcile(Reconcile) -> Next;
        /// Keys of an object that is neither primary nor owned.
        2 idempotent map(Source) -> Keys;
        /// One key that is being deleted; `Done` lets it go.
        3 idempotent finalize(Reconcile) -> Next;
        /// What it follows.
        4 idempotent watches(WatchesQuery) -> Watches;
    }
}
