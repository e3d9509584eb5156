//! What the runtime shows of one pod.

use std::cmp::Reverse;

use sdk_plugin::node::{Container, ContainerState, Sandbox};

/// A pod's sandboxes and containers, the newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) containers: Vec<Container>,
}

impl Observed {
    /// The newest sandbox, alive or not.
    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest run of a container, in whatever sandbox.
    pub(crate) fn latest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// All runs of a container, the newest first.
    pub(crate) fn runs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.iter().filter(move |container| container.name == name)
    }

    /// The newest run of a container in the newest sandbox.
    pub(crate) fn latest_here(&self, name: &str) -> Option<&Container> {
        let sandbox = self.sandbox()?;
        self.containers.iter().find(|container| container.name == name && container.sandbox_id == sandbox.id)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| is_alive(container))
    }

    pub(crate) fn put_container(&mut self, container: Container) {
        self.containers.retain(|known| known.id != container.id);
        self.containers.push(container);
        self.containers.sort_by_key(|known| Reverse((known.created, known.attempt)));
    }

    pub(crate) fn put_sandbox(&mut self, sandbox: Sandbox) {
        self.sandboxes.retain(|known| known.id != sandbox.id);
        self.sandboxes.push(sandbox);
        self.sandboxes.sort_by_key(|known| Reverse((known.created, known.attempt)));
    }

    pub(crate) fn forget(&mut self, id: &str) {
        self.containers.retain(|known| known.id != id);
        self.sandboxes.retain(|known| known.id != id);
    }
}

/// Whether something of it may still run: a state that nobody knows counts.
pub(crate) fn is_alive(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Unknown)
}
