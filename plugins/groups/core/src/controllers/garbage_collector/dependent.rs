//! An object with owners: it stays while one of them is solid.

use std::sync::Arc;

use sdk_api::{Key, Object, OwnerRef};
use sdk_client::{DeleteOptions, Propagation};
use sdk_plugin::{EventNote, EventType, Plan, View};
use serde_json::{Value, json};

use super::{FOREGROUND, Found, ORPHAN, dependents, find, has_finalizer, metadata_patch, references_without};

/// Where an owner's kind is not known, nothing tells when it is, or that the owner has gone meanwhile: the object is looked at
/// again, ever more rarely, as upstream does.
pub(super) fn plan(view: &View<'_>, object: &Arc<Object>) -> Plan {
    let is_unknown = |reference: &OwnerRef| matches!(find(view, object, reference), Found::Unknown);
    let unknown = object.meta().owner_references.iter().find(|reference| is_unknown(reference));
    let mut plan = of_known(view, object);
    plan.retry =
        plan.retry.or_else(|| unknown.map(|owner| format!("{} {} is not known", owner.api_version, owner.kind)));
    plan
}

fn of_known(view: &View<'_>, object: &Arc<Object>) -> Plan {
    let (mut solid, mut absent, mut waiting) = (0, Vec::new(), Vec::new());
    for reference in &object.meta().owner_references {
        match find(view, object, reference) {
            Found::Here(owner) if owner.meta().is_deleting() && has_finalizer(&owner, FOREGROUND) => {
                waiting.push(reference.uid.clone());
            }
            Found::Here(_) | Found::Unknown => solid += 1,
            Found::Absent(key) => absent.push((key, reference.uid.clone())),
            Found::Misplaced => return misplaced(object, reference),
        }
    }
    if absent.is_empty() && waiting.is_empty() {
        return Plan::nothing();
    }
    let plan = confirm_gone(&absent);
    if solid > 0 {
        // Another owner holds it; only the references go.
        let is_lost = |uid: &str| absent.iter().any(|(_, of)| of == uid) || waiting.iter().any(|of| of == uid);
        let kept = references_without(object, is_lost);
        return plan.patch(object.key().clone(), "", metadata_patch(object, json!({"ownerReferences": kept})));
    }
    if !waiting.is_empty() {
        let own = dependents(view, object.uid());
        if !own.is_empty() {
            return delete_in_foreground(plan, object, &own);
        }
    }
    let propagation = if has_finalizer(object, ORPHAN) {
        Propagation::Orphan
    } else if has_finalizer(object, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    plan.delete(object.key().clone(), as_seen(object, propagation))
}

/// Each owner that the cache does not show is asked for at the server.
fn confirm_gone(absent: &[(Key, String)]) -> Plan {
    absent.iter().fold(Plan::nothing(), |plan, (key, uid)| plan.confirm_gone(key.clone(), uid))
}

/// An owner waits for this object, which has dependents itself: it waits for them in turn. Where one of those waits
/// already, they are a circle, and nobody blocks anybody.
fn delete_in_foreground(mut plan: Plan, object: &Arc<Object>, own: &[Arc<Object>]) -> Plan {
    let is_circle = own.iter().any(|dependent| dependent.meta().is_deleting() && has_finalizer(dependent, FOREGROUND));
    if is_circle {
        let mut references = object.document()["metadata"]["ownerReferences"].clone();
        for reference in references.as_array_mut().into_iter().flatten() {
            reference["blockOwnerDeletion"] = Value::Bool(false);
        }
        if references != object.document()["metadata"]["ownerReferences"] {
            let patch = metadata_patch(object, json!({"ownerReferences": references}));
            return plan.patch(object.key().clone(), "", patch);
        }
    }
    plan = plan.delete(object.key().clone(), as_seen(object, Propagation::Foreground));
    plan
}

/// Deletes the very state that was looked at, or nothing.
fn as_seen(object: &Object, propagation: Propagation) -> DeleteOptions {
    DeleteOptions {
        resource_version: Some(object.revision()),
        propagation: Some(propagation),
        ..DeleteOptions::of_uid(object.uid())
    }
}

/// Left alone, and told. Source: Kubernetes documentation, "Owners and Dependents".
fn misplaced(object: &Object, reference: &OwnerRef) -> Plan {
    let message = format!(
        "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {:?}",
        reference.api_version,
        reference.kind,
        object.namespace(),
        reference.name,
        reference.uid,
        object.namespace()
    );
    Plan::nothing().event(EventNote {
        regarding: json!({"apiVersion": object.api_version(), "kind": object.kind(), "name": object.name(),
            "uid": object.uid()}),
        kind: EventType::Warning,
        reason: "OwnerRefInvalidNamespace".into(),
        message,
    })
}
