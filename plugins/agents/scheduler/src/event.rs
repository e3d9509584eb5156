//! What happened in the cluster, as far as it can make a rejected pod fit.

use crate::class::Class;
use crate::cluster::{NodeChange, NodeIx};

/// Plugins say which of these could undo their rejection of a pod.
#[derive(Clone, Copy, Debug)]
pub enum ClusterEvent<'a> {
    /// A node is new, or its facts changed.
    Node(NodeIx, NodeChange),
    /// A node is gone, which matters to who compares domains.
    NodeRemoved,
    /// A pod was placed, or changed its labels.
    PodPlaced(&'a Class),
    /// A pod left its node, or takes less of it.
    PodRemoved(&'a Class),
    /// A pod is being deleted, and still there.
    PodLeaving(&'a Class),
    /// A namespace got other labels.
    Namespace,
}
