//! Claims whose volume is a path of this node (`hostPath` or `local`); everything else needs a driver.

use std::path::PathBuf;

use sdk_api::Key;
use sdk_api::k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use sdk_client::Client;

use crate::container::env::not_found;
use crate::settings::Settings;
use crate::volumes::host_path;

/// The path of a bound claim; `None` on a simulated node.
pub(crate) async fn path(
    client: &Client,
    pod: &Pod,
    name: &str,
    settings: &Settings,
) -> Result<Option<PathBuf>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let found = client.find(&Key::of::<PersistentVolumeClaim>(namespace, name)).await.map_err(|s| s.message)?;
    let claim = found.and_then(|object| object.typed::<PersistentVolumeClaim>().ok());
    let claim = claim.ok_or_else(|| not_found("persistentvolumeclaim", name))?;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|_| bound);
    let volume = volume.ok_or_else(|| format!("PVC {namespace}/{name} is not bound"))?;
    let found = client.find(&Key::of::<PersistentVolume>("", volume)).await.map_err(|s| s.message)?;
    let found = found.and_then(|object| object.typed::<PersistentVolume>().ok());
    let found = found.ok_or_else(|| not_found("persistentvolume", volume))?;
    if !settings.on_host() {
        return Ok(None);
    }
    let spec = found.spec.as_ref();
    if let Some(host) = spec.and_then(|spec| spec.host_path.as_ref()) {
        return host_path::check(&host.path, host.type_.as_deref().unwrap_or_default()).await.map(Some);
    }
    if let Some(local) = spec.and_then(|spec| spec.local.as_ref()) {
        return host_path::check(&local.path, "Directory").await.map(Some);
    }
    Err("no volume plugin matched".into())
}
