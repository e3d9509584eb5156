//! The API client of a plugin. Every call passes the ordinary authorizer as `system:plugin:NAME`.

use serde::{Deserialize, Serialize};

use crate::points::ObjectRef;
use crate::points::shared::is_zero;

/// One object. An answer has it in blob 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Get {
    pub object: ObjectRef,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// A page of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct List {
    pub group: String,
    pub resource: String,
    /// Empty for all namespaces.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_selector: String,
    /// Objects in the page, at most 500; 0 is 500.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u32,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
}

/// The objects are the blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
}

/// A write; blob 0 is the object, or the patch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Write {
    pub object: ObjectRef,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// A change of one object; blob 0 is the patch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PatchWrite {
    pub object: ObjectRef,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    pub patch_type: PatchType,
    /// With `apply`.
    pub force: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchType {
    /// RFC 7386.
    #[default]
    Merge,
    /// RFC 6902.
    Json,
    Strategic,
    /// Server-side apply; the field manager is `plugin:NAME`.
    Apply,
}

/// The name and revision that a write left; blob 0 is the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Written {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
}

crate::extension_point! {
    /// The API, as the plugin.
    pub trait HostClient: 0x100, "client", versions 1..=1, vectors "../../../vectors/host-client.json" {
        /// `NotFound` where there is none.
        1 idempotent get(Get) -> Written;
        2 idempotent list(List) -> Page;
        3 once create(Write) -> Written;
        /// Replaces. `Conflict` where the revision is not the newest.
        4 idempotent update(Write) -> Written;
        5 once patch(PatchWrite) -> Written;
        6 idempotent delete(Write) -> Written;
    }
}
