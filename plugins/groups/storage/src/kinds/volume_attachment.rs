//! `VolumeAttachment`: the wish, and the fact, that a volume is attached to a node.

use sdk_api::domains::each_invalid;
use sdk_api::k8s_openapi::api::storage::v1::VolumeAttachment;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

use super::drivers;

/// Bytes of what an attacher says of an attachment.
const METADATA_MAX: usize = 256 << 10;
/// Bytes of an error's message.
const MESSAGE_MAX: usize = 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column { format: "name", ..Column::path("Attacher", ".spec.attacher") },
    Column::path("PV", ".spec.source.persistentVolumeName"),
    Column::path("Node", ".spec.nodeName"),
    Column::compute("Attached", |attachment, _| attachment["status"]["attached"].as_bool().unwrap_or(false).into())
        .typed("boolean"),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(VolumeAttachmentStrategy).columns(COLUMNS).delete_answers_object().status().revision_required()
}

struct VolumeAttachmentStrategy;
impl Strategy for VolumeAttachmentStrategy {
    type Object = VolumeAttachment;

    fn validate(&self, new: &VolumeAttachment, old: Option<&VolumeAttachment>) -> Violations {
        let mut found = Violations::default();
        if new.spec.attacher.is_empty() {
            found.required("spec.attacher", "");
        }
        let (volume, inline) = (&new.spec.source.persistent_volume_name, &new.spec.source.inline_volume_spec);
        match (volume.as_deref(), inline) {
            (None, None) => found.required("spec.source", ONE_SOURCE),
            (Some(_), Some(_)) => found.forbidden("spec.source", ONE_SOURCE),
            (Some(""), None) => {
                found.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName");
            }
            _ => {}
        }
        let node = new.spec.node_name.as_str();
        each_invalid(&mut found, "spec.nodeName", node, names::dns1123_subdomain(node));
        match old {
            None => {
                drivers::driver(&mut found, "spec.attacher", &new.spec.attacher);
                if let Some(name) = volume {
                    let problems = names::dns1123_subdomain(name);
                    each_invalid(&mut found, "spec.source.persistentVolumeName", name, problems);
                }
            }
            Some(old) => checks::unchanged(&mut found, "spec", &new.spec, &old.spec),
        }
        found
    }

    fn validate_status(&self, new: &VolumeAttachment, _old: &VolumeAttachment) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        let metadata = status.attachment_metadata.iter().flatten();
        if metadata.map(|(key, value)| key.len() + value.len()).sum::<usize>() > METADATA_MAX {
            found.too_long("status.attachmentMetadata", METADATA_MAX);
        }
        for (name, error) in [("attachError", &status.attach_error), ("detachError", &status.detach_error)] {
            let Some(error) = error else { continue };
            if error.message.as_ref().is_some_and(|message| message.len() > MESSAGE_MAX) {
                found.too_long(format!("status.{name}.message"), METADATA_MAX);
            }
            if let Some(code) = error.error_code.filter(|code| *code < 0) {
                let why = format!("must be between 0 and {}, inclusive", i32::MAX);
                found.invalid(format!("status.{name}.errorCode"), code, why);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn attachment(spec: Value, status: Value) -> VolumeAttachment {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn attachments_are_checked() {
        let spec = |source: Value| json!({"attacher": "d.io", "nodeName": "n", "source": source});
        for (case, spec, wrong) in [
            ("plain", spec(json!({"persistentVolumeName": "v"})), vec![]),
            ("of nothing", spec(json!({})), vec!["spec.source"]),
            ("of two", spec(json!({"persistentVolumeName": "v", "inlineVolumeSpec": {}})), vec!["spec.source"]),
            (
                "of no name",
                spec(json!({"persistentVolumeName": ""})),
                vec!["spec.source.persistentVolumeName", "spec.source.persistentVolumeName"],
            ),
            (
                "by nobody, to nowhere",
                json!({"attacher": "", "nodeName": "", "source": {"persistentVolumeName": "v"}}),
                vec!["spec.attacher", "spec.nodeName", "spec.attacher", "spec.attacher"],
            ),
        ] {
            let new = attachment(spec, json!(null));
            assert_eq!(VolumeAttachmentStrategy.validate(&new, None).fields(), wrong, "{case}");
        }
        let one = |volume: &str| attachment(spec(json!({"persistentVolumeName": volume})), json!(null));
        assert!(VolumeAttachmentStrategy.validate(&one("v"), Some(&one("v"))).is_empty());
        assert_eq!(VolumeAttachmentStrategy.validate(&one("w"), Some(&one("v"))).fields(), ["spec"]);
    }

    #[test]
    fn a_status_is_short() {
        let spec = json!({"attacher": "d.io", "nodeName": "n", "source": {"persistentVolumeName": "v"}});
        for (case, status, wrong) in [
            ("attached", json!({"attached": true, "attachmentMetadata": {"a": "b"}}), vec![]),
            (
                "too much",
                json!({"attached": false, "attachmentMetadata": {"a": "x".repeat(256 << 10)},
                    "attachError": {"message": "x".repeat(1025)}, "detachError": {"errorCode": -1}}),
                vec!["status.attachmentMetadata", "status.attachError.message", "status.detachError.errorCode"],
            ),
        ] {
            let new = attachment(spec.clone(), status);
            assert_eq!(VolumeAttachmentStrategy.validate_status(&new, &new).fields(), wrong, "{case}");
        }
    }
}
