//! Resources changed in place: the containers go on with new limits, or start again where their policy says so.
//!
//! Source: KEP-1287, in-place update of pod resources.

use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod};
use sdk_plugin::EventType;
use sdk_plugin::node::{ContainerState, LinuxResources};

use crate::container::{cgroups, resources};
use crate::pod::members;
use crate::pod::slot::Slot;
use crate::running::Node;

impl Node {
    /// Brings running containers to the resources that their pod asks for. False if that failed.
    pub(crate) async fn resize(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> bool {
        let Some(spec) = &pod.spec else { return true };
        let mut changes = vec![];
        {
            let mut state = slot.state();
            for member in members::init(spec).chain(members::apps(spec)) {
                let run = state.observed.latest_here(member.name()).filter(|run| run.state == ContainerState::Running);
                let Some(id) = run.map(|run| run.id.clone()) else { continue };
                let wanted = resources::linux(pod, &member.spec, self.settings.capacity.memory_bytes);
                match state.applied.get(&id) {
                    Some(known) if *known != wanted => {
                        changes.push((id, member.clone(), known.clone(), wanted));
                    }
                    Some(_) => {}
                    // Adopted from an earlier kubelet, which had applied what it knew.
                    None => drop(state.applied.insert(id, wanted)),
                }
            }
        }
        if changes.is_empty() {
            return true;
        }
        if self.settings.on_host() {
            cgroups::create(&self.settings.cgroup_root, pod).await;
        }
        let mut done = true;
        for (id, member, known, wanted) in changes {
            let path = member.field_path();
            if must_restart(&member.spec, &known, &wanted) {
                let why = format!("Container {} resize requires restart", member.name());
                done &= self.kill_for_restart(slot, pod, &id, member.name(), &why).await;
                continue;
            }
            match self.runtime().update_resources(&id, &wanted).await {
                Ok(()) => {
                    let message = format!("Container {} was resized", member.name());
                    self.event(pod, Some(&path), EventType::Normal, "ResizeCompleted", &message);
                    slot.state().applied.insert(id, wanted);
                }
                Err(error) => {
                    let message = format!("Error resizing container {}: {error}", member.name());
                    self.event(pod, Some(&path), EventType::Warning, "ResizeError", &message);
                    done = false;
                }
            }
        }
        done
    }
}

/// Whether a resource that changed has the policy `RestartContainer`.
fn must_restart(container: &Container, known: &LinuxResources, wanted: &LinuxResources) -> bool {
    let cpu = (known.cpu_shares, known.cpu_quota) != (wanted.cpu_shares, wanted.cpu_quota);
    let memory = known.memory_limit_bytes != wanted.memory_limit_bytes;
    container.resize_policy.iter().flatten().any(|policy| {
        let changed = match policy.resource_name.as_str() {
            "cpu" => cpu,
            "memory" => memory,
            _ => false,
        };
        changed && policy.restart_policy == "RestartContainer"
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_decides_on_a_restart() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "RestartContainer"}]}))
        .unwrap();
        let old = LinuxResources { cpu_shares: 100, memory_limit_bytes: 1 << 20, ..Default::default() };
        let cpu = LinuxResources { cpu_shares: 200, ..old.clone() };
        let memory = LinuxResources { memory_limit_bytes: 2 << 20, ..old.clone() };
        assert!(!must_restart(&container, &old, &cpu));
        assert!(must_restart(&container, &old, &memory));
    }
}
