//! Admission: a plugin changes or refuses a write before it is stored. Rules and selectors were evaluated before it is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{GroupVersionKind, GroupVersionResource, Status, UserInfo};
use crate::{Blobs, Fault, FaultCode};

/// What a write does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    #[default]
    Create,
    Update,
    Delete,
    Connect,
}

/// A write, without its objects: they are blobs, as JSON, and the head says which. Source of the fields:
/// `admission.k8s.io/v1` AdmissionRequest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Review {
    pub operation: Operation,
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub_resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Empty for a creation with a generated name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub user_info: UserInfo,
    pub dry_run: bool,
    /// The blob with the new state; none for a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// The blob with the stored state, for updates and deletions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_object: Option<u32>,
    /// The blob with the request's options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<u32>,
    /// What the binding asked for beside it: a resource, and the blob with its objects as a JSON array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<ContextBlob>,
}

/// Objects that a binding's `context` attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContextBlob {
    pub resource: String,
    pub blob: u32,
}

/// A plugin's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Verdict {
    pub allowed: bool,
    /// Why not; ignored where it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
    /// Shown to the client as `Warning` headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Noted in the audit log, each key prefixed by the plugin's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<String, String>,
}

/// A change of the object, in a blob of the reply. Only `mutate` may make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Patch {
    /// RFC 6902.
    Json { blob: u32 },
    /// RFC 7386.
    Merge { blob: u32 },
    /// The whole new object.
    Replace { blob: u32 },
}

impl Patch {
    pub fn blob(self) -> u32 {
        match self {
            Self::Json { blob } | Self::Merge { blob } | Self::Replace { blob } => blob,
        }
    }
}

impl Verdict {
    pub fn allow() -> Self {
        Self { allowed: true, ..Self::default() }
    }

    /// 403 with this message.
    pub fn deny(message: impl Into<String>) -> Self {
        Self { status: Some(Status { message: message.into(), ..Status::default() }), ..Self::default() }
    }

    /// Whether the reply makes sense: its patch is there.
    pub fn check(&self, blobs: &Blobs) -> Result<(), Fault> {
        match self.patch {
            Some(patch) if blobs.get(patch.blob() as usize).is_none() => {
                let message = format!("the patch is in blob {}, of {}", patch.blob(), blobs.len());
                Err(Fault::new(FaultCode::Invalid, message))
            }
            _ => Ok(()),
        }
    }
}

crate::extension_point! {
    /// Reviews writes.
    pub trait Admission: 3, "admission", versions 1..=1, vectors "../../vectors/admission.json" {
        /// May change the object. Asked one after the other, in the bindings' order.
        1 idempotent mutate(Review) -> Verdict;
        /// Sees the object as it will be stored. Asked beside others.
        2 idempotent validate(Review) -> Verdict;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_must_be_there() {
        let verdict = Verdict { patch: Some(Patch::Merge { blob: 1 }), ..Verdict::allow() };
        assert_eq!(verdict.check(&Blobs::new()).unwrap_err().code, FaultCode::Invalid);
        let blobs: Blobs = (0..2).map(|_| bytes::Bytes::from_static(b"{}")).collect();
        assert_eq!((verdict.check(&blobs), Verdict::deny("no").check(&Blobs::new())), (Ok(()), Ok(())));
    }
}
