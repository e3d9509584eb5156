//! Brings a pod up: directories and volumes, its sandbox, one container after the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Pod;
use sdk_api::k8s_openapi::api::node::v1::RuntimeClass;
use sdk_api::{Key, Timestamp};
use sdk_plugin::EventType;
use sdk_plugin::node::{Container, ContainerConfig, ContainerState, NodeError, SandboxConfig};

use crate::container::{cgroups, config, env, hooks, image, sandbox};
use crate::pod::members::{self, Member};
use crate::pod::plan::{Waiting, restart_key};
use crate::pod::slot::Slot;
use crate::pod::worker::{Next, RETRY};
use crate::running::Node;

/// Pause after a container could not be configured, created or started.
const START_RETRY: Duration = Duration::from_secs(5);
/// Pause while the node's network is not ready; its readiness wakes all pods too.
const NETWORK_RETRY: Duration = Duration::from_secs(5);

/// Why a container did not start.
struct Failure {
    waiting: Waiting,
    again_in: Duration,
}

impl Failure {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { waiting: Waiting::new(reason, message), again_in: START_RETRY }
    }
}

impl Node {
    /// Records an event unless it was the last of its reason.
    pub(crate) fn event_once(&self, slot: &Arc<Slot>, pod: &Pod, kind: EventType, reason: &'static str, message: &str) {
        if slot.state().told.insert(reason, message.into()).as_deref() != Some(message) {
            self.event(pod, None, kind, reason, message);
        }
    }

    /// What must be there before a sandbox; `Some` if it is not there yet.
    pub(crate) async fn prepare(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>) -> Option<Next> {
        let spec = pod.spec.as_ref()?;
        if spec.host_network != Some(true)
            && let Err(why) = self.network_ready()
        {
            let message = format!(
                "network is not ready: container runtime network not ready: NetworkReady=false \
                     reason:NetworkPluginNotReady message:{why}"
            );
            self.event_once(slot, pod, EventType::Warning, "NetworkNotReady", &message);
            return Some(Next::At(NETWORK_RETRY));
        }
        if !slot.state().prepared {
            if self.settings.on_host()
                && let Err(error) = self.make_dirs(slot, pod).await
            {
                let message = format!("error making pod data directories: {error}");
                self.event_once(slot, pod, EventType::Warning, "FailedToMakePodDataDirectories", &message);
                return Some(Next::At(RETRY));
            }
            slot.state().prepared = true;
        }
        let due = {
            let state = slot.state();
            state.volumes.is_none()
                || state.volumes_stale
                || self.volumes.refresh_in(&slot.uid, self.now()).is_some_and(|left| left.is_zero())
        };
        if due {
            slot.state().volumes_stale = false;
            match self.volumes.set_up(pod, &self.settings).await {
                Ok(paths) => slot.state().volumes = Some(paths),
                Err(failure) => {
                    let message =
                        format!("MountVolume.SetUp failed for volume {:?} : {}", failure.volume, failure.message);
                    self.event_once(slot, pod, EventType::Warning, "FailedMount", &message);
                    let known = slot.state().volumes.is_some();
                    // A running pod goes on with what it has; a new one waits.
                    slot.state().volumes_stale = true;
                    if !known {
                        return Some(Next::At(RETRY));
                    }
                }
            }
        }
        None
    }

    async fn make_dirs(&self, slot: &Arc<Slot>, pod: &Pod) -> Result<(), String> {
        let meta = &pod.metadata;
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
        for dir in [self.settings.pod_dir(&slot.uid), self.settings.pod_log_dir(namespace, name, &slot.uid)] {
            tokio::fs::create_dir_all(&dir).await.map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        cgroups::create(&self.settings.cgroup_root, pod).await;
        Ok(())
    }

    fn sandbox_config(&self, pod: &Pod, attempt: u32) -> SandboxConfig {
        sandbox::config(pod, attempt, &self.settings)
    }

    /// Runs a sandbox. False if that failed.
    pub(crate) async fn run_sandbox(self: &Arc<Self>, slot: &Arc<Slot>, pod: &Arc<Pod>, attempt: u32) -> bool {
        let mut config = self.sandbox_config(pod, attempt);
        let users = pod.spec.as_ref().and_then(|spec| spec.host_users);
        let handler = if users == Some(false) && self.settings.on_host() {
            // Running it with the node's users would give it more rights than it asked for.
            Err(NodeError::Unimplemented("user namespaces are not supported on this node".into()))
        } else {
            self.runtime_handler(pod).await
        };
        let made = match handler {
            Ok(handler) => {
                config.runtime_handler = handler;
                self.runtime().run_sandbox(&config).await
            }
            Err(error) => Err(error),
        };
        let made = match made {
            Ok(id) => self.runtime().sandbox(&id).await,
            Err(NodeError::AlreadyExists(text)) => match self.relist_pod(slot).await {
                Ok(()) => Err(NodeError::AlreadyExists(text)),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match made {
            Ok(sandbox) => {
                self.note_sandbox(slot, sandbox);
                self.report(slot);
                true
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.event(pod, None, EventType::Warning, "FailedCreatePodSandBox", &message);
                false
            }
        }
    }

    /// The handler of the pod's RuntimeClass; empty is the runtime's default.
    async fn runtime_handler(&self, pod: &Pod) -> Result<String, NodeError> {
        let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
        let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(String::new()) };
        let found = self
            .client
            .get(&Key::of::<RuntimeClass>("", class))
            .await
            .map_err(|status| NodeError::Failed(format!("failed to get sandbox runtime: {}", status.message)))?;
        Ok(found.tree()["handler"].as_str().unwrap_or_default().into())
    }

    /// Starts a container. False if that failed; then it is held back for a while.
    pub(crate) async fn start(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        name: &str,
        attempt: u32,
        ended: Option<Timestamp>,
    ) -> bool {
        let Some(member) = members::find(pod, name) else { return true };
        let started = Box::pin(self.try_start(slot, pod, &member, attempt, ended)).await;
        let mut state = slot.state();
        match started {
            Ok(()) => {
                state.waiting.remove(name);
                state.not_before.remove(name);
            }
            Err(Failure { waiting, again_in }) => {
                state.waiting.insert(name.into(), waiting);
                state.not_before.insert(name.into(), self.now() + again_in);
                return false;
            }
        }
        true
    }

    async fn try_start(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        member: &Member<'_>,
        attempt: u32,
        ended: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let path = member.field_path();
        let event = |kind: EventType, reason: &str, message: &str| self.event(pod, Some(&path), kind, reason, message);
        let fail = |failure: Failure, message: &str| {
            event(EventType::Warning, "Failed", message);
            failure
        };
        let image =
            self.ensure_image(slot, pod, member).await.map_err(|(waiting, again_in)| Failure { waiting, again_in })?;
        let config = match self.container_config(slot, pod, member, attempt, &image).await {
            Ok(config) => config,
            Err(message) => {
                let text = format!("Error: {message}");
                return Err(fail(Failure::new("CreateContainerConfigError", message), &text));
            }
        };
        let sandbox = slot.state().observed.sandbox().map(|sandbox| (sandbox.id.clone(), sandbox.attempt));
        let Some((sandbox_id, sandbox_attempt)) = sandbox else {
            return Err(Failure::new("CreateContainerError", "the sandbox is gone"));
        };
        let sandbox_config = self.sandbox_config(pod, sandbox_attempt);
        let name = member.name();
        let id = match self.runtime().create_container(&sandbox_id, &config, &sandbox_config).await {
            Ok(id) => {
                event(EventType::Normal, "Created", &format!("Created container: {name}"));
                id
            }
            Err(NodeError::AlreadyExists(text)) => {
                // Made by a call that was abandoned; it goes on from there.
                if let Err(error) = self.relist_pod(slot).await {
                    return Err(Failure::new("CreateContainerError", error.to_string()));
                }
                let state = slot.state();
                let made = state.observed.latest_here(name).filter(|run| run.attempt == attempt);
                made.map(|run| run.id.clone()).ok_or_else(|| Failure::new("CreateContainerError", text))?
            }
            Err(error) => {
                let text = error.to_string();
                return Err(fail(Failure::new("CreateContainerError", &text), &format!("Error: {text}")));
            }
        };
        slot.state().applied.insert(id.clone(), config.resources.clone());
        if let Some(ended) = ended {
            let now = self.now();
            slot.state().backoffs.next(&restart_key(&slot.uid, name), ended, now);
        }
        if let Err(error) = self.runtime().start_container(&id).await {
            let text = error.to_string();
            let failure = fail(Failure::new("RunContainerError", &text), &format!("Error: {text}"));
            // What cannot start is a run that ended, so that the next one has a number of its own.
            drop(self.runtime().container(&id).await.map(|run| self.note_failed_start(slot, run)));
            return Err(failure);
        }
        event(EventType::Normal, "Started", &format!("Started container {name}"));
        if let Err(error) = self.look_again(slot, &id).await {
            tracing::debug!(%error, id, "Could not look at a container that was just started.");
        }
        self.run_post_start(slot, pod, member, &id).await
    }

    fn note_failed_start(&self, slot: &Arc<Slot>, run: Container) {
        let mut state = slot.state();
        state.touched = self.tick();
        state.observed.put_container(run);
    }

    async fn run_post_start(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        member: &Member<'_>,
        id: &str,
    ) -> Result<(), Failure> {
        let hook = member.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let ip = slot.state().observed.sandbox().and_then(|sandbox| sandbox.ips.first().cloned());
        let call = hooks::Call { node: self, pod, container: member.name(), id, ip: ip.as_deref() };
        let Err(error) = call.run(hook, hooks::LONGEST).await else { return Ok(()) };
        let message = format!("PostStartHook failed: {error}");
        self.event(pod, Some(&member.field_path()), EventType::Warning, "FailedPostStartHook", &message);
        let run = slot.state().observed.containers.iter().find(|run| run.id == id).cloned();
        if let Some(run) = run.filter(|run| run.state == ContainerState::Running) {
            let grace = super::end::grace(pod, false, self.now());
            if let Err(error) = self.stop_run(slot, pod, &run, grace, "FailedPostStartHook").await {
                tracing::debug!(%error, id, "Could not stop a container whose postStart hook failed.");
            }
        }
        Err(Failure { waiting: Waiting::new("PostStartHookError", message), again_in: Duration::ZERO })
    }

    /// Everything that a container is created with. The error is what `CreateContainerConfigError` says.
    async fn container_config(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        pod: &Arc<Pod>,
        member: &Member<'_>,
        attempt: u32,
        image: &image::Ready,
    ) -> Result<ContainerConfig, String> {
        let (ips, volumes) = {
            let state = slot.state();
            let ips = state.observed.sandbox().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
            (ips, state.volumes.clone().unwrap_or_default())
        };
        let host_network = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let hosts: Vec<String> = self.settings.node_ips.iter().map(IpAddr::to_string).collect();
        let ips = if host_network { hosts.clone() } else { ips };
        let facts = env::Facts { pod, pod_ips: &ips, host_ips: &hosts, settings: &self.settings };
        let sources = env::fetch(&self.objects, &self.client, pod, &member.spec).await?;
        let vars = env::build(&facts, &member.spec, &sources)?;
        let target =
            member.target.and_then(|target| slot.state().observed.latest_here(target).map(|run| run.id.clone()));
        let wanted = config::Wanted { pod, member, attempt, image, target, settings: &self.settings };
        let mut built = config::build(&wanted, vars)?;
        if self.settings.on_host() {
            let scope = crate::volumes::mounts::Scope { pod, settings: &self.settings, volumes: &volumes, ips: &ips };
            built.mounts = crate::volumes::mounts::of_container(&scope, &member.spec, &built.env, attempt).await?;
        }
        Ok(built)
    }
}
