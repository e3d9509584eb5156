//! Scheduler: a plugin takes part in placing pods. Nodes are numbers, methods take all nodes at once, and numbers cross as
//! little-endian arrays in blobs. Order and meaning are those of the scheduling framework (KEP-624).

use serde::{Deserialize, Serialize};

pub use super::Done;
use super::ObjectRef;

/// What changed in the snapshot since the last one; `full` begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotDelta {
    pub generation: u64,
    pub full: bool,
    pub upserts: Vec<NodeEntry>,
    /// Numbers of nodes that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<u32>,
}

/// A node: its number, and the blobs that hold it and its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeEntry {
    pub index: u32,
    pub name: String,
    pub node: u32,
    /// A JSON array of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<u32>,
    pub pod_count: u32,
}

/// A pod in one scheduling cycle. Blob 0 is the pod; where nodes are asked about, blob 1 is their numbers (u32).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCycle {
    /// What the plugin keeps for the cycle it keeps under this number.
    pub cycle: u64,
    pub pod: ObjectRef,
    /// The one node, where the method is about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_index: Option<u32>,
}

/// Codes of the framework. The zero value is success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    #[default]
    Success,
    /// The plugin itself failed.
    Error,
    Unschedulable,
    UnschedulableAndUnresolvable,
    /// The pod waits, at most as long as said.
    Wait,
    /// The plugin has nothing to do here.
    Skip,
}

/// How a step ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    pub code: Code,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// With `Wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
    /// The only nodes in question, after `pre_filter`; the node to nominate, after `post_filter`. By name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
}

/// Which nodes fit. Blob 0 has a byte a node, in the order asked: 0 fits, else N is `reasons[N-1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filtered {
    pub reasons: Vec<FilterReason>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterReason {
    pub message: String,
    /// Whether removing pods could not help.
    pub unresolvable: bool,
}

/// The scores. Blob 0 has an i64 a node, in the order asked; `normalise` says what is still to be done with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scored {
    pub normalise: Normalise,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Normalise {
    /// They are 0 to 100.
    #[default]
    None,
    /// The highest becomes 100, the lowest 0.
    Linear,
    /// The lowest becomes 100, the highest 0.
    Reverse,
}

/// A pod that waits to be scheduled. Blob 0 is the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueuedPod {
    pub pod: ObjectRef,
    /// RFC 3339.
    pub queued_at: String,
    pub attempts: u32,
}

/// The place in the queue: blob 0, compared as bytes; the least is first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKey {}

/// Something changed in the cluster. Blob 0 is the pod that waits, blob 1 the object that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterEvent {
    pub pod: ObjectRef,
    pub resource: String,
    /// `add`, `update` or `delete`.
    pub action: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hint {
    /// Whether the pod may fit now.
    pub queue: bool,
}

/// What if these pods were added to, or removed from, a node? Blobs are the pods: first those added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WhatIf {
    pub cycle: u64,
    pub node_index: u32,
    pub added: u32,
    pub removed: u32,
}

/// A cycle's state is copied, for trying out a preemption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fork {
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CycleEnd {
    pub cycle: u64,
}

crate::extension_point! {
    /// Takes part in placing pods. 19 to 21 are kept for pod signatures and the placement of groups.
    pub trait SchedulerPlugin: 6, "scheduler", versions 1..=1, vectors "../../vectors/scheduler.json" {
        /// The nodes, before a cycle.
        1 idempotent sync(SnapshotDelta) -> Done;
        /// Whether a pod may enter the queue.
        2 idempotent pre_enqueue(QueuedPod) -> Step;
        /// QueueSort: computed once a pod.
        3 idempotent sort_key(QueuedPod) -> SortKey;
        /// Whether a change is worth trying a pod again.
        4 idempotent hint(ClusterEvent) -> Hint;
        5 once pre_filter(PodCycle) -> Step;
        6 idempotent filter(PodCycle) -> Filtered;
        /// AddPod and RemovePod.
        7 once what_if(WhatIf) -> Step;
        8 once fork(Fork) -> Done;
        9 idempotent end(CycleEnd) -> Done;
        10 idempotent post_filter(PodCycle) -> Step;
        11 once pre_score(PodCycle) -> Step;
        12 idempotent score(PodCycle) -> Scored;
        13 once reserve(PodCycle) -> Step;
        /// May come without `reserve`.
        14 idempotent unreserve(PodCycle) -> Done;
        15 once permit(PodCycle) -> Step;
        16 once pre_bind(PodCycle) -> Step;
        /// `Skip` leaves it to others.
        17 once bind(PodCycle) -> Step;
        18 idempotent post_bind(PodCycle) -> Done;
    }
}
