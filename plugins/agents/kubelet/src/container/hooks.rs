//! The hooks of a container's life: exec, http, tcp and sleep.

use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::{LifecycleHandler, Pod};

use crate::pod::members;
use crate::probe::http;
use crate::running::Node;

/// How long a postStart hook may take; upstream has no bound, an hour is as good.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// A hook of one container.
pub(crate) struct Call<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a str,
    pub(crate) id: &'a str,
    /// Of the pod.
    pub(crate) ip: Option<&'a str>,
}

impl Call<'_> {
    pub(crate) async fn run(&self, hook: &LifecycleHandler, longest: Duration) -> Result<(), String> {
        if let Some(exec) = &hook.exec {
            let command = exec.command.clone().unwrap_or_default();
            let output = self.node.runtime().exec_sync(self.id, &command, longest).await.map_err(|e| e.to_string())?;
            if output.exit_code == 0 {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            return Err(format!("command {command:?} exited with {}: {said}", output.exit_code));
        }
        if let Some(get) = &hook.http_get {
            if !self.node.settings.on_host() {
                return Ok(());
            }
            let member = members::find(self.pod, self.container);
            let request =
                http::Request::of(get, member.as_ref().map(|m| m.spec.as_ref()), self.ip.unwrap_or_default())?;
            let response = http::send(&request).await?;
            return if response.status < 400 {
                Ok(())
            } else {
                Err(format!("HTTP hook failed with statuscode: {}", response.status))
            };
        }
        if let Some(sleep) = &hook.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
            self.node.sleep(Duration::from_secs(seconds)).await;
        }
        Ok(())
    }
}
