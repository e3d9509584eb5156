//! The volumes of pods: set up before containers, refreshed while they run, taken down after.

mod atomic;
mod claim;
mod directory;
mod host_path;
pub(crate) mod mounts;
mod ownership;
mod payload;
mod subpath;
mod token;
mod unmount;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume, VolumeProjection};
use sdk_api::{Clock, Key, Timestamp, Typed};
use sdk_client::Client;

use crate::container::env::{Facts, not_found};
use crate::objects::Objects;
use crate::settings::Settings;
use crate::volumes::payload::{File, Payload};
use crate::volumes::token::Tokens;

/// A volume that could not be set up.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) volume: String,
    pub(crate) message: String,
}

/// All volumes of a node.
pub(crate) struct Volumes {
    client: Client,
    clock: Arc<dyn Clock>,
    objects: Arc<Objects>,
    tokens: Tokens,
}

impl Volumes {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>, objects: Arc<Objects>) -> Self {
        let tokens = Tokens::new(client.clone(), clock.clone());
        Self { client, clock, objects, tokens }
    }

    /// Sets up all volumes of a pod, or brings their contents up to date. The paths, by volume name.
    pub(crate) async fn set_up(&self, pod: &Pod, settings: &Settings) -> Result<BTreeMap<String, PathBuf>, Failure> {
        let mut paths = BTreeMap::new();
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        for volume in volumes.into_iter().flatten() {
            let path = Box::pin(self.set_up_one(pod, volume, settings)).await;
            let path = path.map_err(|message| Failure { volume: volume.name.clone(), message })?;
            paths.extend(path.map(|path| (volume.name.clone(), path)));
        }
        Ok(paths)
    }

    /// When contents must be refreshed though nothing changed: tokens run out.
    pub(crate) fn refresh_in(&self, pod_uid: &str, now: Timestamp) -> Option<Duration> {
        self.tokens.refresh_in(pod_uid, now)
    }

    /// Unmounts and removes all volumes of a pod; what is not there is no error.
    pub(crate) async fn tear_down(&self, pod_uid: &str, settings: &Settings) -> Result<(), String> {
        self.tokens.forget(pod_uid);
        if !settings.on_host() || pod_uid.is_empty() {
            return Ok(());
        }
        let dir = settings.pod_dir(pod_uid);
        tokio::task::spawn_blocking(move || unmount::tear_down(&dir)).await.map_err(|error| error.to_string())?
    }

    async fn set_up_one(&self, pod: &Pod, volume: &Volume, settings: &Settings) -> Result<Option<PathBuf>, String> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let base = settings.pod_dir(uid).join("volumes");
        let dir = |plugin: &str| base.join(format!("kubernetes.io~{plugin}")).join(&volume.name);
        let fs_group = ownership::fs_group(pod);
        if let Some(empty) = &volume.empty_dir {
            if !settings.on_host() {
                return Ok(None);
            }
            return directory::empty(dir("empty-dir"), empty, fs_group).await.map(Some);
        }
        if let Some(host) = &volume.host_path {
            if !settings.on_host() {
                return Ok(None);
            }
            return host_path::check(&host.path, host.type_.as_deref().unwrap_or_default()).await.map(Some);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return claim::path(&self.client, pod, &claim.claim_name, settings).await;
        }
        let (plugin, secret, contents) = if let Some(map) = &volume.config_map {
            let mode = payload::mode(map.default_mode);
            let found = self.read::<ConfigMap>(pod, &map.name, settings).await?;
            ("configmap", false, payload::of_config_map(found.as_deref(), map, mode)?)
        } else if let Some(source) = &volume.secret {
            let mode = payload::mode(source.default_mode);
            let name = source.secret_name.as_deref().unwrap_or_default();
            let found = self.read::<Secret>(pod, name, settings).await?;
            ("secret", true, payload::of_secret(found.as_deref(), source, mode)?)
        } else if let Some(source) = &volume.downward_api {
            let mode = payload::mode(source.default_mode);
            let items = source.items.as_deref().unwrap_or_default();
            ("downward-api", false, self.downward(pod, items, mode, settings)?)
        } else if let Some(source) = &volume.projected {
            let mode = payload::mode(source.default_mode);
            let mut all = Payload::new();
            for projection in source.sources.iter().flatten() {
                all.extend(self.project(pod, projection, mode, settings).await?);
            }
            ("projected", true, all)
        } else {
            return Err("no volume plugin matched".into());
        };
        if !settings.on_host() {
            return Ok(None);
        }
        let (dir, now) = (dir(plugin), self.clock.now());
        let written = tokio::task::spawn_blocking(move || {
            directory::make(&dir, secret)?;
            atomic::write(&dir, &contents, fs_group, now).map_err(|error| format!("{}: {error}", dir.display()))?;
            Ok(dir)
        });
        written.await.map_err(|error| error.to_string())?.map(Some)
    }

    /// The object, as the shared watch shows it; a simulated node reads it once.
    async fn read<T: Typed>(&self, pod: &Pod, name: &str, settings: &Settings) -> Result<Option<Arc<T>>, String> {
        let key = Key::of::<T>(pod.metadata.namespace.as_deref().unwrap_or_default(), name);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let found =
            if settings.on_host() { self.objects.follow(&key, uid).await } else { self.objects.read(&key).await };
        let found = found.map_err(|status| status.message)?;
        Ok(found.and_then(|object| object.typed().ok()))
    }

    fn downward(
        &self,
        pod: &Pod,
        items: &[sdk_api::k8s_openapi::api::core::v1::DownwardAPIVolumeFile],
        mode: u32,
        settings: &Settings,
    ) -> Result<Payload, String> {
        let hosts: Vec<String> = settings.node_ips.iter().map(ToString::to_string).collect();
        let facts = Facts { pod, pod_ips: &[], host_ips: &hosts, settings };
        payload::of_downward(&facts, items, mode)
    }

    async fn project(
        &self,
        pod: &Pod,
        projection: &VolumeProjection,
        mode: u32,
        settings: &Settings,
    ) -> Result<Payload, String> {
        if let Some(map) = &projection.config_map {
            let found = self.read::<ConfigMap>(pod, &map.name, settings).await?;
            let source = sdk_api::k8s_openapi::api::core::v1::ConfigMapVolumeSource {
                name: map.name.clone(),
                items: map.items.clone(),
                optional: map.optional,
                default_mode: None,
            };
            return payload::of_config_map(found.as_deref(), &source, mode);
        }
        if let Some(secret) = &projection.secret {
            let found = self.read::<Secret>(pod, &secret.name, settings).await?;
            let source = sdk_api::k8s_openapi::api::core::v1::SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                items: secret.items.clone(),
                optional: secret.optional,
                default_mode: None,
            };
            return payload::of_secret(found.as_deref(), &source, mode);
        }
        if let Some(downward) = &projection.downward_api {
            return self.downward(pod, downward.items.as_deref().unwrap_or_default(), mode, settings);
        }
        if let Some(source) = &projection.service_account_token {
            if !settings.on_host() {
                return Ok(Payload::new());
            }
            let token = self.tokens.get(pod, source).await?;
            let owner = ownership::only_user(pod);
            let mode = if owner.is_some() || ownership::fs_group(pod).is_some() { 0o600 } else { mode };
            let path = payload::checked_path(&source.path)?;
            return Ok(Payload::from([(path, File { data: token.into_bytes(), mode, owner })]));
        }
        if let Some(bundle) = &projection.cluster_trust_bundle {
            if bundle.optional == Some(true) {
                return Ok(Payload::new());
            }
            return Err(not_found("clustertrustbundle", bundle.name.as_deref().unwrap_or_default()));
        }
        Err("no projection source matched".into())
    }
}

#[cfg(test)]
mod tests;
