//! The runtime: sandboxes and containers as rows in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use sdk_api::Clock;
use sdk_plugin::node::{
    Container, ContainerConfig, ContainerState, ContainerStats, ExecOutput, Image, LinuxResources, NodeError,
    NodeRuntime, PullAuth, RuntimeEvent, RuntimeHealth, RuntimeVersion, Sandbox, SandboxConfig, StreamRequest,
};
use tokio::sync::mpsc;

use crate::address::Pool;
use crate::behaviour::{Behaviour, PREFIX};

/// Events that a reader may be behind; then its stream ends and it lists again.
const EVENTS_MAX: usize = 1024;
const USER: i64 = 65_534;
const UID_LABEL: &str = "io.kubernetes.pod.uid";

/// How long an action takes: `base`, and up to `jitter` more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay {
    pub base: Duration,
    pub jitter: Duration,
}

/// How long the simulated work takes; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    pub pull: Delay,
    pub sandbox: Delay,
    pub start: Delay,
}

#[derive(Clone)]
pub struct Settings {
    pub clock: Arc<dyn Clock>,
    /// Of the delays' jitter; the same seed gives the same run.
    pub seed: u64,
    pub delays: Delays,
    /// `None` waits for `set_pod_cidr` before the network is ready.
    pub pod_cidr: Option<String>,
}

/// A node runtime without containers. Nothing runs between calls but the ends of containers that end by themselves.
pub struct SimRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    delays: Delays,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    random: u64,
    serial: u64,
    pool: Option<Pool>,
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Row>,
    images: BTreeSet<String>,
    listeners: Vec<mpsc::Sender<RuntimeEvent>>,
}

struct Row {
    container: Container,
    behaviour: Behaviour,
}

impl State {
    /// splitmix64: enough for jitter and identifiers, and the same on every machine.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 64 hexadecimal digits, as containerd's identifiers have.
    fn id(&mut self) -> String {
        self.serial += 1;
        format!("{:016x}{:016x}{:016x}{:016x}", self.random(), self.random(), self.random(), self.serial)
    }

    fn tell(&mut self, pod_uid: &str, container_id: &str) {
        let event = RuntimeEvent { pod_uid: pod_uid.into(), container_id: container_id.into() };
        self.listeners.retain(|listener| listener.try_send(event.clone()).is_ok());
    }

    fn tell_of(&mut self, container: &Container) {
        let uid = container.labels.get(UID_LABEL).cloned().unwrap_or_default();
        self.tell(&uid, &container.id);
    }

    fn row(&mut self, id: &str) -> Result<&mut Row, NodeError> {
        self.containers.get_mut(id).ok_or_else(|| no_container(id))
    }
}

fn no_container(id: &str) -> NodeError {
    NodeError::NotFound(format!("an error occurred when try to find container {id:?}: not found"))
}

fn no_sandbox(id: &str) -> NodeError {
    NodeError::NotFound(format!("an error occurred when try to find sandbox {id:?}: not found"))
}

fn no_streams(what: &str) -> NodeError {
    NodeError::Unimplemented(format!("{what} is not possible: this node is simulated and has no containers"))
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pause(&self, delay: Delay) {
        let jitter = u64::try_from(delay.jitter.as_micros()).unwrap_or(u64::MAX);
        let extra = if jitter == 0 { 0 } else { self.state().random() % jitter };
        let total = delay.base + Duration::from_micros(extra);
        if !total.is_zero() {
            self.clock.sleep(total).await;
        }
    }

    fn end(&self, id: &str, code: i32, by_itself: bool) {
        let now = self.clock.now();
        let mut state = self.state();
        let Ok(row) = state.row(id) else { return };
        if row.container.state != ContainerState::Running {
            return;
        }
        let named = row.behaviour.exit_reason.clone().filter(|_| by_itself);
        row.container.state = ContainerState::Exited;
        row.container.finished = Some(now);
        row.container.exit_code = code;
        row.container.reason = named.unwrap_or_else(|| (if code == 0 { "Completed" } else { "Error" }).into());
        row.container.message = row.behaviour.termination_message.clone().unwrap_or_default();
        let container = row.container.clone();
        state.tell_of(&container);
    }
}

impl SimRuntime {
    /// Fails where `pod_cidr` is not an IPv4 network.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let pool = settings.pod_cidr.as_deref().map(Pool::new).transpose()?;
        let state = State { random: settings.seed, pool, ..State::default() };
        let inner = Inner { clock: settings.clock, delays: settings.delays, state: Mutex::new(state) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends a running container from outside, as a crash would.
    pub fn crash(&self, container_id: &str, code: i32) {
        self.inner.end(container_id, code, true);
    }

    /// Takes a sandbox and its containers down from outside, as a reboot of the sandbox would.
    pub fn lose_sandbox(&self, id: &str) {
        let running: Vec<String> = {
            let mut state = self.inner.state();
            let Some(sandbox) = state.sandboxes.get_mut(id) else { return };
            sandbox.ready = false;
            let uid = sandbox.pod_uid.clone();
            state.tell(&uid, id);
            let mine = state.containers.values().filter(|row| row.container.sandbox_id == id);
            mine.map(|row| row.container.id.clone()).collect()
        };
        for container in running {
            self.inner.end(&container, 137, false);
        }
    }
}

#[async_trait]
impl NodeRuntime for SimRuntime {
    async fn version(&self) -> Result<RuntimeVersion, NodeError> {
        Ok(RuntimeVersion { name: "sim".into(), version: env!("CARGO_PKG_VERSION").into() })
    }

    async fn health(&self) -> Result<RuntimeHealth, NodeError> {
        let network_ready = self.inner.state().pool.is_some();
        let message = if network_ready { "" } else { "the node has no pod network yet" };
        Ok(RuntimeHealth { runtime_ready: true, network_ready, message: message.into() })
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), NodeError> {
        let mut state = self.inner.state();
        if state.pool.as_ref().is_some_and(|pool| pool.cidr() == cidr) {
            return Ok(());
        }
        state.pool = Some(Pool::new(cidr).map_err(NodeError::Failed)?);
        Ok(())
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String, NodeError> {
        self.inner.pause(self.inner.delays.sandbox).await;
        if config.annotations.get(&format!("{PREFIX}sandbox")).is_some_and(|value| value == "fail") {
            return Err(NodeError::Failed("failed to create the sandbox: the pod's annotations ask for it".into()));
        }
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        let same = |s: &&Sandbox| s.pod_uid == config.pod_uid && s.attempt == config.attempt;
        if let Some(known) = state.sandboxes.values().find(same) {
            // A repeated call after an abandoned one.
            if known.ready {
                return Ok(known.id.clone());
            }
            return Err(NodeError::AlreadyExists(format!("sandbox attempt {} exists already", config.attempt)));
        }
        let ips = if config.host_network {
            vec![]
        } else {
            let pool = state.pool.as_mut().ok_or_else(|| NodeError::Unavailable("no pod network yet".into()))?;
            let address = pool.take().ok_or_else(|| {
                NodeError::Failed(format!("no IP addresses available in the pod network {}", pool.cidr()))
            })?;
            vec![address.to_string()]
        };
        let id = state.id();
        let sandbox = Sandbox {
            id: id.clone(),
            pod_uid: config.pod_uid.clone(),
            pod_name: config.pod_name.clone(),
            pod_namespace: config.pod_namespace.clone(),
            attempt: config.attempt,
            ready: true,
            created: now,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            ips,
        };
        state.sandboxes.insert(id.clone(), sandbox);
        state.tell(&config.pod_uid, &id);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), NodeError> {
        self.lose_sandbox(id);
        let mut state = self.inner.state();
        let ips = state.sandboxes.get_mut(id).map(|sandbox| std::mem::take(&mut sandbox.ips)).unwrap_or_default();
        if let Some(pool) = &mut state.pool {
            ips.iter().for_each(|ip| pool.give_back(ip));
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), NodeError> {
        self.stop_sandbox(id).await?;
        let mut state = self.inner.state();
        state.containers.retain(|_, row| row.container.sandbox_id != id);
        if let Some(sandbox) = state.sandboxes.remove(id) {
            state.tell(&sandbox.pod_uid, id);
        }
        Ok(())
    }

    async fn sandbox(&self, id: &str) -> Result<Sandbox, NodeError> {
        self.inner.state().sandboxes.get(id).cloned().ok_or_else(|| no_sandbox(id))
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, NodeError> {
        Ok(self.inner.state().sandboxes.values().cloned().collect())
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
        sandbox: &SandboxConfig,
    ) -> Result<String, NodeError> {
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        if !state.sandboxes.get(sandbox_id).ok_or_else(|| no_sandbox(sandbox_id))?.ready {
            return Err(NodeError::Failed(format!("sandbox container {sandbox_id:?} is not running")));
        }
        let taken = |row: &&Row| {
            let c = &row.container;
            c.sandbox_id == sandbox_id && c.name == config.name && c.attempt == config.attempt
        };
        if let Some(row) = state.containers.values().find(taken) {
            return Err(NodeError::AlreadyExists(format!("the name is reserved for {:?}", row.container.id)));
        }
        let id = state.id();
        let container = Container {
            id: id.clone(),
            sandbox_id: sandbox_id.into(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            created: now,
            started: None,
            finished: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            image_ref: config.image_ref.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            log_path: format!("{}/{}", sandbox.log_directory.trim_end_matches('/'), config.log_path),
        };
        let behaviour = Behaviour::of(config, &sandbox.annotations);
        state.tell_of(&container);
        state.containers.insert(id.clone(), Row { container, behaviour });
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<(), NodeError> {
        self.inner.pause(self.inner.delays.start).await;
        let now = self.inner.clock.now();
        let behaviour = {
            let mut state = self.inner.state();
            let row = state.row(id)?;
            match row.container.state {
                ContainerState::Running => return Ok(()),
                ContainerState::Created if !row.behaviour.start_fails => {}
                ContainerState::Created => {
                    return Err(NodeError::Failed("failed to start: the container's settings ask for it".into()));
                }
                _ => return Err(NodeError::Failed(format!("container {id:?} has exited and cannot be started"))),
            }
            row.container.state = ContainerState::Running;
            row.container.started = Some(now);
            let (container, behaviour) = (row.container.clone(), row.behaviour.clone());
            state.tell_of(&container);
            behaviour
        };
        if let Some(after) = behaviour.exit_after {
            let (inner, id): (Weak<Inner>, String) = (Arc::downgrade(&self.inner), id.into());
            let sleep = self.inner.clock.sleep(after);
            tokio::spawn(async move {
                sleep.await;
                if let Some(inner) = inner.upgrade() {
                    inner.end(&id, behaviour.exit_code, true);
                }
            });
        }
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), NodeError> {
        let behaviour = match self.inner.state().row(id) {
            Ok(row) if row.container.state == ContainerState::Running => row.behaviour.clone(),
            // Gone, or ended already: what was asked is so.
            _ => return Ok(()),
        };
        let needed = behaviour.stop_after.min(grace);
        if !needed.is_zero() {
            self.inner.clock.sleep(needed).await;
        }
        let killed = behaviour.stop_after > grace || grace.is_zero();
        self.inner.end(id, if killed { 137 } else { behaviour.stop_code }, false);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), NodeError> {
        self.stop_container(id, Duration::ZERO).await?;
        let mut state = self.inner.state();
        if let Some(row) = state.containers.remove(id) {
            state.tell_of(&row.container);
        }
        Ok(())
    }

    async fn container(&self, id: &str) -> Result<Container, NodeError> {
        Ok(self.inner.state().row(id)?.container.clone())
    }

    async fn containers(&self) -> Result<Vec<Container>, NodeError> {
        Ok(self.inner.state().containers.values().map(|row| row.container.clone()).collect())
    }

    async fn update_resources(&self, id: &str, _resources: &LinuxResources) -> Result<(), NodeError> {
        self.inner.state().row(id).map(drop)
    }

    async fn reopen_log(&self, id: &str) -> Result<(), NodeError> {
        self.inner.state().row(id).map(drop)
    }

    async fn stats(&self) -> Result<Vec<ContainerStats>, NodeError> {
        let now = self.inner.clock.now();
        let state = self.inner.state();
        let running = state.containers.values().filter(|row| row.container.state == ContainerState::Running);
        let stats = running.map(|row| ContainerStats {
            id: row.container.id.clone(),
            name: row.container.name.clone(),
            pod_uid: row.container.labels.get(UID_LABEL).cloned().unwrap_or_default(),
            time: Some(now),
            cpu_usage_nanos: 0,
            memory_working_set_bytes: 0,
        });
        Ok(stats.collect())
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, NodeError> {
        Ok(self.inner.state().images.contains(name).then(|| image(name)))
    }

    async fn images(&self) -> Result<Vec<Image>, NodeError> {
        Ok(self.inner.state().images.iter().map(|name| image(name)).collect())
    }

    async fn pull_image(&self, name: &str, _auth: Option<&PullAuth>) -> Result<String, NodeError> {
        self.inner.pause(self.inner.delays.pull).await;
        if is_missing(name) {
            let text =
                format!("failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: not found");
            return Err(NodeError::NotFound(text));
        }
        let found = image(name);
        self.inner.state().images.insert(name.into());
        Ok(found.id)
    }

    async fn remove_image(&self, name: &str) -> Result<(), NodeError> {
        self.inner.state().images.remove(name);
        Ok(())
    }

    async fn exec_sync(&self, id: &str, _command: &[String], _timeout: Duration) -> Result<ExecOutput, NodeError> {
        let mut state = self.inner.state();
        let row = state.row(id)?;
        if row.container.state != ContainerState::Running {
            return Err(NodeError::Failed(format!("container {id:?} is not running")));
        }
        let exit_code = row.behaviour.exec_code;
        let stderr = if exit_code == 0 { vec![] } else { b"the simulation fails this command".to_vec() };
        Ok(ExecOutput { stdout: vec![], stderr, exit_code })
    }

    async fn exec_url(&self, _request: &StreamRequest) -> Result<String, NodeError> {
        Err(no_streams("exec"))
    }

    async fn attach_url(&self, _request: &StreamRequest) -> Result<String, NodeError> {
        Err(no_streams("attach"))
    }

    async fn port_forward_url(&self, _sandbox_id: &str, _ports: &[u16]) -> Result<String, NodeError> {
        Err(no_streams("port forwarding"))
    }

    fn events(&self) -> Option<BoxStream<'static, RuntimeEvent>> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.inner.state().listeners.push(sender);
        let next = |mut receiver: mpsc::Receiver<RuntimeEvent>| async { receiver.recv().await.map(|e| (e, receiver)) };
        Some(futures::stream::unfold(receiver, next).boxed())
    }
}

/// Images of a repository whose last part begins with `sim-missing` cannot be pulled.
fn is_missing(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with("sim-missing"))
}

fn image(name: &str) -> Image {
    // FNV-1a, widened: the same image has the same identifier on every simulated node.
    let hash = |seed: u64| name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let (a, b, c) = (hash(0xcbf2_9ce4_8422_2325), hash(1), hash(2));
    let digest = format!("sha256:{a:016x}{b:016x}{c:016x}{:016x}", a ^ b);
    let repository = name.split('@').next().unwrap_or(name);
    let last = repository.rfind('/').map_or(0, |slash| slash + 1);
    let repository = repository[last..].find(':').map_or(repository, |colon| &repository[..last + colon]);
    Image {
        id: digest.clone(),
        repo_tags: if name.contains('@') { vec![] } else { vec![name.into()] },
        repo_digests: vec![format!("{repository}@{digest}")],
        size_bytes: 1 << 20,
        // Nobody knows whom it would run as: it is never refused for running as root.
        uid: Some(USER),
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::SystemClock;

    use super::*;

    fn runtime() -> SimRuntime {
        let clock = Arc::new(SystemClock::default());
        SimRuntime::new(Settings { clock, seed: 1, delays: Delays::default(), pod_cidr: Some("10.0.0.0/24".into()) })
            .unwrap()
    }

    fn pod(uid: &str) -> SandboxConfig {
        SandboxConfig { pod_uid: uid.into(), log_directory: "/logs".into(), ..SandboxConfig::default() }
    }

    fn container(name: &str, env: &[(&str, &str)]) -> ContainerConfig {
        ContainerConfig {
            name: name.into(),
            labels: BTreeMap::from([(UID_LABEL.to_owned(), "u".to_owned())]),
            env: env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            log_path: "c/0.log".into(),
            ..ContainerConfig::default()
        }
    }

    #[tokio::test]
    async fn a_container_lives_and_dies() {
        let runtime = runtime();
        let mut events = runtime.events().unwrap();
        let sandbox = runtime.run_sandbox(&pod("u")).await.unwrap();
        assert_eq!(runtime.sandbox(&sandbox).await.unwrap().ips, ["10.0.0.2"]);
        assert_eq!(runtime.run_sandbox(&pod("u")).await.unwrap(), sandbox, "repeating is the same sandbox");
        let id = runtime.create_container(&sandbox, &container("c", &[]), &pod("u")).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        let running = runtime.container(&id).await.unwrap();
        assert_eq!((running.state, running.log_path.as_str()), (ContainerState::Running, "/logs/c/0.log"));
        assert_eq!(runtime.exec_sync(&id, &[], Duration::ZERO).await.unwrap().exit_code, 0);
        runtime.stop_container(&id, Duration::from_secs(1)).await.unwrap();
        let ended = runtime.container(&id).await.unwrap();
        assert_eq!((ended.state, ended.exit_code, ended.reason.as_str()), (ContainerState::Exited, 143, "Error"));
        assert!(ended.finished.is_some());
        runtime.remove_sandbox(&sandbox).await.unwrap();
        assert!(matches!(runtime.container(&id).await, Err(NodeError::NotFound(_))));
        let told: Vec<_> = (&mut events).take(4).collect().await;
        assert!(told.iter().all(|event| event.pod_uid == "u"), "{told:?}");
        let next = runtime.run_sandbox(&pod("v")).await.unwrap();
        assert_eq!(runtime.sandbox(&next).await.unwrap().ips, ["10.0.0.3"], "addresses are not reused at once");
    }

    #[tokio::test]
    async fn settings_make_things_go_wrong() {
        let runtime = runtime();
        assert!(matches!(runtime.pull_image("x/sim-missing:1", None).await, Err(NodeError::NotFound(_))));
        assert_eq!(runtime.image("a:1").await.unwrap(), None);
        let pulled = runtime.pull_image("reg:5000/a:1", None).await.unwrap();
        let found = runtime.image("reg:5000/a:1").await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), found.repo_digests[0].split('@').next()), (&*pulled, Some("reg:5000/a")));

        let mut failing = pod("w");
        failing.annotations.insert("sim.kubernel.io/sandbox".into(), "fail".into());
        assert!(runtime.run_sandbox(&failing).await.is_err());

        let mut events = runtime.events().unwrap();
        let sandbox = runtime.run_sandbox(&pod("u")).await.unwrap();
        let config = container("c", &[("SIM_EXIT_CODE", "3"), ("SIM_EXIT_REASON", "OOMKilled")]);
        let id = runtime.create_container(&sandbox, &config, &pod("u")).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        // Sandbox, created, started, ended.
        (&mut events).take(4).collect::<Vec<_>>().await;
        let ended = runtime.container(&id).await.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_str()), (3, "OOMKilled"));

        let config = container("stubborn", &[("SIM_STOP_AFTER_MS", "60000"), ("SIM_EXEC_CODE", "1")]);
        let id = runtime.create_container(&sandbox, &config, &pod("u")).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        assert_eq!(runtime.exec_sync(&id, &[], Duration::ZERO).await.unwrap().exit_code, 1);
        runtime.stop_container(&id, Duration::from_millis(1)).await.unwrap();
        assert_eq!(runtime.container(&id).await.unwrap().exit_code, 137);
    }

    #[tokio::test]
    async fn a_lost_sandbox_takes_its_containers_down() {
        let runtime = runtime();
        let sandbox = runtime.run_sandbox(&pod("u")).await.unwrap();
        let id = runtime.create_container(&sandbox, &container("c", &[]), &pod("u")).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        runtime.lose_sandbox(&sandbox);
        assert!(!runtime.sandbox(&sandbox).await.unwrap().ready);
        assert_eq!(runtime.container(&id).await.unwrap().exit_code, 137);
        assert!(runtime.create_container(&sandbox, &container("d", &[]), &pod("u")).await.is_err());
    }
}
