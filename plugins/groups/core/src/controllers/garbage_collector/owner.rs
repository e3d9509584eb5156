//! An owner that is being deleted and waits for its dependents.

use std::sync::Arc;

use sdk_api::Object;
use sdk_plugin::{Plan, View};
use serde_json::{Value, json};

use super::{FOREGROUND, ORPHAN, dependents, metadata_patch, references_without};

/// The references go first and then the finalizer, or the dependents would be deleted with their owner.
pub(super) fn orphan_dependents(view: &View<'_>, owner: &Arc<Object>) -> Plan {
    let mut plan = Plan::nothing();
    for dependent in dependents(view, owner.uid()) {
        let kept = references_without(&dependent, |uid| uid == owner.uid());
        let patch = metadata_patch(&dependent, json!({"ownerReferences": kept}));
        plan = plan.patch(dependent.key().clone(), "", patch);
    }
    let is_last = plan.writes.is_empty();
    if is_last {
        return remove_finalizer(plan, owner, ORPHAN);
    }
    // The next plan, on a cache that has seen the patches, finds whoever came meanwhile, or lets the owner go.
    plan.and_look_again_in(std::time::Duration::from_millis(1))
}

/// The owner goes once no dependent is left that blocks it. Its dependents are planned themselves.
pub(super) fn wait_for_dependents(view: &View<'_>, owner: &Arc<Object>) -> Plan {
    let blocks = |dependent: &Arc<Object>| {
        let references = &dependent.meta().owner_references;
        references.iter().any(|reference| reference.uid == owner.uid() && reference.block_owner_deletion)
    };
    if dependents(view, owner.uid()).iter().any(blocks) {
        return Plan::nothing();
    }
    remove_finalizer(Plan::nothing(), owner, FOREGROUND)
}

fn remove_finalizer(plan: Plan, owner: &Arc<Object>, name: &str) -> Plan {
    let kept: Vec<_> = owner.meta().finalizers.iter().filter(|finalizer| *finalizer != name).cloned().collect();
    let kept = if kept.is_empty() { Value::Null } else { kept.into() };
    plan.patch(owner.key().clone(), "", metadata_patch(owner, json!({"finalizers": kept})))
}
