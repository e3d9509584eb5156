//! What a node is made of: the runtime, the network. Our own types, shaped after CRI v1 so that a bridge is thin.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;

/// Why a node contract could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The thing named does not exist (any more).
    #[error("{0}")]
    NotFound(String),
    /// It exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The runtime cannot be reached or is not ready; worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// The deadline passed; the action may still happen.
    #[error("{0}")]
    Deadline(String),
    /// This runtime cannot do it.
    #[error("{0}")]
    Unimplemented(String),
    /// Anything else the runtime says.
    #[error("{0}")]
    Failed(String),
}

/// What the runtime says of itself.
#[derive(Clone, Debug, Default)]
pub struct RuntimeVersion {
    /// `containerd`
    pub name: String,
    pub version: String,
}

/// Whether containers and networks can be made.
#[derive(Clone, Debug, Default)]
pub struct RuntimeHealth {
    pub runtime_ready: bool,
    pub network_ready: bool,
    /// What is missing, in the runtime's words.
    pub message: String,
}

/// A port of the node that leads into a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    pub container_port: u16,
    pub host_port: u16,
    pub host_ip: String,
}

/// A pod's sandbox: what its containers share.
#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    pub pod_uid: String,
    pub pod_name: String,
    pub pod_namespace: String,
    pub attempt: u32,
    pub hostname: String,
    /// Where the logs of its containers go; absolute.
    pub log_directory: String,
    pub dns_servers: Vec<String>,
    pub dns_searches: Vec<String>,
    pub dns_options: Vec<String>,
    pub port_mappings: Vec<PortMapping>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The cgroup that the sandbox goes into, such as `/kubepods/burstable/podUID`; empty leaves it to the runtime.
    pub cgroup_parent: String,
    pub host_network: bool,
    pub host_pid: bool,
    pub host_ipc: bool,
    /// One process namespace for all containers.
    pub share_process_namespace: bool,
    pub sysctls: BTreeMap<String, String>,
    /// Empty is the runtime's default.
    pub runtime_handler: String,
    pub privileged: bool,
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub supplemental_groups: Vec<i64>,
}

/// How a mount is shared between container and node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountPropagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub container_path: String,
    pub host_path: String,
    pub readonly: bool,
    pub propagation: MountPropagation,
}

/// Limits as the kernel takes them. Zero leaves a value unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxResources {
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds per period.
    pub cpu_quota: i64,
    pub cpu_shares: i64,
    pub memory_limit_bytes: i64,
    pub oom_score_adj: i64,
    /// cgroup v2 keys.
    pub unified: BTreeMap<String, String>,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    pub privileged: bool,
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub run_as_username: String,
    pub supplemental_groups: Vec<i64>,
    pub readonly_rootfs: bool,
    pub no_new_privs: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    /// `RuntimeDefault`, `Unconfined`, or `Localhost:` and a path; empty is unconfined.
    pub seccomp: String,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
}

/// A device of the node shown in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub container_path: String,
    pub host_path: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

#[derive(Clone, Debug, Default)]
pub struct ContainerConfig {
    pub name: String,
    pub attempt: u32,
    /// As the pod names it.
    pub image: String,
    /// As the runtime knows it, from `image` or `pull_image`.
    pub image_ref: String,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub working_dir: String,
    /// In order; later names win.
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Relative to the sandbox's log directory.
    pub log_path: String,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    pub resources: LinuxResources,
    pub security: SecurityOptions,
    /// Share the process namespace of this container of the same sandbox (ephemeral containers).
    pub target_container: Option<String>,
    /// Such as `SIGTERM`; empty is the image's.
    pub stop_signal: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub pod_uid: String,
    pub pod_name: String,
    pub pod_namespace: String,
    pub attempt: u32,
    pub ready: bool,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Filled by `sandbox`, empty in lists and for host networks; the first is the main one.
    pub ips: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    pub attempt: u32,
    pub state: ContainerState,
    pub created: Timestamp,
    /// The rest is filled by `container`, and not in lists.
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub exit_code: i32,
    /// `OOMKilled`, `Completed`, `Error`, ...
    pub reason: String,
    pub message: String,
    pub image: String,
    pub image_ref: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Absolute.
    pub log_path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub size_bytes: u64,
    /// The user the image runs as.
    pub uid: Option<i64>,
    pub username: String,
    pub pinned: bool,
}

/// A registry login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullAuth {
    pub username: String,
    pub password: String,
    pub server_address: String,
    pub identity_token: String,
}

#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// What a stream is opened for.
#[derive(Clone, Debug, Default)]
pub struct StreamRequest {
    pub container_id: String,
    /// Only for exec.
    pub command: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// Something about a container changed: look again at this sandbox's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    pub pod_uid: String,
    pub container_id: String,
}

/// Use of resources of a container since it started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerStats {
    pub id: String,
    pub name: String,
    pub pod_uid: String,
    pub time: Option<Timestamp>,
    pub cpu_usage_nanos: u64,
    pub memory_working_set_bytes: u64,
}

/// Runs containers. Every action is idempotent: repeating one that happened is no error (`stop`, `remove`), or says
/// `AlreadyExists`.
#[async_trait]
pub trait NodeRuntime: Send + Sync + 'static {
    async fn version(&self) -> Result<RuntimeVersion, NodeError>;
    async fn health(&self) -> Result<RuntimeHealth, NodeError>;
    /// Tells the runtime the pod network of this node.
    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), NodeError>;

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String, NodeError>;
    async fn stop_sandbox(&self, id: &str) -> Result<(), NodeError>;
    async fn remove_sandbox(&self, id: &str) -> Result<(), NodeError>;
    async fn sandbox(&self, id: &str) -> Result<Sandbox, NodeError>;
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, NodeError>;

    async fn create_container(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
        sandbox: &SandboxConfig,
    ) -> Result<String, NodeError>;
    async fn start_container(&self, id: &str) -> Result<(), NodeError>;
    /// Asks with the stop signal, kills after `grace`.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), NodeError>;
    async fn remove_container(&self, id: &str) -> Result<(), NodeError>;
    async fn container(&self, id: &str) -> Result<Container, NodeError>;
    async fn containers(&self) -> Result<Vec<Container>, NodeError>;
    async fn update_resources(&self, id: &str, resources: &LinuxResources) -> Result<(), NodeError>;
    /// After log rotation.
    async fn reopen_log(&self, id: &str) -> Result<(), NodeError>;
    async fn stats(&self) -> Result<Vec<ContainerStats>, NodeError>;

    /// `None` if the runtime does not have the image.
    async fn image(&self, name: &str) -> Result<Option<Image>, NodeError>;
    async fn images(&self) -> Result<Vec<Image>, NodeError>;
    /// The reference to create containers with.
    async fn pull_image(&self, name: &str, auth: Option<&PullAuth>) -> Result<String, NodeError>;
    async fn remove_image(&self, name: &str) -> Result<(), NodeError>;

    /// Runs a command to its end within `timeout`.
    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutput, NodeError>;
    /// Where to connect for an exec stream: an URL that takes the Kubernetes streaming protocols.
    async fn exec_url(&self, request: &StreamRequest) -> Result<String, NodeError>;
    async fn attach_url(&self, request: &StreamRequest) -> Result<String, NodeError>;
    async fn port_forward_url(&self, sandbox_id: &str, ports: &[u16]) -> Result<String, NodeError>;

    /// Events as they happen; `None` if the runtime has none and must be asked again and again. The stream may end; then
    /// everything must be listed again.
    fn events(&self) -> Option<BoxStream<'static, RuntimeEvent>>;
}

/// What the network of a node needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNetwork {
    pub node_name: String,
    /// The pod networks of this node, such as `10.244.0.0/24`.
    pub pod_cidrs: Vec<String>,
    /// The pod network of the whole cluster.
    pub cluster_cidr: String,
}

/// Prepares the node for pod networking.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Makes sandboxes able to get addresses from the node's pod networks. Called again when they change; idempotent.
    async fn configure(&self, network: &NodeNetwork) -> Result<(), NodeError>;
}
