//! `generic-garbage-collector`: what is owned goes with its owners.
//!
//! Every object is planned by itself: as a dependent, where it names owners, and as an owner, where it is being deleted
//! and waits for its dependents. A dependent is deleted only when a live read has shown that its owners are gone, and
//! only in the very state that was looked at. Source: Kubernetes documentation, "Garbage Collection"; upstream's
//! `garbagecollector.attemptToDeleteItem`.

mod dependent;
mod owner;

use std::any::Any;
use std::sync::Arc;

use sdk_api::{GroupResource, Key, Object, OwnerRef};
use sdk_client::Patch;
use sdk_plugin::{DynController, Plan, View, Watch};
use serde_json::{Value, json};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

pub struct GarbageCollector;

impl DynController for GarbageCollector {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn resource(&self) -> Option<GroupResource> {
        None
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::everything(keys_of)]
    }

    fn plan(&self, view: &View<'_>, _key: &Key, object: Option<&Arc<Object>>) -> Plan {
        let Some(object) = object else { return Plan::nothing() };
        if object.meta().is_deleting() {
            if has_finalizer(object, ORPHAN) {
                return owner::orphan_dependents(view, object);
            }
            if has_finalizer(object, FOREGROUND) {
                return owner::wait_for_dependents(view, object);
            }
            return Plan::nothing();
        }
        if object.meta().owner_references.is_empty() {
            return Plan::nothing();
        }
        dependent::plan(view, object)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whom a change of an object concerns: itself, its dependents where it goes, and owners that wait for it.
fn keys_of(view: &View<'_>, object: &Object) -> Vec<Key> {
    let meta = object.meta();
    let waits = meta.is_deleting() && (has_finalizer(object, ORPHAN) || has_finalizer(object, FOREGROUND));
    let is_here = view.cache.get(object.key()).is_some_and(|now| now.uid() == object.uid());
    let mut keys = Vec::new();
    if is_here && (waits || !meta.owner_references.is_empty()) {
        keys.push(object.key().clone());
    }
    if !is_here || meta.is_deleting() {
        keys.extend(dependents(view, object.uid()).iter().map(|dependent| dependent.key().clone()));
    }
    for reference in &meta.owner_references {
        let Found::Here(owner) = find(view, object, reference) else { continue };
        if owner.meta().is_deleting() && has_finalizer(&owner, FOREGROUND) {
            keys.push(owner.key().clone());
        }
    }
    keys
}

fn has_finalizer(object: &Object, name: &str) -> bool {
    object.meta().finalizers.iter().any(|finalizer| finalizer == name)
}

/// All objects that name `uid` as an owner.
fn dependents(view: &View<'_>, uid: &str) -> Vec<Arc<Object>> {
    view.cache.resources().iter().flat_map(|resource| view.cache.owned_by(resource, uid)).collect()
}

/// What the cache knows of an owner.
enum Found {
    Here(Arc<Object>),
    /// Nobody of this uid has the key.
    Absent(Key),
    /// A cluster-scoped object cannot be owned by one that lives in a namespace.
    Misplaced,
    /// Its kind is not served, or not cached (yet).
    Unknown,
}

fn find(view: &View<'_>, object: &Object, reference: &OwnerRef) -> Found {
    let Some((resource, is_namespaced)) = view.cache.resolve(&reference.api_version, &reference.kind) else {
        return Found::Unknown;
    };
    if is_namespaced && object.namespace().is_empty() {
        return Found::Misplaced;
    }
    // An owner lives in the dependent's namespace, or in none.
    let namespace = if is_namespaced { object.namespace() } else { "" };
    let key = Key::new(&resource, namespace, &reference.name);
    match view.cache.get(&key).filter(|owner| owner.uid() == reference.uid) {
        Some(owner) => Found::Here(owner),
        None if view.cache.resources().contains(&resource) => Found::Absent(key),
        None => Found::Unknown,
    }
}

/// A patch of the metadata that holds only for the state that was looked at.
fn metadata_patch(object: &Object, fields: Value) -> Patch {
    let mut metadata = fields;
    metadata["uid"] = object.uid().into();
    metadata["resourceVersion"] = object.revision().to_string().into();
    Patch::merge(json!({"metadata": metadata}))
}

/// The owner references of an object as they are stored, without those that `drops` chooses. Merge patches replace lists
/// whole, and every kind understands them.
fn references_without(object: &Object, drops: impl Fn(&str) -> bool) -> Value {
    let all = object.document()["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let kept: Vec<_> =
        all.into_iter().filter(|reference| !drops(reference["uid"].as_str().unwrap_or_default())).collect();
    if kept.is_empty() { Value::Null } else { kept.into() }
}

#[cfg(test)]
mod tests;
