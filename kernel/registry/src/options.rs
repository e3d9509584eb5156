//! What a request brings to the registry: who calls, what they send, and how they want it treated.

use std::sync::Mutex;

use bytes::Bytes;
use sdk_api::{FieldSelector, LabelSelector};
use sdk_client::{Propagation, Subject};
use serde_json::Value;

/// What the server does with fields it does not know. Source: the `fieldValidation` query parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Warnings for the client, collected along the way.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    pub fn add(&self, warning: String) {
        let mut all = self.0.lock().expect("no one panics while adding a warning");
        if !all.contains(&warning) {
            all.push(warning);
        }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no one panics while adding a warning"))
    }
}

/// Who writes, and how.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub user: &'a Subject,
    pub warnings: &'a Warnings,
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Who owns what the write changes: the `fieldManager` of the request, or what its user agent starts with. At most
    /// 128 printable characters; empty is `unknown`.
    pub manager: &'a str,
}

/// A decoded body.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub tree: Value,
    /// Paths of keys that were given twice.
    pub duplicates: Vec<String>,
}

impl From<Value> for Input {
    fn from(tree: Value) -> Self {
        Self { tree, duplicates: Vec::new() }
    }
}

/// What a patch is written in, and its bytes.
#[derive(Clone, Debug)]
pub enum PatchFormat {
    Json(Bytes),
    Merge(Value),
    Strategic(Value),
    Apply(ApplyPatch),
}

/// A configuration to apply. Source: KEP-555.
#[derive(Clone, Debug)]
pub struct ApplyPatch {
    /// The fields that the manager wants, and no others.
    pub config: Value,
    /// Takes fields from other managers instead of failing.
    pub force: bool,
    /// Paths of keys that were given twice.
    pub duplicates: Vec<String>,
}

/// How exactly a revision is meant. Source: the `resourceVersionMatch` query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionMatch {
    Exact,
    NotOlderThan,
}

/// Options of a list, parsed.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// 0 is no limit.
    pub limit: usize,
    pub continue_token: String,
    /// `None` is unset; `Some(0)` is any.
    pub revision: Option<u64>,
    pub revision_match: Option<RevisionMatch>,
}

/// Options of a watch, parsed and completed.
#[derive(Clone, Debug, Default)]
pub struct WatchRequest {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub revision: Option<u64>,
    pub initial_events: bool,
}

/// Options of a deletion.
#[derive(Clone, Debug, Default)]
pub struct DeleteRequest {
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub revision: Option<u64>,
    pub propagation: Option<Propagation>,
}
