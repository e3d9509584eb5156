//! What probes have found so far, by container run.

use std::collections::HashMap;

use sdk_api::k8s_openapi::api::core::v1::Container;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    /// As events name it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// The last settled result of each probe: after as many successes or failures in a row as its thresholds ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    by_run: HashMap<(String, ProbeKind), bool>,
}

impl Verdicts {
    /// Whether this changed anything.
    pub(crate) fn set(&mut self, id: &str, kind: ProbeKind, healthy: bool) -> bool {
        self.by_run.insert((id.into(), kind), healthy) != Some(healthy)
    }

    pub(crate) fn get(&self, id: &str, kind: ProbeKind) -> Option<bool> {
        self.by_run.get(&(id.to_owned(), kind)).copied()
    }

    pub(crate) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.by_run.retain(|(id, _), _| is_known(id));
    }

    pub(crate) fn failed_startup(&self, id: &str) -> bool {
        self.get(id, ProbeKind::Startup) == Some(false)
    }

    pub(crate) fn failed_liveness(&self, id: &str) -> bool {
        self.get(id, ProbeKind::Liveness) == Some(false)
    }

    /// Whether a running container has started, by its startup probe if it has one.
    pub(crate) fn started(&self, id: &str, container: &Container) -> bool {
        container.startup_probe.is_none() || self.get(id, ProbeKind::Startup) == Some(true)
    }

    /// Whether a running container is ready.
    pub(crate) fn ready(&self, id: &str, container: &Container) -> bool {
        let is_ready = container.readiness_probe.is_none() || self.get(id, ProbeKind::Readiness) == Some(true);
        self.started(id, container) && is_ready
    }
}
