//! `replication`: keeps as many pods as a ReplicationController asks for. The same as a ReplicaSet in older clothes.

use sdk_api::k8s_openapi::api::apps::v1::ReplicaSetStatus;
use sdk_api::k8s_openapi::api::core::v1::{Pod, ReplicationController};
use sdk_api::{Key, LabelSelector, Object};
use sdk_plugin::{Controller, Plan, View, Watch};
use serde_json::Value;

use super::claim::{key_of, suitors};
use super::note::Notes;
use super::replicaset::Replicas;

pub struct ReplicationControllerController;

impl Controller for ReplicationControllerController {
    type Object = ReplicationController;
    const NAME: &'static str = "replication";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<Pod>(keys_of_pod)]
    }

    fn plan(&self, view: &View<'_>, set: &ReplicationController) -> Plan {
        let Some(spec) = &set.spec else { return Plan::nothing() };
        let Some(selector) = selector_of(set) else { return Plan::nothing() };
        // Statuses of both kinds have the same form.
        let status: Option<ReplicaSetStatus> =
            set.status.as_ref().and_then(|status| serde_json::to_value(status).and_then(serde_json::from_value).ok());
        Replicas {
            key: key_of(set),
            metadata: &set.metadata,
            reference: sdk_workload::controller_ref(set),
            notes: Notes::about(set),
            selector,
            template: spec.template.clone().unwrap_or_default(),
            wanted: spec.replicas.unwrap_or(1).max(0),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            counts_terminating: false,
            status: status.unwrap_or_default(),
            with_status: &|status| with_status(set, status),
        }
        .plan(view)
    }
}

fn with_status(set: &ReplicationController, status: ReplicaSetStatus) -> Value {
    let mut document = serde_json::to_value(set).expect("API types encode as JSON");
    document["status"] = serde_json::to_value(status).expect("API types encode as JSON");
    document
}

fn selector_of(set: &ReplicationController) -> Option<LabelSelector> {
    let labels = set.spec.as_ref()?.selector.as_ref().filter(|labels| !labels.is_empty())?;
    Some(LabelSelector::from_labels(labels))
}

fn keys_of_pod(view: &View<'_>, pod: &Object) -> Vec<Key> {
    match pod.meta().controller() {
        Some(owner) if owner.kind == "ReplicationController" => {
            vec![Key::of::<ReplicationController>(pod.namespace(), &owner.name)]
        }
        Some(_) => Vec::new(),
        None => suitors::<ReplicationController>(view, pod, selector_of),
    }
}
