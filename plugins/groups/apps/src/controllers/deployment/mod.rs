//! `deployment`: rolls out changes of a template over ReplicaSets, one for each template.
//!
//! One plan is one pass of upstream's `syncDeployment`: it works on copies of the ReplicaSets, and writes the difference
//! at the end.

mod bounds;
mod hash;
mod recreate;
mod rolling;
mod scale;
mod sets;
mod status;

use std::sync::Arc;

use sdk_api::k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Key, LabelSelector, Object};
use sdk_client::Patch;
use sdk_plugin::{Controller, Plan, PlannedWrite, View, Watch};
use serde_json::json;

use super::claim::{Owner, key_of, suitors};
use super::note::Notes;
use sets::{REVISION, Set, Sets};
use status::Conditions;

pub struct DeploymentController;

impl Controller for DeploymentController {
    type Object = Deployment;
    const NAME: &'static str = "deployment";

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::of::<ReplicaSet>(|view, set| match set.meta().controller() {
                Some(owner) if owner.kind == "Deployment" => {
                    vec![Key::of::<Deployment>(set.namespace(), &owner.name)]
                }
                Some(_) => Vec::new(),
                None => suitors::<Deployment>(view, set, selector_of),
            }),
            // Deployments that recreate wait for the last old pod to go.
            Watch::of::<Pod>(recreate::keys_of_pod),
        ]
    }

    fn plan(&self, view: &View<'_>, deployment: &Deployment) -> Plan {
        let Some(spec) = &deployment.spec else { return Plan::nothing() };
        let Some(selector) = selector_of(deployment) else { return Plan::nothing() };
        if selector.is_everything() {
            return selects_all(deployment);
        }
        let mut plan = Plan::nothing();
        let owner = Owner {
            key: key_of(deployment),
            reference: sdk_workload::controller_ref(deployment),
            is_deleting: deployment.metadata.deletion_timestamp.is_some(),
            selector: &selector,
        };
        let claimed = owner.claim::<ReplicaSet>(view, &mut plan);
        if !plan.writes.is_empty() {
            // What was adopted or released comes back as a change.
            return plan;
        }
        Rollout::new(view, deployment, spec, claimed).plan()
    }
}

fn selector_of(deployment: &Deployment) -> Option<LabelSelector> {
    LabelSelector::from_typed(&deployment.spec.as_ref()?.selector).ok()
}

/// Validation refuses such selectors; old objects may have one.
fn selects_all(deployment: &Deployment) -> Plan {
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    let plan = Plan::nothing().event(Notes::about(deployment).warning("SelectingAll", message));
    let mut status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation >= deployment.metadata.generation {
        return plan;
    }
    status.observed_generation = deployment.metadata.generation;
    plan.update(key_of(deployment), "status", &Deployment { status: Some(status), ..deployment.clone() })
}

/// One pass over one deployment.
struct Rollout<'a> {
    view: &'a View<'a>,
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    notes: Notes,
    sets: Sets,
    conditions: Conditions,
    collision_count: Option<i32>,
    /// The revision to be noted at the deployment.
    revision: Option<String>,
    /// Old sets to be deleted.
    surplus: Vec<Key>,
}

impl<'a> Rollout<'a> {
    fn new(
        view: &'a View<'a>,
        deployment: &'a Deployment,
        spec: &'a DeploymentSpec,
        claimed: Vec<Arc<ReplicaSet>>,
    ) -> Self {
        let status = deployment.status.as_ref();
        Self {
            view,
            deployment,
            spec,
            notes: Notes::about(deployment),
            sets: Sets::new(&spec.template, claimed),
            conditions: Conditions::new(status.and_then(|status| status.conditions.clone()), view.now),
            collision_count: status.and_then(|status| status.collision_count),
            revision: None,
            surplus: Vec::new(),
        }
    }

    fn plan(mut self) -> Plan {
        if self.deployment.metadata.deletion_timestamp.is_some() {
            return self.finish(false);
        }
        self.note_pause();
        let is_paused = self.spec.paused == Some(true);
        if is_paused || self.is_scaling_event() {
            if let Err(plan) = self.sync_new_set(false) {
                return *plan;
            }
            self.scale();
            if is_paused {
                self.clean_up();
            }
            return self.finish(false);
        }
        let rolled = if self.is_rolling() { self.roll() } else { self.recreate() };
        match rolled {
            Ok(()) => self.finish(true),
            Err(plan) => *plan,
        }
    }

    fn name(&self) -> &str {
        self.deployment.metadata.name.as_deref().unwrap_or_default()
    }

    /// How many pods are wanted.
    fn wanted(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    /// Finds the set of the present template, or makes it, and brings its annotations up to date. An early plan where
    /// the new set's name is taken by a stranger.
    fn sync_new_set(&mut self, may_create: bool) -> Result<(), Box<Plan>> {
        let revision = self.sets.max_old_revision() + 1;
        let annotations = self.deployment.metadata.annotations.clone().unwrap_or_default();
        if let Some(new) = self.sets.new_mut() {
            new.inherit(&annotations, revision);
            new.min_ready_seconds = self.spec.min_ready_seconds.unwrap_or(0);
            let (name, revision) = (new.name.clone(), new.annotations.get(REVISION).cloned());
            self.revision = revision;
            if self.has_deadline() && self.conditions.progressing().is_none() {
                let message = format!("Found new replica set {name:?}");
                self.conditions.set("Progressing", "True", "FoundNewReplicaSet", &message);
            }
            return Ok(());
        }
        if !may_create {
            return Ok(());
        }
        let mut new = Set::made_for(self.deployment, self.spec, self.collision_count);
        let key = new.key();
        if self.view.cache.get(&key).is_some() {
            // Sets that are ours and have the template would have been found above.
            return Err(Box::new(self.move_on_from_collision()));
        }
        new.inherit(&annotations, revision);
        let (name, revision) = (new.name.clone(), new.annotations.get(REVISION).cloned());
        self.sets.add_new(new);
        let count = self.new_set_wants();
        let limits = self.limits();
        let new = self.sets.new_mut().expect("it was added just now");
        new.replicas = count;
        new.set_limits(limits);
        self.revision = revision;
        if self.has_deadline() {
            self.note_creation(&name);
        }
        Ok(())
    }

    /// Counts up, so that the next plan tries another name. Source: `getNewReplicaSet`.
    fn move_on_from_collision(&self) -> Plan {
        let mut status = self.deployment.status.clone().unwrap_or_default();
        status.collision_count = Some(self.collision_count.unwrap_or(0) + 1);
        let new = Deployment { status: Some(status), ..self.deployment.clone() };
        Plan::nothing().update(key_of(self.deployment), "status", &new)
    }

    /// Removes old sets beyond the history limit, the oldest first; only those without pods.
    fn clean_up(&mut self) {
        let limit = self.spec.revision_history_limit.unwrap_or(i32::MAX);
        let Ok(limit) = usize::try_from(limit) else { return };
        if limit == i32::MAX as usize {
            return;
        }
        let mut old: Vec<&Set> = self.sets.old().filter(|set| !set.is_deleting).collect();
        let Some(surplus) = old.len().checked_sub(limit) else { return };
        old.sort_by_key(|set| (set.revision(), set.created));
        let empty = old.into_iter().take(surplus).filter(|set| set.is_idle());
        self.surplus = empty.map(Set::key).collect();
    }

    /// Writes what changed: sets, the revision, the status, and what is to be deleted.
    fn finish(mut self, with_progress: bool) -> Plan {
        let status = self.next_status(with_progress);
        let mut plan = Plan::nothing();
        if self.conditions.tells_failure() {
            // Before the writes that may fail again.
            plan = self.write_status(plan, &status);
        }
        for set in self.sets.all() {
            plan = set.write(plan, &self.notes);
        }
        if !self.conditions.tells_failure() {
            plan = self.write_status(plan, &status);
        }
        let annotations = self.deployment.metadata.annotations.as_ref();
        let noted = annotations.and_then(|annotations| annotations.get(REVISION));
        if let Some(revision) = self.revision.as_ref().filter(|revision| noted != Some(revision)) {
            // After the status, whose write names the resourceVersion that was looked at, and through the same part: on the
            // main resource a new annotation would count as a generation.
            let patch = Patch::merge(json!({"metadata": {"annotations": {REVISION: revision}}}));
            plan = plan.patch(key_of(self.deployment), "status", patch);
        }
        for key in &self.surplus {
            let uid = self.sets.all().find(|set| set.key() == *key).map(|set| set.uid.clone());
            let options = uid.map(|uid| sdk_client::DeleteOptions::of_uid(&uid)).unwrap_or_default();
            plan = plan.delete(key.clone(), options);
        }
        match self.deadline_check(&status) {
            Some(after) if with_progress => plan.and_look_again_in(after),
            _ => plan,
        }
    }

    fn write_status(&self, plan: Plan, status: &sdk_api::k8s_openapi::api::apps::v1::DeploymentStatus) -> Plan {
        if self.deployment.status.as_ref() == Some(status) {
            return plan;
        }
        let new = Deployment { status: Some(status.clone()), ..self.deployment.clone() };
        plan.write(PlannedWrite::Update {
            key: key_of(self.deployment),
            subresource: "status",
            body: serde_json::to_value(new).expect("API types encode as JSON"),
            note: Default::default(),
        })
    }
}

/// The deployment that controls an object's controlling ReplicaSet.
fn deployment_of(view: &View<'_>, object: &Object) -> Option<Key> {
    let owner = object.meta().controller().filter(|owner| owner.kind == "ReplicaSet")?;
    let set = view.cache.get(&Key::of::<ReplicaSet>(object.namespace(), &owner.name))?;
    let owner = set.meta().controller().filter(|owner| owner.kind == "Deployment")?;
    Some(Key::of::<Deployment>(object.namespace(), &owner.name))
}

#[cfg(test)]
mod tests;
