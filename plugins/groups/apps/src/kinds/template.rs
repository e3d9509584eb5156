//! What the kinds of this group check alike: the selector, the pod template under it, counts in a status.

use sdk_api::k8s_openapi::api::core::v1::PodTemplateSpec;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sdk_api::{LabelSelector as Matcher, Violations, checks};
use sdk_plugin::{Column, cells};
use serde_json::json;

/// The wide columns of kinds with a pod template.
pub const CONTAINERS: Column = Column::compute("Containers", cells::template_containers)
    .wide()
    .describe("Names of each container in the template.");
/// See [`CONTAINERS`].
pub const IMAGES: Column = Column::compute("Images", cells::template_images)
    .wide()
    .describe("Images referenced by each container in the template.");
/// See [`CONTAINERS`].
pub const SELECTOR: Column = Column::compute("Selector", cells::spec_selector).wide();

/// The selector must name something and be well formed. `kind` is how the message calls the owner.
pub fn selector(found: &mut Violations, selector: &LabelSelector, kind: &str) {
    if selector.match_labels.is_none() && selector.match_expressions.is_none() {
        found.required("spec.selector", "");
        return;
    }
    checks::label_selector(found, "spec.selector", selector);
    if checks::is_empty_selector(selector) {
        found.invalid("spec.selector", json!(selector), format!("empty selector is invalid for {kind}"));
    }
}

/// The template must carry what the selector asks for, be a valid template, and run for ever. `kind` is how messages
/// call the owner.
pub fn template(found: &mut Violations, selector: &LabelSelector, template: &PodTemplateSpec, kind: &str) {
    let given = template.metadata.as_ref().and_then(|meta| meta.labels.clone());
    let labels = given.clone().unwrap_or_default();
    match Matcher::from_typed(selector) {
        Err(_) => found.invalid("spec.selector", json!(selector), "invalid label selector"),
        // A missing selector matches nothing; an empty one would match everything.
        Ok(matcher) => {
            let missing = selector.match_labels.is_none() && selector.match_expressions.is_none();
            if missing || !matcher.matches(&labels) {
                found.invalid(
                    "spec.template.metadata.labels",
                    json!(given),
                    "`selector` does not match template `labels`",
                );
            }
        }
    }
    found.extend(sdk_workload::validate_template(template, "spec.template", sdk_workload::Options::default()));
    let Some(spec) = &template.spec else { return };
    if let Some(policy) = spec.restart_policy.as_deref().filter(|policy| *policy != "Always") {
        found.not_supported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        found.forbidden("spec.template.spec.activeDeadlineSeconds", why);
    }
}

/// Disks that only one node can write must be read-only where several pods have them. Disks that the stored object has
/// already stay.
pub fn read_only_disks(found: &mut Violations, template: &PodTemplateSpec, old: Option<&PodTemplateSpec>) {
    let volumes = |template: &PodTemplateSpec| template.spec.as_ref().and_then(|spec| spec.volumes.clone());
    let before = old.and_then(volumes).unwrap_or_default();
    for (at, volume) in volumes(template).iter().flatten().enumerate().filter(|(_, volume)| !before.contains(volume)) {
        if volume.gce_persistent_disk.as_ref().is_some_and(|disk| disk.read_only != Some(true)) {
            found.invalid(
                format!("spec.template.spec.volumes[{at}].gcePersistentDisk.readOnly"),
                false,
                "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only",
            );
        }
    }
}

/// Counts of a status must not be negative.
pub fn counts(found: &mut Violations, counts: &[(&str, Option<i64>)]) {
    for (name, count) in counts {
        checks::not_negative(found, format!("status.{name}"), *count);
    }
}

/// Counts of a status that are part of another count.
pub fn parts_of(found: &mut Violations, whole: (&str, Option<i32>), parts: &[(&str, Option<i32>)]) {
    let whole_count = whole.1.unwrap_or(0);
    for (name, count) in parts {
        if let Some(count) = count.filter(|count| *count > whole_count) {
            found.invalid(format!("status.{name}"), count, format!("cannot be greater than {}", whole.0));
        }
    }
}

/// A collision count only grows, since it is part of the names of children.
pub fn collisions(found: &mut Violations, new: Option<i32>, old: Option<i32>) {
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        found.invalid("status.collisionCount", new.unwrap_or(0), "cannot be decremented");
    }
}

#[cfg(test)]
pub(super) mod samples {
    //! Documents for the tests of this group.

    use serde_json::{Value, json};

    /// A spec that is valid for every kind here, changed at some paths; `null` takes a field away.
    pub fn spec(changes: &[(&str, Value)]) -> Value {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        });
        for (path, value) in changes {
            let (parents, last) = path.rsplit_once('.').map_or((None, *path), |(parents, last)| (Some(parents), last));
            let parent = parents.into_iter().flat_map(|p| p.split('.')).fold(&mut spec, |at, field| &mut at[field]);
            if value.is_null() {
                parent.as_object_mut().expect("the parent is an object").remove(last);
            } else {
                parent[last] = value.clone();
            }
        }
        spec
    }
}
