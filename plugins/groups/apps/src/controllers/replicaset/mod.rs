//! `replicaset`: keeps as many pods as a ReplicaSet asks for.

mod rank;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use sdk_api::k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sdk_api::{GroupResource, Key, LabelSelector, Object};
use sdk_client::DeleteOptions;
use sdk_plugin::{Controller, Plan, PlannedWrite, View, Watch};
use serde_json::Value;

use super::claim::{Owner, key_of, suitors};
use super::note::Notes;

/// The most pods made or removed by one plan. Source: `BurstReplicas`.
const BURST: usize = 500;

pub struct ReplicaSetController;

impl Controller for ReplicaSetController {
    type Object = ReplicaSet;
    const NAME: &'static str = "replicaset";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<Pod>(keys_of_pod)]
    }

    fn plan(&self, view: &View<'_>, set: &ReplicaSet) -> Plan {
        let Some(spec) = &set.spec else { return Plan::nothing() };
        let Ok(selector) = LabelSelector::from_typed(&spec.selector) else { return Plan::nothing() };
        Replicas {
            key: key_of(set),
            metadata: &set.metadata,
            reference: sdk_workload::controller_ref(set),
            notes: Notes::about(set),
            selector,
            template: spec.template.clone().unwrap_or_default(),
            wanted: spec.replicas.unwrap_or(1).max(0),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            counts_terminating: true,
            status: set.status.clone().unwrap_or_default(),
            with_status: &|status| {
                let new = ReplicaSet { status: Some(status), ..set.clone() };
                serde_json::to_value(new).expect("API types encode as JSON")
            },
        }
        .plan(view)
    }
}

fn keys_of_pod(view: &View<'_>, pod: &Object) -> Vec<Key> {
    match pod.meta().controller() {
        Some(owner) if owner.kind == "ReplicaSet" => vec![Key::of::<ReplicaSet>(pod.namespace(), &owner.name)],
        Some(_) => Vec::new(),
        None => suitors::<ReplicaSet>(view, pod, |set| LabelSelector::from_typed(&set.spec.as_ref()?.selector).ok()),
    }
}

/// What ReplicaSets and ReplicationControllers have in common. Statuses are ReplicaSet's; the other's has the same form.
pub(super) struct Replicas<'a> {
    pub key: Key,
    pub metadata: &'a ObjectMeta,
    pub reference: OwnerReference,
    pub notes: Notes,
    pub selector: LabelSelector,
    pub template: PodTemplateSpec,
    pub wanted: i32,
    pub min_ready_seconds: i32,
    /// Whether the status has `terminatingReplicas`.
    pub counts_terminating: bool,
    pub status: ReplicaSetStatus,
    /// The whole object's document with another status.
    pub with_status: &'a dyn Fn(ReplicaSetStatus) -> Value,
}

impl Replicas<'_> {
    pub fn plan(&self, view: &View<'_>) -> Plan {
        let is_deleting = self.metadata.deletion_timestamp.is_some();
        let owner =
            Owner { key: self.key.clone(), reference: self.reference.clone(), is_deleting, selector: &self.selector };
        let mut plan = Plan::nothing();
        let pods = owner.claim::<Pod>(view, &mut plan);
        let (active, inactive): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| sdk_workload::is_active(pod));
        let terminating = inactive.iter().filter(|pod| sdk_workload::is_terminating(pod)).count();
        let status = self.next_status(view, &active, terminating);
        // A failure is told before the writes below are tried again: where they fail again, the plan ends there.
        let is_told_first = status.conditions != self.status.conditions;
        if is_told_first {
            plan = self.write_status(plan, status.clone());
        }
        if !is_deleting {
            let surplus = active.len() as i64 - i64::from(self.wanted);
            plan = match usize::try_from(surplus) {
                Ok(0) => plan,
                Ok(surplus) => self.remove(view, plan, &active, surplus.min(BURST)),
                Err(_) => self.add(plan, usize::try_from(-surplus).unwrap_or(0).min(BURST)),
            };
        }
        if status != self.status && !is_told_first {
            plan = self.write_status(plan, status);
        }
        match self.next_available(view, &active) {
            Some(after) => plan.and_look_again_in(after),
            None => plan,
        }
    }

    fn write_status(&self, plan: Plan, status: ReplicaSetStatus) -> Plan {
        plan.write(PlannedWrite::Update {
            key: self.key.clone(),
            subresource: "status",
            body: (self.with_status)(status),
            note: Default::default(),
        })
    }

    fn add(&self, mut plan: Plan, count: usize) -> Plan {
        let namespace: &str = &self.key.namespace;
        let mut metadata = self.template.metadata.clone().unwrap_or_default();
        metadata = ObjectMeta {
            generate_name: Some(format!("{}-", self.key.name)),
            namespace: Some(namespace.into()),
            labels: metadata.labels.take(),
            annotations: metadata.annotations.take(),
            finalizers: metadata.finalizers.take(),
            owner_references: Some(vec![self.reference.clone()]),
            ..ObjectMeta::default()
        };
        let pod = Pod { metadata, spec: self.template.spec.clone(), status: None };
        let body = serde_json::to_value(pod).expect("API types encode as JSON");
        for _ in 0..count {
            let note = self
                .notes
                .either(("SuccessfulCreate", "Created pod: {name}"), ("FailedCreate", "Error creating: {error}"));
            let (resource, namespace, body) = (GroupResource::of::<Pod>(), namespace.to_owned(), body.clone());
            plan = plan.write(PlannedWrite::Create { resource, namespace, body, note });
        }
        plan
    }

    fn remove(&self, view: &View<'_>, mut plan: Plan, active: &[Arc<Pod>], count: usize) -> Plan {
        let crowds = self.crowds(view, active);
        for pod in rank::to_remove(active, count, &crowds, view.now) {
            let note = self
                .notes
                .either(("SuccessfulDelete", "Deleted pod: {name}"), ("FailedDelete", "Error deleting: {error}"));
            let options = DeleteOptions::of_uid(pod.metadata.uid.as_deref().unwrap_or_default());
            plan = plan.write(PlannedWrite::Delete { key: key_of(&**pod), options, note });
        }
        plan
    }

    /// How many active pods of the same owner, other sets of it included, run on each node.
    fn crowds(&self, view: &View<'_>, active: &[Arc<Pod>]) -> BTreeMap<String, usize> {
        let mut related: Vec<Arc<Pod>> = active.to_vec();
        let owners = self.metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) {
            for set in view.owned_by::<ReplicaSet>(&owner.uid) {
                let uid = set.metadata.uid.as_deref().unwrap_or_default();
                if uid != self.reference.uid {
                    related.extend(view.owned_by::<Pod>(uid));
                }
            }
        }
        let mut crowds = BTreeMap::new();
        for pod in related.iter().filter(|pod| sdk_workload::is_active(pod)) {
            if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
                *crowds.entry(node).or_default() += 1;
            }
        }
        crowds
    }
}

#[cfg(test)]
mod tests;
