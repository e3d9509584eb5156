//! `VolumeAttachment`: the wish, and the fact, that a volume is attached to a node.

use sdk_api::k8s_openapi::api::storage::v1::VolumeAttachment;
use sdk_api::{Violations, checks};
use sdk_plugin::{Column, Kind, Strategy};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::path("Attacher", ".spec.attacher").typed("string"),
    Column::path("PV", ".spec.source.persistentVolumeName"),
    Column::path("Node", ".spec.nodeName"),
    Column::compute("Attached", |attachment, _| attachment["status"]["attached"].as_bool().unwrap_or(false).into())
        .typed("boolean"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeAttachmentStrategy).columns(COLUMNS).status().revision_required()
}

struct VolumeAttachmentStrategy;
impl Strategy for VolumeAttachmentStrategy {
    type Object = VolumeAttachment;

    fn validate(&self, new: &VolumeAttachment, old: Option<&VolumeAttachment>) -> Violations {
        let mut found = Violations::default();
        if new.spec.attacher.is_empty() {
            found.required("spec.attacher", "");
        }
        if new.spec.node_name.is_empty() {
            found.required("spec.nodeName", "");
        }
        match (&new.spec.source.persistent_volume_name, &new.spec.source.inline_volume_spec) {
            (None, None) => {
                found.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (Some(_), Some(_)) => {
                found.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (Some(name), None) if name.is_empty() => {
                found.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName");
            }
            _ => {}
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec", &new.spec, &old.spec);
        }
        found
    }
}
