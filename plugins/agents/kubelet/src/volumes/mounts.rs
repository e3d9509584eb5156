//! What a container sees of the node's files: its volume mounts, its hosts file, its termination message.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use sdk_plugin::node::{Mount, MountPropagation};

use crate::container::expand::expand;
use crate::container::hosts;
use crate::settings::Settings;
use crate::volumes::subpath;

/// What mounts are made of.
pub(crate) struct Scope<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) settings: &'a Settings,
    /// Paths by volume name.
    pub(crate) volumes: &'a BTreeMap<String, PathBuf>,
    pub(crate) ips: &'a [String],
}

/// Where a run of a container may leave its last words.
pub(crate) fn message_file(settings: &Settings, uid: &str, container: &str, restarts: u32) -> PathBuf {
    settings.pod_dir(uid).join("containers").join(container).join(restarts.to_string())
}

/// The mounts of one run. The error is what `CreateContainerConfigError` says.
pub(crate) async fn of_container(
    scope: &Scope<'_>,
    container: &Container,
    env: &[(String, String)],
    attempt: u32,
) -> Result<Vec<Mount>, String> {
    let uid = scope.pod.metadata.uid.as_deref().unwrap_or_default();
    let mut mounts = vec![];
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(one(scope, container, mount, env, attempt, index).await?);
    }
    let mounted = |path: &str| container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == path);
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    if !mounted("/etc/hosts") {
        let path = scope.settings.pod_dir(uid).join("etc-hosts");
        let of_node = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let text = hosts::file(scope.pod, scope.ips, &of_node, scope.settings);
        tokio::fs::write(&path, text).await.map_err(|error| failed(&path, error))?;
        mounts.push(plain("/etc/hosts", &path));
    }
    let message_path = container.termination_message_path.as_deref().unwrap_or_default();
    if !message_path.is_empty() && !mounted(message_path) {
        let path = message_file(scope.settings, uid, &container.name, attempt);
        make_message_file(&path).map_err(|error| failed(&path, error))?;
        mounts.push(plain(message_path, &path));
    }
    Ok(mounts)
}

fn make_message_file(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, "")?;
    // Whatever user the container runs as.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

fn plain(container_path: &str, host_path: &Path) -> Mount {
    Mount {
        container_path: container_path.into(),
        host_path: host_path.to_string_lossy().into_owned(),
        readonly: false,
        propagation: MountPropagation::Private,
    }
}

async fn one(
    scope: &Scope<'_>,
    container: &Container,
    mount: &VolumeMount,
    env: &[(String, String)],
    attempt: u32,
    index: usize,
) -> Result<Mount, String> {
    let volume = scope.volumes.get(&mount.name).cloned();
    let volume = volume
        .ok_or_else(|| format!("cannot find volume {:?} to mount into container {:?}", mount.name, container.name))?;
    let path = sub_path(mount, env)?;
    let host_path = match path {
        None => volume,
        Some(path) => {
            let uid = scope.pod.metadata.uid.as_deref().unwrap_or_default();
            let dir = scope.settings.pod_dir(uid).join("volume-subpaths").join(&mount.name).join(&container.name);
            let mounted = tokio::task::spawn_blocking(move || {
                subpath::remove_others(&dir, &format!("{attempt}-"));
                subpath::mount(&volume, Path::new(&path), &dir.join(format!("{attempt}-{index}")))
            });
            mounted.await.map_err(|error| error.to_string())??
        }
    };
    let container_path =
        if mount.mount_path.starts_with('/') { mount.mount_path.clone() } else { format!("/{}", mount.mount_path) };
    Ok(Mount {
        container_path,
        host_path: host_path.to_string_lossy().into_owned(),
        readonly: mount.read_only == Some(true),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::HostToContainer,
            Some("Bidirectional") => MountPropagation::Bidirectional,
            _ => MountPropagation::Private,
        },
    })
}

/// The part of the volume that is mounted, if not all of it.
fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Result<Option<String>, String> {
    if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
        return Ok(Some(path.into()));
    }
    let Some(text) = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    let known: HashMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let missing = std::cell::Cell::new(false);
    let path = expand(text, |name| {
        let value = known.get(name).map(|value| (*value).to_owned());
        missing.set(missing.get() || value.is_none());
        value
    });
    if missing.get() {
        return Err(format!("missing value for subPathExpr {text:?}"));
    }
    Ok(Some(path).filter(|path| !path.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::pod::test_support::pod;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    #[tokio::test]
    async fn containers_see_their_volumes() {
        let temp = tempfile::tempdir().unwrap();
        let mut settings = Settings::new("n", Ground::Host, Arc::new(NoRuntime));
        settings.root_dir = temp.path().into();
        fs::create_dir_all(settings.pod_dir("uid")).unwrap();
        let pod = pod(json!({"containers": [{"name": "c", "terminationMessagePath": "/dev/termination-log",
            "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": true},
                {"name": "v", "mountPath": "shared", "mountPropagation": "HostToContainer"}]}]}));
        let volumes = BTreeMap::from([("v".to_owned(), PathBuf::from("/host/v"))]);
        let ips = ["10.0.0.5".to_owned()];
        let scope = Scope { pod: &pod, settings: &settings, volumes: &volumes, ips: &ips };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let mounts = of_container(&scope, container, &[], 2).await.unwrap();
        let short: Vec<_> = mounts.iter().map(|m| (m.container_path.as_str(), m.readonly)).collect();
        assert_eq!(
            short,
            [("/data", true), ("/shared", false), ("/etc/hosts", false), ("/dev/termination-log", false)]
        );
        assert_eq!(mounts[1].propagation, MountPropagation::HostToContainer);
        assert!(fs::read_to_string(&mounts[2].host_path).unwrap().contains("10.0.0.5\tp\n"));
        assert_eq!(fs::metadata(&mounts[3].host_path).unwrap().permissions().mode() & 0o777, 0o666);

        let unknown = BTreeMap::new();
        let scope = Scope { volumes: &unknown, ..scope };
        let error = of_container(&scope, container, &[], 2).await.unwrap_err();
        assert_eq!(error, "cannot find volume \"v\" to mount into container \"c\"");
    }

    #[test]
    fn sub_paths_expand() {
        let mount = |json: serde_json::Value| {
            let mut mount = json;
            mount["name"] = "v".into();
            mount["mountPath"] = "/x".into();
            serde_json::from_value::<VolumeMount>(mount).unwrap()
        };
        let env = [("POD".to_owned(), "p-0".to_owned())];
        for (source, want) in [
            (json!({}), Ok(None)),
            (json!({"subPath": "a/b"}), Ok(Some("a/b"))),
            (json!({"subPathExpr": "logs/$(POD)"}), Ok(Some("logs/p-0"))),
            (json!({"subPathExpr": "$(NOPE)"}), Err("missing value for subPathExpr \"$(NOPE)\"")),
        ] {
            let got = sub_path(&mount(source), &env);
            assert_eq!(got.as_ref().map(|path| path.as_deref()).map_err(String::as_str), want);
        }
    }
}
