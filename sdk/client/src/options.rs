//! What a call says: verbs, targets, options, and what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::{GroupResource, Object};
use serde_json::Value;

/// Who acts: the user info of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Subject {
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..Self::default() }
    }

    /// A service account, with the groups that its tokens give.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let group = format!("system:serviceaccounts:{namespace}");
        Self::new(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &group, "system:authenticated"],
        )
    }
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: GroupResource,
    /// The version to speak; `None` is the one objects are stored in.
    pub version: Option<String>,
    /// Empty for cluster-scoped kinds, and to list all namespaces.
    pub namespace: String,
    /// Empty for collections and creations.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

/// Options of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// 0 is no limit.
    pub limit: usize,
    /// Where the last page ended; empty starts.
    pub continue_token: String,
    /// `None` is the newest.
    pub resource_version: Option<u64>,
}

/// Options of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// Send what happened after this revision. `None` sends the present state first, then a bookmark that says it is
    /// complete, then what happens.
    pub resource_version: Option<u64>,
}

/// What a patch is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Lists merge by key. Built-in kinds only.
    Strategic,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pub kind: PatchKind,
    pub body: Value,
}

impl Patch {
    pub fn merge(body: Value) -> Self {
        Self { kind: PatchKind::Merge, body }
    }

    pub fn json(body: Value) -> Self {
        Self { kind: PatchKind::Json, body }
    }

    pub fn strategic(body: Value) -> Self {
        Self { kind: PatchKind::Strategic, body }
    }
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// Options of a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Delete only this incarnation.
    pub uid: Option<String>,
    /// Delete only this state.
    pub resource_version: Option<u64>,
    /// `None` is the kind's default.
    pub propagation: Option<Propagation>,
    /// `None` is what the object says.
    pub grace_period_seconds: Option<i64>,
}

impl DeleteOptions {
    pub fn of_uid(uid: &str) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }
}

/// One call. Which of the options apply depends on the verb.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub target: Target,
    /// The object of a creation or update.
    pub body: Option<Value>,
    pub patch: Option<Patch>,
    pub list: ListOptions,
    pub delete: DeleteOptions,
}

/// A page of a collection.
#[derive(Clone, Debug, Default)]
pub struct ObjectList {
    pub objects: Vec<Arc<Object>>,
    /// The revision of the snapshot; a watch from here misses nothing.
    pub revision: u64,
    /// Empty on the last page.
    pub continue_token: String,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    Added(Arc<Object>),
    Modified(Arc<Object>),
    /// The last state, with the deletion's revision.
    Deleted(Arc<Object>),
    /// Nothing else happened up to this revision.
    Bookmark {
        revision: u64,
        /// The present state has been sent in full.
        initial_end: bool,
    },
}
