//! Ownership through the `scale` subresource: a Scale's replicas are a field of its parent.

use sdk_api::Status;
use sdk_plugin::Part;
use serde_json::{Value, json};

use super::entry::{self, Entry};
use super::written_by;
use sdk_schema::fields::Set;

/// The configuration of the parent that a configuration of its Scale means.
pub fn config_of_parent(part: &dyn Part, live: &Value, scale: &Value) -> Result<Value, Status> {
    let mut config = json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {}});
    // What else a Scale says of its parent is checked, not changed.
    for field in ["name", "namespace", "uid", "resourceVersion"] {
        if let Some(value) = scale["metadata"].get(field) {
            config["metadata"][field] = value.clone();
        }
    }
    if !scale["spec"]["replicas"].is_null() {
        part.write(&mut config, scale)?;
    }
    Ok(config)
}

/// The managed fields of a Scale: those entries of its parent that own the replicas.
pub(crate) fn shown_in_scale(part: &dyn Part, parent: &Value) -> Option<Value> {
    let replicas = written_by(part);
    let entries = entry::read(&parent["metadata"]["managedFields"]).ok()?;
    let of_scale = |entry: Entry| {
        entry.meets(&replicas).then(|| {
            let set = Set::of_path(&["spec", "replicas"]);
            let mut shown = Entry::new(&entry.manager, entry.operation, "autoscaling/v1", &entry.subresource, set);
            shown.time = entry.time;
            shown
        })
    };
    entry::write(entries.into_iter().filter_map(of_scale).collect())
}
