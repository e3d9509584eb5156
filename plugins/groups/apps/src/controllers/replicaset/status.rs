//! What a ReplicaSet's status says of its pods.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::GroupResource;
use sdk_api::k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::time::whole_seconds;
use sdk_client::Verb;
use sdk_plugin::View;

use super::Replicas;

const REPLICA_FAILURE: &str = "ReplicaFailure";

impl Replicas<'_> {
    pub(super) fn next_status(&self, view: &View<'_>, active: &[Arc<Pod>], terminating: usize) -> ReplicaSetStatus {
        let count = |test: &dyn Fn(&Pod) -> bool| i32::try_from(active.iter().filter(|p| test(p)).count()).unwrap_or(0);
        let template = self.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
        let is_fully_labeled = |pod: &Pod| {
            let labels = pod.metadata.labels.as_ref();
            template.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        };
        // Counts of zero are left out, as upstream writes them.
        let some = |count: i32| Some(count).filter(|count| *count > 0);
        ReplicaSetStatus {
            replicas: count(&|_| true),
            fully_labeled_replicas: some(count(&is_fully_labeled)),
            ready_replicas: some(count(&sdk_workload::is_ready)),
            available_replicas: some(count(&|pod| sdk_workload::is_available(pod, self.min_ready_seconds, view.now))),
            terminating_replicas: self.counts_terminating.then(|| i32::try_from(terminating).unwrap_or(i32::MAX)),
            observed_generation: self.metadata.generation,
            conditions: self.next_conditions(view, active.len()),
        }
    }

    /// `ReplicaFailure` stands while pods cannot be made or removed.
    fn next_conditions(&self, view: &View<'_>, active: usize) -> Option<Vec<ReplicaSetCondition>> {
        let mut conditions = self.status.conditions.clone().unwrap_or_default();
        let known = conditions.iter().position(|condition| condition.type_ == REPLICA_FAILURE);
        let is_level = active as i64 == i64::from(self.wanted);
        let failure = view.cache.last_failure().filter(|failure| {
            let of_pods = failure.resource == GroupResource::of::<Pod>();
            of_pods && matches!(failure.verb, Verb::Create | Verb::Delete) && !is_level
        });
        match (failure, known) {
            (Some(failure), None) => conditions.push(ReplicaSetCondition {
                type_: REPLICA_FAILURE.into(),
                status: "True".into(),
                reason: Some(if failure.verb == Verb::Create { "FailedCreate" } else { "FailedDelete" }.into()),
                message: Some(failure.message),
                last_transition_time: Some(Time(whole_seconds(view.now))),
            }),
            (None, Some(at)) => drop(conditions.remove(at)),
            _ => {}
        }
        Some(conditions).filter(|conditions| !conditions.is_empty())
    }

    /// When the next ready pod has been ready for long enough.
    pub(super) fn next_available(&self, view: &View<'_>, active: &[Arc<Pod>]) -> Option<Duration> {
        let waits = active.iter().filter(|pod| {
            sdk_workload::is_ready(pod) && !sdk_workload::is_available(pod, self.min_ready_seconds, view.now)
        });
        let left = waits.filter_map(|pod| {
            let since = sdk_workload::condition(pod, "Ready")?.last_transition_time.as_ref()?.0.as_second();
            let seconds = since + i64::from(self.min_ready_seconds) - view.now.as_second();
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1)))
        });
        left.min()
    }
}
