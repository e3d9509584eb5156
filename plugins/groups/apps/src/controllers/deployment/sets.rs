//! The ReplicaSets of a deployment as one pass works on them: copies, and what of them is to be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, ReplicaSet, ReplicaSetCondition, ReplicaSetSpec,
};
use sdk_api::k8s_openapi::api::core::v1::PodTemplateSpec;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sdk_api::{GroupResource, Key, Timestamp};
use sdk_client::Patch;
use sdk_plugin::{Plan, PlannedWrite, WriteNote};
use serde_json::json;

use super::hash::{HASH_LABEL, comparable};
use crate::controllers::note::Notes;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// The longest history of revisions kept in an annotation, in bytes. Source: `maxRevHistoryLengthInChars`.
const HISTORY_BYTES_MAX: usize = 2000;

/// A deployment's annotations that are not handed on to its sets.
const NOT_INHERITED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// One ReplicaSet: what it is, and what it shall become.
pub(super) struct Set {
    pub name: String,
    namespace: String,
    pub uid: String,
    pub created: Option<Timestamp>,
    pub is_deleting: bool,
    pub status_replicas: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: Option<i32>,
    pub failure: Option<ReplicaSetCondition>,
    is_observed: bool,
    pub replicas: i32,
    pub annotations: BTreeMap<String, String>,
    pub min_ready_seconds: i32,
    before: Before,
}

/// What a set is before the pass.
enum Before {
    /// It stands in the store.
    Stored(Arc<ReplicaSet>),
    /// It is to be made, from this.
    Absent(Box<ReplicaSet>),
}

/// The numbers written to each set for proportional scaling: how many pods are wanted, and how many there may be.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub desired: i32,
    pub max: i32,
}

impl Set {
    fn stored(set: Arc<ReplicaSet>) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let spec = set.spec.as_ref();
        let conditions = status.conditions.into_iter().flatten();
        Self {
            name: set.metadata.name.clone().unwrap_or_default(),
            namespace: set.metadata.namespace.clone().unwrap_or_default(),
            uid: set.metadata.uid.clone().unwrap_or_default(),
            created: set.metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_deleting: set.metadata.deletion_timestamp.is_some(),
            status_replicas: status.replicas,
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            terminating: status.terminating_replicas,
            failure: conditions.into_iter().find(|condition| condition.type_ == "ReplicaFailure"),
            is_observed: status.observed_generation >= set.metadata.generation,
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            annotations: set.metadata.annotations.clone().unwrap_or_default(),
            min_ready_seconds: spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
            before: Before::Stored(set),
        }
    }

    /// The set of a deployment's present template, still without pods.
    pub fn made_for(deployment: &Deployment, spec: &DeploymentSpec, collision_count: Option<i32>) -> Self {
        let hash = sdk_workload::template_hash(&spec.template, collision_count);
        let mut template = spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.into(), hash.clone());
        let labels = labels.clone();
        let mut selector = spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.into(), hash.clone());
        let metadata = ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default())),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![sdk_workload::controller_ref(deployment)]),
            ..ObjectMeta::default()
        };
        let spec = ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds.filter(|seconds| *seconds > 0),
            selector,
            template: Some(template),
        };
        let set = ReplicaSet { metadata, spec: Some(spec), status: None };
        let empty = Self::stored(Arc::new(set.clone()));
        Self { before: Before::Absent(Box::new(set)), ..empty }
    }

    pub fn key(&self) -> Key {
        Key::of::<ReplicaSet>(&self.namespace, &self.name)
    }

    pub fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
    }

    /// Without pods, and its controller has seen that none are wanted.
    pub fn is_idle(&self) -> bool {
        self.status_replicas == 0 && self.replicas == 0 && self.is_observed
    }

    /// A number noted at the set.
    pub fn noted(&self, annotation: &str) -> Option<i32> {
        self.annotations.get(annotation)?.parse().ok()
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.annotations.insert(DESIRED.into(), limits.desired.to_string());
        self.annotations.insert(MAX.into(), limits.max.to_string());
    }

    /// Takes over the deployment's annotations, and the revision if it is a newer one. Source:
    /// `SetNewReplicaSetAnnotations`.
    pub fn inherit(&mut self, annotations: &BTreeMap<String, String>, revision: i64) {
        for (key, value) in annotations.iter().filter(|(key, _)| !NOT_INHERITED.contains(&key.as_str())) {
            self.annotations.insert(key.clone(), value.clone());
        }
        let old = self.annotations.get(REVISION).cloned();
        let is_newer = old.as_ref().is_none_or(|old| old.parse::<i64>().is_ok_and(|old| old < revision));
        if !is_newer {
            return;
        }
        self.annotations.insert(REVISION.into(), revision.to_string());
        if let Some(old) = old {
            let history = self.annotations.remove(REVISION_HISTORY).unwrap_or_default();
            self.annotations.insert(REVISION_HISTORY.into(), extended(&history, &old));
        }
    }

    /// The writes that make the stored set what it shall be.
    pub fn write(&self, plan: Plan, notes: &Notes) -> Plan {
        match &self.before {
            Before::Absent(set) => {
                let mut set = (**set).clone();
                set.metadata.annotations = Some(self.annotations.clone());
                set.spec.get_or_insert_default().replicas = Some(self.replicas);
                let message = format!("Scaled up replica set {} from 0 to {}", self.name, self.replicas);
                let failed = format!("Failed to create new replica set {:?}: {{error}}", self.name);
                let note = WriteNote {
                    success: (self.replicas > 0).then(|| notes.normal("ScalingReplicaSet", message)),
                    failure: Some(notes.warning("ReplicaSetCreateError", failed)),
                };
                plan.write(PlannedWrite::Create {
                    resource: GroupResource::of::<ReplicaSet>(),
                    namespace: self.namespace.clone(),
                    body: serde_json::to_value(set).expect("API types encode as JSON"),
                    note,
                })
            }
            Before::Stored(set) => self.write_changes(set, plan, notes),
        }
    }

    fn write_changes(&self, set: &ReplicaSet, plan: Plan, notes: &Notes) -> Plan {
        let mut body = json!({});
        let spec = set.spec.as_ref();
        let before = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        if before != self.replicas {
            body["spec"]["replicas"] = self.replicas.into();
        }
        if spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0) != self.min_ready_seconds {
            body["spec"]["minReadySeconds"] = self.min_ready_seconds.into();
        }
        let old = set.metadata.annotations.clone().unwrap_or_default();
        for (key, value) in self.annotations.iter().filter(|(key, value)| old.get(*key) != Some(value)) {
            body["metadata"]["annotations"][key] = value.as_str().into();
        }
        if body.as_object().is_none_or(serde_json::Map::is_empty) {
            return plan;
        }
        // On the state that was looked at, or not at all.
        body["metadata"]["resourceVersion"] = set.metadata.resource_version.clone().into();
        let direction = if self.replicas > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {before} to {}", self.name, self.replicas);
        let success = (before != self.replicas).then(|| notes.normal("ScalingReplicaSet", message));
        plan.write(PlannedWrite::Patch {
            key: self.key(),
            subresource: "",
            patch: Patch::merge(body),
            note: WriteNote { success, failure: None },
        })
    }
}

/// A comma-separated history with one more entry; the oldest go where it gets too long.
fn extended(history: &str, entry: &str) -> String {
    let mut entries: Vec<&str> = history.split(',').filter(|entry| !entry.is_empty()).collect();
    entries.push(entry);
    let length = |entries: &[&str]| entries.iter().map(|entry| entry.len() + 1).sum::<usize>();
    let mut start = 0;
    while length(&entries[start..]) > HISTORY_BYTES_MAX + 1 && start + 1 < entries.len() {
        start += 1;
    }
    entries[start..].join(",")
}

/// All sets of a deployment, the oldest first.
pub(super) struct Sets {
    sets: Vec<Set>,
    new: Option<usize>,
}

impl Sets {
    /// The new set is the oldest of those that have the template.
    pub fn new(template: &PodTemplateSpec, claimed: Vec<Arc<ReplicaSet>>) -> Self {
        let wanted = comparable(template);
        let mut claimed = claimed;
        claimed.sort_by(|a, b| {
            let age = |set: &ReplicaSet| (set.metadata.creation_timestamp.clone(), set.metadata.name.clone());
            age(a).cmp(&age(b))
        });
        let has_template = |set: &Arc<ReplicaSet>| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.is_some_and(|template| comparable(template) == wanted)
        };
        let new = claimed.iter().position(has_template);
        Self { sets: claimed.into_iter().map(Set::stored).collect(), new }
    }

    pub fn add_new(&mut self, set: Set) {
        self.new = Some(self.sets.len());
        self.sets.push(set);
    }

    pub fn new_set(&self) -> Option<&Set> {
        self.new.map(|at| &self.sets[at])
    }

    pub fn new_mut(&mut self) -> Option<&mut Set> {
        self.new.map(|at| &mut self.sets[at])
    }

    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter()
    }

    pub fn all_mut(&mut self) -> &mut [Set] {
        &mut self.sets
    }

    /// Oldest first.
    pub fn old(&self) -> impl Iterator<Item = &Set> {
        let new = self.new;
        self.sets.iter().enumerate().filter(move |(at, _)| Some(*at) != new).map(|(_, set)| set)
    }

    /// Oldest first.
    pub fn old_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        let new = self.new;
        self.sets.iter_mut().enumerate().filter(move |(at, _)| Some(*at) != new).map(|(_, set)| set)
    }

    /// Those that want pods, by their places.
    pub fn active(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|at| self.sets[*at].replicas > 0).collect()
    }

    pub fn total(&self) -> i32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    pub fn total_available(&self) -> i32 {
        self.sets.iter().map(|set| set.available).sum()
    }

    pub fn max_old_revision(&self) -> i64 {
        self.old().map(Set::revision).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_stay_short() {
        assert_eq!(extended("", "1"), "1");
        assert_eq!(extended("1,2", "3"), "1,2,3");
        let long = (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let shorter = extended(&long, "1000");
        assert!(shorter.len() <= HISTORY_BYTES_MAX && shorter.ends_with(",999,1000"), "{}", shorter.len());
    }
}
