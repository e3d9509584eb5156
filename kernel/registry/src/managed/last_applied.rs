//! The annotation of client-side apply, as long as both ways to apply are in use. Source: KEP-555, "kubectl apply".

use sdk_schema::fields::{self, Set};
use serde_json::Value;

use super::Work;
use crate::meta::ANNOTATIONS_BYTES_MAX;

/// The one manager that the annotation is for.
pub const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][ANNOTATION].as_str().filter(|text| !text.is_empty())
}

/// The fields that the annotation states and that are still as it states them.
pub fn owned(work: &Work<'_>, live: &Value) -> Option<Set> {
    let config: Value = serde_json::from_str(annotation(live)?).ok()?;
    if config["apiVersion"] != work.version {
        return None;
    }
    let schema = work.versions.schema(work.version);
    fields::check(schema.as_ref(), &config).ok()?;
    let found = fields::compare(schema.as_ref(), &config, live);
    let stated = fields::fields_of(schema.as_ref(), &config);
    Some(stated.difference(&found.modified).difference(&found.added).difference(&found.removed))
}

/// Keeps the annotation up to date where there is one, so that client-side apply can be taken up again.
pub fn renew(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
        if annotations.is_empty()
            && let Some(metadata) = config["metadata"].as_object_mut()
        {
            metadata.remove("annotations");
        }
    }
    let text = format!("{config}\n");
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else { return };
    let others: usize = annotations
        .iter()
        .filter(|(name, _)| *name != ANNOTATION)
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if others + ANNOTATION.len() + text.len() > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    } else {
        annotations.insert(ANNOTATION.into(), text.into());
    }
}
