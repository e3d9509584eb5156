//! Keeps what is known of the runtime's sandboxes and containers up to date: by events, or by looking again and again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use sdk_plugin::node::{Container, ContainerState, NodeError, RuntimeEvent, Sandbox};

use crate::pod::labels;
use crate::pod::observed::Observed;
use crate::pod::slot::Slot;
use crate::running::Node;

/// What one look at the runtime found, by pod uid.
type Found = HashMap<String, (Vec<Sandbox>, Vec<Container>)>;

impl Node {
    /// Runs until the node stops. `listed` is told once the runtime has been looked at for the first time.
    pub(crate) async fn observe(self: &Arc<Self>, listed: tokio::sync::watch::Sender<bool>) {
        loop {
            // Subscribed before the look, so that nothing falls between.
            let events = self.runtime().events();
            match self.relist().await {
                Ok(()) => {
                    listed.send_replace(true);
                    match events {
                        Some(events) => self.follow_events(events).await,
                        None if !self.has_slots() => self.slots_changed.notified().await,
                        None => {}
                    }
                }
                Err(error) => tracing::warn!(%error, "The container runtime does not answer."),
            }
            self.sleep(self.settings.limits.relist).await;
        }
    }

    async fn follow_events(self: &Arc<Self>, mut events: BoxStream<'static, RuntimeEvent>) {
        while let Some(event) = events.next().await {
            if let Some(slot) = self.slot(&event.pod_uid)
                && let Err(error) = self.look_at(&slot, &event.container_id).await
            {
                tracing::debug!(%error, uid = event.pod_uid, "Could not look at a container after an event.");
            }
        }
    }

    /// Takes in the present state of one container or sandbox, and has its pod looked at if that is news.
    async fn look_at(self: &Arc<Self>, slot: &Arc<Slot>, id: &str) -> Result<(), NodeError> {
        let is_sandbox = slot.state().observed.sandboxes.iter().any(|sandbox| sandbox.id == id);
        let found =
            if is_sandbox { Err(NodeError::NotFound(String::new())) } else { self.runtime().container(id).await };
        let news = match found {
            Ok(container) => self.note_container(slot, container).await,
            Err(NodeError::NotFound(_)) => match self.runtime().sandbox(id).await {
                Ok(sandbox) => self.note_sandbox(slot, sandbox),
                Err(NodeError::NotFound(_)) => self.note_absence(slot, id),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if news {
            self.report(slot);
            self.kick(slot);
        }
        Ok(())
    }

    /// Whether it changed what was known.
    pub(crate) async fn note_container(&self, slot: &Arc<Slot>, container: Container) -> bool {
        if container.state == ContainerState::Exited {
            self.read_last_words(slot, &container).await;
        }
        let mut state = slot.state();
        let known = state.observed.containers.iter().find(|known| known.id == container.id);
        // States only go forward; a look that was overtaken must not take one back.
        if known.is_some_and(|known| *known == container || known.state == ContainerState::Exited) {
            return false;
        }
        state.touched = self.tick();
        state.observed.put_container(container);
        true
    }

    pub(crate) fn note_sandbox(&self, slot: &Arc<Slot>, mut sandbox: Sandbox) -> bool {
        let mut state = slot.state();
        let known = state.observed.sandboxes.iter().find(|known| known.id == sandbox.id);
        if let Some(known) = known {
            if sandbox.ips.is_empty() {
                sandbox.ips.clone_from(&known.ips);
            }
            if *known == sandbox {
                return false;
            }
        }
        state.touched = self.tick();
        state.observed.put_sandbox(sandbox);
        true
    }

    pub(crate) fn note_absence(&self, slot: &Arc<Slot>, id: &str) -> bool {
        let mut state = slot.state();
        let before = (state.observed.containers.len(), state.observed.sandboxes.len());
        state.observed.forget(id);
        state.touched = self.tick();
        before != (state.observed.containers.len(), state.observed.sandboxes.len())
    }

    /// Looks at everything.
    pub(crate) async fn relist(self: &Arc<Self>) -> Result<(), NodeError> {
        if self.runtime_name().is_empty() {
            let version = self.runtime().version().await?;
            self.set_runtime_name(&version.name);
        }
        let begun = self.tick();
        let (sandboxes, containers) = tokio::try_join!(self.runtime().sandboxes(), self.runtime().containers())?;
        let mut found = Found::new();
        let root = &self.settings.root_dir;
        for sandbox in sandboxes.into_iter().filter(|sandbox| labels::is_own(&sandbox.annotations, root)) {
            found.entry(sandbox.pod_uid.clone()).or_default().0.push(sandbox);
        }
        for container in containers.into_iter().filter(|container| labels::is_own(&container.annotations, root)) {
            if let Some(uid) = container.labels.get(labels::POD_UID).cloned() {
                found.entry(uid).or_default().1.push(container);
            }
        }
        found.retain(|uid, _| !uid.is_empty());
        for slot in self.slots() {
            let (sandboxes, containers) = found.remove(&slot.uid).unwrap_or_default();
            self.compare(&slot, sandboxes, containers, begun).await?;
        }
        for (uid, (sandboxes, containers)) in found {
            let slot = self.slot_or_new(&uid);
            self.compare(&slot, sandboxes, containers, begun).await?;
        }
        Ok(())
    }

    /// Compares what a look that began at `begun` found of a pod with what is known, and asks about what changed.
    async fn compare(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        sandboxes: Vec<Sandbox>,
        containers: Vec<Container>,
        begun: u64,
    ) -> Result<(), NodeError> {
        let known = {
            let state = slot.state();
            // What the worker did meanwhile is newer than this look; the next one will see it.
            if state.touched > begun {
                return Ok(());
            }
            state.observed.clone()
        };
        let listed: HashSet<&str> =
            sandboxes.iter().map(|s| s.id.as_str()).chain(containers.iter().map(|c| c.id.as_str())).collect();
        let mut news = false;
        for id in ids(&known).filter(|id| !listed.contains(id)) {
            news |= self.note_absence(slot, id);
        }
        for sandbox in &sandboxes {
            let same = known.sandboxes.iter().any(|old| old.id == sandbox.id && old.ready == sandbox.ready);
            if !same {
                news |= match self.runtime().sandbox(&sandbox.id).await {
                    Ok(sandbox) => self.note_sandbox(slot, sandbox),
                    Err(NodeError::NotFound(_)) => self.note_absence(slot, &sandbox.id),
                    Err(error) => return Err(error),
                };
            }
        }
        for container in &containers {
            let same = known.containers.iter().any(|old| old.id == container.id && old.state == container.state);
            if !same {
                news |= match self.runtime().container(&container.id).await {
                    Ok(container) => self.note_container(slot, container).await,
                    Err(NodeError::NotFound(_)) => self.note_absence(slot, &container.id),
                    Err(error) => return Err(error),
                };
            }
        }
        if news {
            self.report(slot);
            self.kick(slot);
        }
        Ok(())
    }

    /// Takes in everything of one pod, after an action said that something exists already.
    pub(crate) async fn relist_pod(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), NodeError> {
        let begun = self.tick();
        let (sandboxes, containers) = tokio::try_join!(self.runtime().sandboxes(), self.runtime().containers())?;
        let sandboxes = sandboxes.into_iter().filter(|sandbox| sandbox.pod_uid == slot.uid).collect();
        let mine = |container: &Container| container.labels.get(labels::POD_UID) == Some(&slot.uid);
        let containers = containers.into_iter().filter(mine).collect();
        self.compare(slot, sandboxes, containers, begun).await
    }
}

fn ids(observed: &Observed) -> impl Iterator<Item = &str> {
    let sandboxes = observed.sandboxes.iter().map(|sandbox| sandbox.id.as_str());
    sandboxes.chain(observed.containers.iter().map(|container| container.id.as_str()))
}
