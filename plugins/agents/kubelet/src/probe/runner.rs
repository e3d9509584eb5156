//! Runs the probes of running containers: one task for each probe that has something to ask.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, Probe};
use sdk_plugin::EventType;
use sdk_plugin::node::NodeError;
use tokio::task::AbortHandle;

use crate::pod::members::{self, Role};
use crate::pod::slot::{Slot, Stage};
use crate::probe::{ProbeKind, grpc, http};
use crate::running::Node;

/// A running probe; dropped, it ends.
pub(crate) struct Probing(AbortHandle);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What one probe found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure(String),
    /// The probe itself did not work; it counts neither way.
    Error(String),
}

/// Counts outcomes until one of the thresholds is reached.
#[derive(Debug)]
struct Counter {
    successes_needed: u32,
    failures_needed: u32,
    successes: u32,
    failures: u32,
}

impl Counter {
    fn of(probe: &Probe) -> Self {
        let at_least_one =
            |n: Option<i32>, default: u32| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default).max(1);
        Self {
            successes_needed: at_least_one(probe.success_threshold, 1),
            failures_needed: at_least_one(probe.failure_threshold, 3),
            successes: 0,
            failures: 0,
        }
    }

    /// The verdict, once there are enough in a row.
    fn count(&mut self, success: bool) -> Option<bool> {
        if success {
            (self.successes, self.failures) = (self.successes.saturating_add(1), 0);
            (self.successes >= self.successes_needed).then_some(true)
        } else {
            (self.successes, self.failures) = (0, self.failures.saturating_add(1));
            (self.failures >= self.failures_needed).then_some(false)
        }
    }
}

/// One probe of one run of a container.
struct Task {
    node: Arc<Node>,
    slot: Arc<Slot>,
    pod: Arc<Pod>,
    container: Container,
    field_path: String,
    probe: Probe,
    kind: ProbeKind,
    id: String,
    started: Option<Timestamp>,
    ip: String,
}

fn probe_of(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

impl Node {
    /// Starts the probes that are due and ends those that are not any more.
    pub(crate) fn watch_probes(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) {
        let Some(spec) = &pod.spec else { return };
        let mut state = slot.state();
        let mut wanted = vec![];
        let members = members::init(spec).filter(|m| m.role == Role::Sidecar).chain(members::apps(spec));
        for member in members {
            let run = state.observed.latest_here(member.name());
            let Some(run) = run.filter(|run| run.state == sdk_plugin::node::ContainerState::Running) else { continue };
            let started = state.verdicts.started(&run.id, &member.spec);
            let kinds: &[ProbeKind] = match (state.stage, started) {
                (Stage::Running, false) => &[ProbeKind::Startup],
                (Stage::Running, true) => &[ProbeKind::Liveness, ProbeKind::Readiness],
                // A pod that ends is not restarted, but may still stop being ready.
                (_, true) => &[ProbeKind::Readiness],
                (_, false) => &[],
            };
            for kind in kinds {
                // A container that failed is on hold until it has been killed.
                let failed = *kind != ProbeKind::Readiness && state.verdicts.get(&run.id, *kind) == Some(false);
                if let Some(probe) = probe_of(&member.spec, *kind).filter(|_| !failed) {
                    wanted.push((run.clone(), member.clone(), *kind, probe.clone()));
                }
            }
        }
        let key = |id: &str, kind: ProbeKind| format!("{id}/{}", kind.title());
        let keys: std::collections::HashSet<String> =
            wanted.iter().map(|(run, _, kind, _)| key(&run.id, *kind)).collect();
        state.probing.retain(|key, _| keys.contains(key));
        let ip = if spec.host_network == Some(true) {
            self.settings.node_ips.first().map(ToString::to_string)
        } else {
            state.observed.sandbox().and_then(|sandbox| sandbox.ips.first().cloned())
        };
        for (run, member, kind, probe) in wanted {
            state.probing.entry(key(&run.id, kind)).or_insert_with(|| {
                let task = Task {
                    node: self.clone(),
                    slot: slot.clone(),
                    pod: pod.clone(),
                    container: member.spec.clone().into_owned(),
                    field_path: member.field_path(),
                    probe,
                    kind,
                    id: run.id,
                    started: run.started,
                    ip: ip.clone().unwrap_or_default(),
                };
                Probing(tokio::spawn(task.run()).abort_handle())
            });
        }
    }
}

impl Task {
    async fn run(self) {
        let seconds = |n: Option<i32>, default: u64| {
            Duration::from_secs(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(default))
        };
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let delay = seconds(self.probe.initial_delay_seconds, 0);
        let running = self.started.map_or(Duration::ZERO, |started| {
            Duration::try_from(self.node.now().duration_since(started)).unwrap_or_default()
        });
        let stop = self.node.stop.clone();
        let rounds = async {
            if running < delay {
                self.node.sleep(delay - running).await;
            }
            let mut counter = Counter::of(&self.probe);
            while self.round(&mut counter).await {
                self.node.sleep(period).await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = stop.cancelled() => {}
        }
    }

    /// One look; whether another one is needed.
    async fn round(&self, counter: &mut Counter) -> bool {
        let title = self.kind.title();
        let tell = |message: String| {
            self.node.event(&self.pod, Some(&self.field_path), EventType::Warning, "Unhealthy", &message);
        };
        let verdict = match self.ask().await {
            Outcome::Success => counter.count(true),
            Outcome::Failure(why) => {
                tell(format!("{title} probe failed: {why}"));
                counter.count(false)
            }
            Outcome::Error(why) => {
                tell(format!("{title} probe errored and resulted in unknown state: {why}"));
                None
            }
        };
        let Some(healthy) = verdict else { return true };
        let changed = self.slot.state().verdicts.set(&self.id, self.kind, healthy);
        if changed {
            self.node.report(&self.slot);
            if self.kind != ProbeKind::Readiness {
                self.node.kick(&self.slot);
            }
        }
        match self.kind {
            ProbeKind::Startup => false,
            ProbeKind::Liveness => healthy,
            ProbeKind::Readiness => true,
        }
    }

    async fn ask(&self) -> Outcome {
        let seconds = self.probe.timeout_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(1).max(1);
        let timeout = Duration::from_secs(seconds);
        if let Some(exec) = &self.probe.exec {
            return self.exec(&exec.command.clone().unwrap_or_default(), timeout).await;
        }
        if !self.node.settings.on_host() {
            let command = ["probe".to_owned(), self.kind.title().to_lowercase()];
            return self.exec(&command, timeout).await;
        }
        tokio::select! {
            outcome = self.connect() => outcome,
            () = self.node.sleep(timeout) => Outcome::Failure(self.timed_out()),
        }
    }

    fn timed_out(&self) -> String {
        let url =
            self.probe.http_get.as_ref().and_then(|get| http::Request::of(get, Some(&self.container), &self.ip).ok());
        match url {
            Some(request) => format!(
                "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                request.url()
            ),
            None => "timeout: the probe did not answer in time".into(),
        }
    }

    async fn exec(&self, command: &[String], timeout: Duration) -> Outcome {
        match self.node.runtime().exec_sync(&self.id, command, timeout).await {
            Ok(output) if output.exit_code == 0 => Outcome::Success,
            Ok(output) => {
                let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_owned();
                Outcome::Failure(if said.is_empty() {
                    format!("command exited with {}", output.exit_code)
                } else {
                    said
                })
            }
            Err(NodeError::Deadline(_)) => {
                Outcome::Failure(format!("command timed out: {command:?} timed out after {}s", timeout.as_secs()))
            }
            Err(error) => Outcome::Error(error.to_string()),
        }
    }

    async fn connect(&self) -> Outcome {
        if let Some(get) = &self.probe.http_get {
            let request = match http::Request::of(get, Some(&self.container), &self.ip) {
                Ok(request) => request,
                Err(error) => return Outcome::Error(error),
            };
            return match http::send(&request).await {
                Ok(response) if (200..400).contains(&response.status) => Outcome::Success,
                Ok(response) => Outcome::Failure(format!("HTTP probe failed with statuscode: {}", response.status)),
                Err(error) => Outcome::Failure(format!("Get {:?}: {error}", request.url())),
            };
        }
        if let Some(tcp) = &self.probe.tcp_socket {
            let host = tcp.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| self.ip.clone());
            let port = match http::port(&tcp.port, Some(&self.container)) {
                Ok(port) => port,
                Err(error) => return Outcome::Error(error),
            };
            let address = http::authority(&host, port);
            return match tokio::net::TcpStream::connect(&address).await {
                Ok(_) => Outcome::Success,
                Err(error) => Outcome::Failure(format!("dial tcp {address}: connect: {}", http::reason(&error))),
            };
        }
        if let Some(grpc) = &self.probe.grpc {
            let Ok(port) = u16::try_from(grpc.port) else { return Outcome::Error("invalid port".into()) };
            return grpc::check(&http::authority(&self.ip, port), grpc.service.as_deref().unwrap_or_default()).await;
        }
        Outcome::Error("missing probe handler".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_in_a_row() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut counter = Counter::of(&probe);
        let seen: Vec<Option<bool>> =
            [true, true, false, false, true, false, false, false, false].map(|ok| counter.count(ok)).into();
        assert_eq!(
            seen,
            [None, Some(true), None, None, None, None, None, Some(false), Some(false)],
            "a failure between starts the count again"
        );
        let mut default = Counter::of(&Probe::default());
        assert_eq!((default.count(true), default.count(false)), (Some(true), None));
    }
}
