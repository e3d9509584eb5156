//! Recreating: all old pods go before the first new one comes.

use sdk_api::k8s_openapi::api::apps::v1::Deployment;
use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::{Key, Object};
use sdk_plugin::{Plan, View};

use super::rolling::resize;
use super::{Rollout, deployment_of};

impl Rollout<'_> {
    pub(super) fn recreate(&mut self) -> Result<(), Box<Plan>> {
        self.sync_new_set(false)?;
        let limits = self.limits();
        let mut changed = false;
        for set in self.sets.old_mut() {
            changed |= resize(set, 0, limits);
        }
        if changed || self.has_old_pods() {
            return Ok(());
        }
        self.sync_new_set(true)?;
        self.grow_new_set();
        if self.is_complete_now() {
            self.clean_up();
        }
        Ok(())
    }

    /// Old pods that may still run, those that are on their way out included.
    fn has_old_pods(&self) -> bool {
        self.sets.old().any(|set| {
            let pods = self.view.owned_by::<Pod>(&set.uid);
            let running = |pod: &Pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                !matches!(phase, Some("Failed" | "Succeeded" | "Unknown"))
            };
            set.status_replicas > 0 || pods.iter().any(|pod| running(pod))
        })
    }
}

/// A pod concerns its deployment where that waits for pods to go.
pub(super) fn keys_of_pod(view: &View<'_>, pod: &Object) -> Vec<Key> {
    // Cheap first: most changes of pods are of those that stay.
    let is_owned = pod.meta().controller().is_some_and(|owner| owner.kind == "ReplicaSet");
    if !is_owned {
        return Vec::new();
    }
    let Some(key) = deployment_of(view, pod) else { return Vec::new() };
    let deployment = view.get::<Deployment>(&key.namespace, &key.name);
    let recreates = deployment.is_some_and(|deployment| {
        let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    });
    if recreates { vec![key] } else { Vec::new() }
}
