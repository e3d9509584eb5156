//! Our pods in the container runtime, known by files in the data directory: the runtime may have pods of others too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use providers_runtime_cri::CriRuntime;
use sdk_plugin::node::NodeRuntime;

use super::Item;
use crate::data_dir::DataDir;

/// The UIDs of the pods that have files here: `kubelet/pods/UID`, and `pod-logs/NAMESPACE_NAME_UID`. Both are made before
/// a pod's sandbox, and go after it.
pub fn uids(dir: &DataDir) -> BTreeSet<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let logs = names(&dir.pod_logs()).into_iter().filter_map(|name| Some(name.rsplit_once('_')?.1.to_owned()));
    logs.chain(names(&dir.kubelet().join("pods"))).filter(|uid| !uid.is_empty()).collect()
}

/// The runtime, if it answers; a silent one is an error only if there may be pods of ours in it.
pub async fn connect(endpoint: &str, uids: &BTreeSet<String>) -> Result<Option<CriRuntime>> {
    match CriRuntime::connect(endpoint).await {
        Ok(runtime) => Ok(Some(runtime)),
        Err(_) if uids.is_empty() => Ok(None),
        Err(error) => bail!("{error}. To leave the containers of {} pods behind: --keep-containers", uids.len()),
    }
}

/// What the runtime has of our pods: containers, then sandboxes.
pub async fn items(runtime: Arc<dyn NodeRuntime>, dir: &DataDir, uids: &BTreeSet<String>) -> Result<Vec<Item>> {
    let sandboxes = runtime.sandboxes().await?;
    let mut ours: BTreeSet<&str> =
        sandboxes.iter().filter(|sandbox| uids.contains(&sandbox.pod_uid)).map(|sandbox| &*sandbox.id).collect();
    let containers = runtime.containers().await?;
    let logs = dir.pod_logs();
    for container in &containers {
        // A pod whose files were removed by hand: its containers still say where their logs went.
        if !ours.contains(&*container.sandbox_id)
            && runtime.container(&container.id).await.is_ok_and(|full| Path::new(&full.log_path).starts_with(&logs))
        {
            ours.insert(&container.sandbox_id);
        }
    }
    let pod = |sandbox_id: &str| {
        let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == sandbox_id);
        sandbox.map(|sandbox| format!("{}/{}", sandbox.pod_namespace, sandbox.pod_name)).unwrap_or_default()
    };
    let mut items = Vec::new();
    for container in containers.iter().filter(|container| ours.contains(&*container.sandbox_id)) {
        let pod = format!("{}/{}", pod(&container.sandbox_id), container.name);
        items.push(Item::Container { runtime: runtime.clone(), id: container.id.clone(), pod });
    }
    for sandbox in sandboxes.iter().filter(|sandbox| ours.contains(&*sandbox.id)) {
        items.push(Item::Sandbox { runtime: runtime.clone(), id: sandbox.id.clone(), pod: pod(&sandbox.id) });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use providers_runtime_sim::{Delays, Settings, SimRuntime};
    use sdk_plugin::node::{ContainerConfig, SandboxConfig};

    use super::*;

    #[tokio::test]
    async fn only_pods_with_files_here_are_ours() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir { root: temp.path().to_owned() };
        fs::create_dir_all(dir.kubelet().join("pods/u1")).unwrap();
        fs::create_dir_all(dir.pod_logs().join("default_web_u2")).unwrap();
        let runtime: Arc<dyn NodeRuntime> = Arc::new(
            SimRuntime::new(Settings {
                clock: Arc::new(sdk_api::SystemClock::default()),
                seed: 1,
                delays: Delays::default(),
                pod_cidr: Some("10.0.0.0/24".into()),
            })
            .unwrap(),
        );
        let elsewhere = "/var/log/pods/x";
        let here = dir.pod_logs().join("x").display().to_string();
        for (pod, uid, log_directory) in [
            ("volumes", "u1", elsewhere),
            ("logs", "u2", elsewhere),
            ("cleared-by-hand", "u3", here.as_str()),
            ("foreign", "u4", elsewhere),
        ] {
            let sandbox = SandboxConfig {
                pod_uid: uid.into(),
                pod_name: pod.into(),
                pod_namespace: "ns".into(),
                log_directory: log_directory.into(),
                ..SandboxConfig::default()
            };
            let id = runtime.run_sandbox(&sandbox).await.unwrap();
            let image_ref = runtime.pull_image("image", None).await.unwrap();
            let container = ContainerConfig {
                name: "c".into(),
                image: "image".into(),
                image_ref,
                log_path: "c/0.log".into(),
                ..ContainerConfig::default()
            };
            runtime.create_container(&id, &container, &sandbox).await.unwrap();
        }
        let found = items(runtime.clone(), &dir, &uids(&dir)).await.unwrap();
        let mut names: Vec<_> = found
            .iter()
            .map(|item| match item {
                Item::Container { pod, .. } | Item::Sandbox { pod, .. } => pod.as_str(),
                other => panic!("{other} is no pod"),
            })
            .collect();
        names.sort_unstable();
        let wanted =
            ["ns/cleared-by-hand", "ns/cleared-by-hand/c", "ns/logs", "ns/logs/c", "ns/volumes", "ns/volumes/c"];
        assert_eq!(names, wanted);
        for item in &found {
            item.remove().await.unwrap();
        }
        let left: Vec<_> = runtime.sandboxes().await.unwrap().into_iter().map(|sandbox| sandbox.pod_name).collect();
        assert_eq!(left, ["foreign"]);
        assert_eq!(runtime.containers().await.unwrap().len(), 1);
    }
}
