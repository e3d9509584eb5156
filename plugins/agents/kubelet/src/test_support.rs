//! What tests of several modules share.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use sdk_plugin::node::{
    Container, ContainerConfig, ContainerStats, ExecOutput, Image, LinuxResources, NodeError, NodeRuntime, PullAuth,
    RuntimeEvent, RuntimeHealth, RuntimeVersion, Sandbox, SandboxConfig, StreamRequest,
};

/// A runtime that is away: for tests that need one in their settings and never ask it.
pub(crate) struct NoRuntime;

fn away<T>() -> Result<T, NodeError> {
    Err(NodeError::Unavailable("no runtime here".into()))
}

#[async_trait]
impl NodeRuntime for NoRuntime {
    async fn version(&self) -> Result<RuntimeVersion, NodeError> {
        away()
    }
    async fn health(&self) -> Result<RuntimeHealth, NodeError> {
        away()
    }
    async fn set_pod_cidr(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn run_sandbox(&self, _: &SandboxConfig) -> Result<String, NodeError> {
        away()
    }
    async fn stop_sandbox(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn remove_sandbox(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn sandbox(&self, _: &str) -> Result<Sandbox, NodeError> {
        away()
    }
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, NodeError> {
        away()
    }
    async fn create_container(&self, _: &str, _: &ContainerConfig, _: &SandboxConfig) -> Result<String, NodeError> {
        away()
    }
    async fn start_container(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn stop_container(&self, _: &str, _: Duration) -> Result<(), NodeError> {
        away()
    }
    async fn remove_container(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn container(&self, _: &str) -> Result<Container, NodeError> {
        away()
    }
    async fn containers(&self) -> Result<Vec<Container>, NodeError> {
        away()
    }
    async fn update_resources(&self, _: &str, _: &LinuxResources) -> Result<(), NodeError> {
        away()
    }
    async fn reopen_log(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn stats(&self) -> Result<Vec<ContainerStats>, NodeError> {
        away()
    }
    async fn image(&self, _: &str) -> Result<Option<Image>, NodeError> {
        away()
    }
    async fn images(&self) -> Result<Vec<Image>, NodeError> {
        away()
    }
    async fn pull_image(&self, _: &str, _: Option<&PullAuth>) -> Result<String, NodeError> {
        away()
    }
    async fn remove_image(&self, _: &str) -> Result<(), NodeError> {
        away()
    }
    async fn exec_sync(&self, _: &str, _: &[String], _: Duration) -> Result<ExecOutput, NodeError> {
        away()
    }
    async fn exec_url(&self, _: &StreamRequest) -> Result<String, NodeError> {
        away()
    }
    async fn attach_url(&self, _: &StreamRequest) -> Result<String, NodeError> {
        away()
    }
    async fn port_forward_url(&self, _: &str, _: &[u16]) -> Result<String, NodeError> {
        away()
    }
    fn events(&self) -> Option<BoxStream<'static, RuntimeEvent>> {
        None
    }
}
