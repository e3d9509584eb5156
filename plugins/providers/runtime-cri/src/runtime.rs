//! `CriRuntime`: the contract [`NodeRuntime`], call by call, over CRI v1.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use sdk_plugin::node::{
    Container, ContainerConfig, ContainerStats, ExecOutput, Image, LinuxResources, NodeError, NodeRuntime, PullAuth,
    RuntimeEvent, RuntimeHealth, RuntimeVersion, Sandbox, SandboxConfig, StreamRequest,
};
use tonic::Code;

use crate::connection::{CALL_DEADLINE, Connection};
use crate::proto::{self, Empty};
use crate::{Error, RuntimeInfo, convert, events};

/// Where containerd listens unless it is told otherwise.
pub const DEFAULT_ENDPOINT: &str = "unix:///run/containerd/containerd.sock";

/// The oldest containerd that speaks CRI v1.
const CONTAINERD_MIN: (u32, u32) = (1, 6);
/// Making a sandbox runs network plugins, which may take their time.
const SANDBOX_DEADLINE: Duration = Duration::from_secs(240);
/// A pull ends by itself when the registry stops sending; this only bounds a runtime that hangs.
const PULL_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How long the runtime may need beyond the time that a call gave it for its own work.
const SLACK: Duration = CALL_DEADLINE;
/// The longest deadline of a call, since gRPC takes eight digits.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A container runtime behind a unix socket. Clones share the connection, which opens anew when the runtime comes back.
#[derive(Clone)]
pub struct CriRuntime {
    connection: Connection,
    version: RuntimeVersion,
    has_events: bool,
}

macro_rules! runtime {
    ($method:literal) => {
        concat!("/runtime.v1.RuntimeService/", $method)
    };
}

macro_rules! images {
    ($method:literal) => {
        concat!("/runtime.v1.ImageService/", $method)
    };
}

impl CriRuntime {
    /// Connects to `unix:///PATH` or `/PATH`, and checks that the runtime is one that can be used.
    pub async fn connect(endpoint: &str) -> Result<Self, Error> {
        let connection = Connection::open(endpoint).await?;
        let version = version(&connection).await?;
        let has_events = events::offered(&connection).await;
        tracing::debug!(name = version.name, version = version.version, has_events, "Connected to the runtime.");
        Ok(Self { connection, version, has_events })
    }

    /// The runtime as it was when connected.
    pub fn connected_to(&self) -> &RuntimeVersion {
        &self.version
    }

    /// The path of the runtime's socket.
    pub fn socket(&self) -> &Path {
        self.connection.socket()
    }

    /// What the runtime tells of its own configuration: above all where it looks for network configurations.
    pub async fn info(&self) -> Result<RuntimeInfo, NodeError> {
        let request = proto::StatusRequest { verbose: true };
        let answer: proto::StatusResponse = self.call(runtime!("Status"), request).await?;
        Ok(RuntimeInfo::parse(answer.info.get("config").map(String::as_str).unwrap_or_default()))
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, NodeError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.connection.call(method, request, CALL_DEADLINE).await
    }

    async fn call_within<Q, A>(&self, method: &'static str, request: Q, deadline: Duration) -> Result<A, NodeError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.connection.call(method, request, deadline.min(DEADLINE_MAX)).await
    }
}

/// Asks for the version; a runtime without CRI v1 is asked in the older protocol, so that the error can name it.
async fn version(connection: &Connection) -> Result<RuntimeVersion, Error> {
    let path = || connection.socket().to_owned();
    let ask = |method| {
        let request = proto::VersionRequest { version: "v1".to_owned() };
        connection.try_call::<_, proto::VersionResponse>(method, request, CALL_DEADLINE)
    };
    let answer = match ask(runtime!("Version")).await {
        Ok(answer) => answer,
        Err(status) if status.code() == Code::Unimplemented => {
            return match ask("/runtime.v1alpha2.RuntimeService/Version").await {
                Ok(old) => Err(Error::TooOld { name: old.runtime_name, version: old.runtime_version, path: path() }),
                Err(_) => Err(Error::NoCri { path: path() }),
            };
        }
        Err(status) => return Err(connection.refused(&status)),
    };
    let version = RuntimeVersion { name: answer.runtime_name, version: answer.runtime_version };
    if version.name == "containerd" && parse_version(&version.version).is_some_and(|found| found < CONTAINERD_MIN) {
        return Err(Error::TooOld { name: version.name, version: version.version, path: path() });
    }
    Ok(version)
}

/// Major and minor of `1.6.20~ds1`, `v2.0.0-rc.1` and the like.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What has gone already is stopped and removed.
fn gone_is_done<A>(result: Result<A, NodeError>) -> Result<(), NodeError> {
    match result {
        Ok(_) | Err(NodeError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn missing(what: &str) -> NodeError {
    NodeError::Failed(format!("the runtime's answer has no {what}"))
}

#[async_trait]
impl NodeRuntime for CriRuntime {
    async fn version(&self) -> Result<RuntimeVersion, NodeError> {
        let request = proto::VersionRequest { version: "v1".to_owned() };
        let answer: proto::VersionResponse = self.call(runtime!("Version"), request).await?;
        Ok(RuntimeVersion { name: answer.runtime_name, version: answer.runtime_version })
    }

    async fn health(&self) -> Result<RuntimeHealth, NodeError> {
        let answer: proto::StatusResponse =
            self.call(runtime!("Status"), proto::StatusRequest { verbose: false }).await?;
        Ok(convert::health(answer.status))
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), NodeError> {
        let network = proto::NetworkConfig { pod_cidr: cidr.to_owned() };
        let config = proto::RuntimeConfig { network_config: Some(network) };
        let request = proto::UpdateRuntimeConfigRequest { runtime_config: Some(config) };
        self.call(runtime!("UpdateRuntimeConfig"), request).await.map(|Empty {}| ())
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String, NodeError> {
        let request = proto::RunPodSandboxRequest {
            config: Some(convert::sandbox_config(config)),
            runtime_handler: config.runtime_handler.clone(),
        };
        let answer: proto::PodSandboxId =
            self.call_within(runtime!("RunPodSandbox"), request, SANDBOX_DEADLINE).await?;
        Ok(answer.pod_sandbox_id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), NodeError> {
        let request = proto::PodSandboxId { pod_sandbox_id: id.to_owned() };
        gone_is_done(self.call::<_, Empty>(runtime!("StopPodSandbox"), request).await)
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), NodeError> {
        let request = proto::PodSandboxId { pod_sandbox_id: id.to_owned() };
        gone_is_done(self.call::<_, Empty>(runtime!("RemovePodSandbox"), request).await)
    }

    async fn sandbox(&self, id: &str) -> Result<Sandbox, NodeError> {
        let request = proto::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer: proto::PodSandboxStatusResponse = self.call(runtime!("PodSandboxStatus"), request).await?;
        answer.status.map(convert::sandbox_status).ok_or_else(|| missing("sandbox"))
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, NodeError> {
        let answer: proto::ListPodSandboxResponse =
            self.call(runtime!("ListPodSandbox"), proto::ListPodSandboxRequest {}).await?;
        Ok(answer.items.into_iter().map(convert::sandbox_item).collect())
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
        sandbox: &SandboxConfig,
    ) -> Result<String, NodeError> {
        let request = proto::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(convert::container_config(config, sandbox)),
            sandbox_config: Some(convert::sandbox_config(sandbox)),
        };
        let answer: proto::ContainerId = self.call(runtime!("CreateContainer"), request).await?;
        Ok(answer.container_id)
    }

    async fn start_container(&self, id: &str) -> Result<(), NodeError> {
        let request = proto::ContainerId { container_id: id.to_owned() };
        self.call(runtime!("StartContainer"), request).await.map(|Empty {}| ())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), NodeError> {
        let request = proto::StopContainerRequest { container_id: id.to_owned(), timeout: convert::seconds(grace) };
        let deadline = grace.saturating_add(SLACK);
        gone_is_done(self.call_within::<_, Empty>(runtime!("StopContainer"), request, deadline).await)
    }

    async fn remove_container(&self, id: &str) -> Result<(), NodeError> {
        let request = proto::ContainerId { container_id: id.to_owned() };
        gone_is_done(self.call::<_, Empty>(runtime!("RemoveContainer"), request).await)
    }

    async fn container(&self, id: &str) -> Result<Container, NodeError> {
        let status = proto::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let list = proto::ListContainersRequest { filter: Some(proto::ContainerFilter { id: id.to_owned() }) };
        // The status does not name the sandbox, the list does.
        let (status, list) = tokio::try_join!(
            self.call::<_, proto::ContainerStatusResponse>(runtime!("ContainerStatus"), status),
            self.call::<_, proto::ListContainersResponse>(runtime!("ListContainers"), list),
        )?;
        let status = status.status.ok_or_else(|| missing("container"))?;
        let listed = list.containers.into_iter().find(|item| item.id == status.id);
        let Some(listed) = listed else {
            return Err(NodeError::NotFound(format!("container {id} was removed meanwhile")));
        };
        Ok(convert::container_status(status, listed.pod_sandbox_id))
    }

    async fn containers(&self) -> Result<Vec<Container>, NodeError> {
        let request = proto::ListContainersRequest { filter: None };
        let answer: proto::ListContainersResponse = self.call(runtime!("ListContainers"), request).await?;
        Ok(answer.containers.into_iter().map(convert::container_item).collect())
    }

    async fn update_resources(&self, id: &str, resources: &LinuxResources) -> Result<(), NodeError> {
        let request = proto::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(convert::resources(resources)),
        };
        self.call(runtime!("UpdateContainerResources"), request).await.map(|Empty {}| ())
    }

    async fn reopen_log(&self, id: &str) -> Result<(), NodeError> {
        let request = proto::ContainerId { container_id: id.to_owned() };
        self.call(runtime!("ReopenContainerLog"), request).await.map(|Empty {}| ())
    }

    async fn stats(&self) -> Result<Vec<ContainerStats>, NodeError> {
        let answer: proto::ListContainerStatsResponse =
            self.call(runtime!("ListContainerStats"), proto::ListContainerStatsRequest {}).await?;
        Ok(answer.stats.into_iter().map(convert::stats).collect())
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, NodeError> {
        let request = proto::ImageStatusRequest { image: Some(image_spec(name)), verbose: false };
        let answer: proto::ImageStatusResponse = self.call(images!("ImageStatus"), request).await?;
        Ok(answer.image.map(convert::image))
    }

    async fn images(&self) -> Result<Vec<Image>, NodeError> {
        let answer: proto::ListImagesResponse = self.call(images!("ListImages"), proto::ListImagesRequest {}).await?;
        Ok(answer.images.into_iter().map(convert::image).collect())
    }

    async fn pull_image(&self, name: &str, auth: Option<&PullAuth>) -> Result<String, NodeError> {
        let request = proto::PullImageRequest { image: Some(image_spec(name)), auth: auth.map(convert::auth) };
        let answer: proto::PullImageResponse = self.call_within(images!("PullImage"), request, PULL_DEADLINE).await?;
        Ok(answer.image_ref)
    }

    async fn remove_image(&self, name: &str) -> Result<(), NodeError> {
        let request = proto::RemoveImageRequest { image: Some(image_spec(name)) };
        gone_is_done(self.call::<_, Empty>(images!("RemoveImage"), request).await)
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecOutput, NodeError> {
        let request = proto::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command.to_vec(),
            timeout: convert::seconds(timeout),
        };
        // CRI knows no part of a second, and 0 as no limit: the exact limit is ours, the runtime's only cleans up.
        let (wait, exact) =
            if timeout.is_zero() { (DEADLINE_MAX, DEADLINE_MAX) } else { (timeout.saturating_add(SLACK), timeout) };
        let call = self.call_within::<_, proto::ExecSyncResponse>(runtime!("ExecSync"), request, wait);
        match tokio::time::timeout(exact, call).await {
            Ok(answer) => {
                let answer = answer?;
                Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
            }
            Err(_) => Err(NodeError::Deadline(format!("command {:?} timed out after {timeout:?}", command.join(" ")))),
        }
    }

    async fn exec_url(&self, request: &StreamRequest) -> Result<String, NodeError> {
        let answer: proto::StreamUrl = self.call(runtime!("Exec"), convert::exec(request)).await?;
        Ok(answer.url)
    }

    async fn attach_url(&self, request: &StreamRequest) -> Result<String, NodeError> {
        let answer: proto::StreamUrl = self.call(runtime!("Attach"), convert::attach(request)).await?;
        Ok(answer.url)
    }

    async fn port_forward_url(&self, sandbox_id: &str, ports: &[u16]) -> Result<String, NodeError> {
        let request = proto::PortForwardRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            port: ports.iter().map(|port| i32::from(*port)).collect(),
        };
        let answer: proto::StreamUrl = self.call(runtime!("PortForward"), request).await?;
        Ok(answer.url)
    }

    fn events(&self) -> Option<BoxStream<'static, RuntimeEvent>> {
        self.has_events.then(|| events::open(self.connection.clone()))
    }
}

fn image_spec(name: &str) -> proto::ImageSpec {
    proto::ImageSpec { image: name.to_owned(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, want) in [
            ("1.6.20~ds1", Some((1, 6))),
            ("v2.0.0-rc.1", Some((2, 0))),
            ("1.4.13", Some((1, 4))),
            ("1", None),
            ("", None),
            ("main", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(parse_version(text), want, "{text:?}");
        }
    }

    #[test]
    fn what_has_gone_is_done() {
        assert!(gone_is_done::<()>(Err(NodeError::NotFound("x".into()))).is_ok());
        assert!(gone_is_done::<()>(Err(NodeError::Failed("x".into()))).is_err());
    }
}
