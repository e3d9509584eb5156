//! What a deployment's status says: counts, and how the rollout goes. `kubectl rollout status` reads it.

use std::time::Duration;

use sdk_api::k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::time::whole_seconds;
use sdk_api::{GroupResource, Timestamp};
use sdk_client::Verb;

use super::Rollout;

const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const CREATE_ERROR: &str = "ReplicaSetCreateError";

/// The conditions of a deployment, with the rules of how they change.
pub(super) struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
    tells_failure: bool,
}

impl Conditions {
    pub fn new(list: Option<Vec<DeploymentCondition>>, now: Timestamp) -> Self {
        Self { list: list.unwrap_or_default(), now: whole_seconds(now), tells_failure: false }
    }

    fn get(&self, type_: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|condition| condition.type_ == type_)
    }

    pub fn progressing(&self) -> Option<&DeploymentCondition> {
        self.get(PROGRESSING)
    }

    /// Sets a condition. One of the same status and reason stays as it is, one of the same status keeps its transition
    /// time. Source: `SetDeploymentCondition`.
    pub fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let old = self.get(type_);
        if old.is_some_and(|old| old.status == status && old.reason.as_deref() == Some(reason)) {
            return;
        }
        let kept = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
        self.put(DeploymentCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_update_time: Some(Time(self.now)),
            last_transition_time: Some(kept.unwrap_or(Time(self.now))),
        });
    }

    /// As `set`, but always updated: that the rollout moves is news each time.
    fn renew(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let kept = self.get(type_).filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
        self.remove(type_);
        self.set(type_, status, reason, message);
        if let Some(condition) = self.list.iter_mut().find(|condition| condition.type_ == type_) {
            condition.last_transition_time = kept.or(condition.last_transition_time.take());
        }
    }

    fn put(&mut self, condition: DeploymentCondition) {
        self.remove(&condition.type_);
        self.list.push(condition);
    }

    fn remove(&mut self, type_: &str) {
        self.list.retain(|condition| condition.type_ != type_);
    }

    /// The conditions tell of a new set that cannot be made.
    pub fn tells_failure(&self) -> bool {
        self.tells_failure
    }
}

impl Rollout<'_> {
    pub(super) fn has_deadline(&self) -> bool {
        self.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }

    /// Notes that the deployment was paused or resumed, so that the deadline does not run meanwhile.
    pub(super) fn note_pause(&mut self) {
        if !self.has_deadline() {
            return;
        }
        let reason = self.conditions.progressing().and_then(|condition| condition.reason.clone());
        if reason.as_deref() == Some(TIMED_OUT) {
            return;
        }
        match (self.spec.paused == Some(true), reason.as_deref() == Some(PAUSED)) {
            (true, false) => self.conditions.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused"),
            (false, true) => self.conditions.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => {}
        }
    }

    /// Notes that the new set is being made, or that it could not be.
    pub(super) fn note_creation(&mut self, name: &str) {
        let failure = self.view.cache.last_failure();
        let failure = failure
            .filter(|failure| failure.verb == Verb::Create && failure.resource == GroupResource::of::<ReplicaSet>());
        match failure {
            None => {
                let message = format!("Created new replica set {name:?}");
                self.conditions.set(PROGRESSING, "True", "NewReplicaSetCreated", &message);
            }
            Some(failure) => {
                let message = format!("Failed to create new replica set {name:?}: {}", failure.message);
                self.conditions.set(PROGRESSING, "False", CREATE_ERROR, &message);
                self.conditions.tells_failure = true;
            }
        }
    }

    /// The counts, and with `with_progress` how the rollout goes.
    pub(super) fn next_status(&mut self, with_progress: bool) -> DeploymentStatus {
        let mut status = self.counts();
        let (reason, message, is_met) = match self.is_available() {
            true => ("MinimumReplicasAvailable", "Deployment has minimum availability.", "True"),
            false => ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.", "False"),
        };
        self.conditions.set("Available", is_met, reason, message);
        if with_progress {
            self.note_progress(&status);
            self.note_replica_failure();
        }
        status.conditions = Some(self.conditions.list.clone()).filter(|list| !list.is_empty());
        status
    }

    /// Source: `calculateStatus`. Counts of zero are left out, as upstream writes them.
    fn counts(&self) -> DeploymentStatus {
        let some = |count: i32| Some(count).filter(|count| *count > 0);
        let sum = |of: fn(&super::Set) -> i32| some(self.sets.all().map(of).sum());
        let available = self.sets.total_available();
        let terminating: Vec<i32> = self.sets.all().filter_map(|set| set.terminating).collect();
        let all_know = terminating.len() == self.sets.all().count();
        DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: sum(|set| set.status_replicas),
            updated_replicas: some(self.sets.new_set().map_or(0, |set| set.status_replicas)),
            ready_replicas: sum(|set| set.ready),
            available_replicas: some(available),
            unavailable_replicas: some((self.sets.total() - available).max(0)),
            terminating_replicas: all_know.then(|| terminating.iter().sum()),
            collision_count: self.collision_count,
            conditions: None,
        }
    }

    fn is_available(&self) -> bool {
        self.sets.total_available() >= self.wanted() - self.max_unavailable()
    }

    /// Source: `syncRolloutStatus`.
    fn note_progress(&mut self, status: &DeploymentStatus) {
        if !self.has_deadline() {
            self.conditions.remove(PROGRESSING);
            return;
        }
        if self.conditions.tells_failure {
            return;
        }
        let known = self.conditions.progressing();
        let was_complete = known.is_some_and(|condition| condition.reason.as_deref() == Some(COMPLETE));
        if was_complete && status.replicas == status.updated_replicas {
            return;
        }
        let subject = match self.sets.new_set() {
            Some(set) => format!("ReplicaSet {:?}", set.name),
            None => format!("Deployment {:?}", self.name()),
        };
        if self.is_complete(status) {
            let message = format!("{subject} has successfully progressed.");
            self.conditions.set(PROGRESSING, "True", COMPLETE, &message);
        } else if self.has_moved(status) {
            let message = format!("{subject} is progressing.");
            self.conditions.renew(PROGRESSING, "True", "ReplicaSetUpdated", &message);
        } else if self.has_timed_out() {
            let message = format!("{subject} has timed out progressing.");
            self.conditions.set(PROGRESSING, "False", TIMED_OUT, &message);
        }
    }

    fn note_replica_failure(&mut self) {
        let of_new = self.sets.new_set().and_then(|set| set.failure.clone());
        match of_new.or_else(|| self.sets.all().find_map(|set| set.failure.clone())) {
            None => self.conditions.remove(REPLICA_FAILURE),
            Some(failure) => {
                let text = |text: Option<String>| text.unwrap_or_default();
                let (reason, message) = (text(failure.reason), text(failure.message));
                self.conditions.set(REPLICA_FAILURE, &failure.status, &reason, &message);
            }
        }
    }

    fn is_complete(&self, status: &DeploymentStatus) -> bool {
        let wanted = self.wanted();
        let all = |count: Option<i32>| count.unwrap_or(0) == wanted;
        all(status.updated_replicas)
            && all(status.replicas)
            && all(status.available_replicas)
            && status.observed_generation >= self.deployment.metadata.generation
    }

    /// Complete by the status as it is stored: what the cleaning of the history goes by.
    pub(super) fn is_complete_now(&self) -> bool {
        self.deployment.status.as_ref().is_some_and(|status| self.is_complete(status))
    }

    fn has_moved(&self, new: &DeploymentStatus) -> bool {
        let old = self.deployment.status.clone().unwrap_or_default();
        let count = |count: Option<i32>| count.unwrap_or(0);
        let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
        count(new.updated_replicas) > count(old.updated_replicas)
            || outdated(new) < outdated(&old)
            || count(new.ready_replicas) > count(old.ready_replicas)
            || count(new.available_replicas) > count(old.available_replicas)
    }

    fn has_timed_out(&self) -> bool {
        let Some(condition) = self.conditions.progressing() else { return false };
        match condition.reason.as_deref() {
            Some(COMPLETE) => false,
            Some(TIMED_OUT) => true,
            _ => self.deadline_left().is_some_and(|left| left < 0),
        }
    }

    /// Seconds until the deadline.
    fn deadline_left(&self) -> Option<i64> {
        let seconds = self.spec.progress_deadline_seconds.filter(|_| self.has_deadline())?;
        let since = self.conditions.progressing()?.last_update_time.as_ref()?.0.as_second();
        Some(since + i64::from(seconds) - self.view.now.as_second())
    }

    /// When to look whether the deadline has passed.
    pub(super) fn deadline_check(&self, status: &DeploymentStatus) -> Option<Duration> {
        let condition = self.conditions.progressing()?;
        if self.is_complete(status) || condition.reason.as_deref() == Some(TIMED_OUT) {
            return None;
        }
        let left = self.deadline_left()?;
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1))
    }
}
