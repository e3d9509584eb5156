//! The cgroups of pods: `/kubepods[/burstable|/besteffort]/podUID`, one for each pod, in v1 per controller or in v2.

use std::path::{Path, PathBuf};

use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::Pod;

use crate::container::resources::{self, qos};

const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 8] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer"];

/// The pod's cgroup, such as `/kubepods/burstable/podUID`; empty leaves it to the runtime.
pub(crate) fn parent(root: &str, pod: &Pod) -> String {
    let (Some(spec), Some(uid)) = (&pod.spec, &pod.metadata.uid) else { return String::new() };
    if root.is_empty() {
        return String::new();
    }
    let class = match qos(pod, spec) {
        "Guaranteed" => "",
        "BestEffort" => "/besteffort",
        _ => "/burstable",
    };
    format!("{}{class}/pod{uid}", root.trim_end_matches('/'))
}

/// Whether cgroups can be made here: the caller leaves them to the runtime otherwise.
pub fn are_writable(root: &str) -> bool {
    let probe = |hierarchy: &Path| {
        let dir = hierarchy.join(root.trim_start_matches('/'));
        std::fs::create_dir_all(&dir).is_ok()
    };
    if is_v2() {
        probe(Path::new(MOUNT))
    } else {
        hierarchies().iter().all(|hierarchy| probe(hierarchy)) && !hierarchies().is_empty()
    }
}

fn is_v2() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

fn hierarchies() -> Vec<PathBuf> {
    if is_v2() {
        return vec![MOUNT.into()];
    }
    let dirs = CONTROLLERS.iter().map(|controller| Path::new(MOUNT).join(controller));
    dirs.filter(|dir| dir.is_dir()).collect()
}

/// Every hierarchy of this machine, also those that only name processes: the runtime makes the pod's cgroup in all of them.
fn all_hierarchies() -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from(MOUNT)];
    all.extend(std::fs::read_dir(MOUNT).into_iter().flatten().flatten().map(|entry| entry.path()));
    all.retain(|dir| dir.join("cgroup.procs").exists());
    all
}

/// Makes the pod's cgroup and sets its limits. What the machine does not allow is left to the runtime.
pub(crate) async fn create(root: &str, pod: &Pod) {
    let path = parent(root, pod);
    if path.is_empty() {
        return;
    }
    let values = limits(pod);
    let made = tokio::task::spawn_blocking(move || create_all(&path, &values)).await;
    if let Ok(Err(error)) = made {
        tracing::debug!(%error, "Could not make the cgroup of a pod.");
    }
}

fn create_all(path: &str, values: &Limits) -> std::io::Result<()> {
    for hierarchy in hierarchies() {
        let mut dir = hierarchy.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if is_v2() {
                // Children have the controllers that their parent passes on.
                let _ = std::fs::write(dir.join("cgroup.subtree_control"), "+cpu +memory +pids");
            }
            dir.push(part);
            std::fs::create_dir_all(&dir)?;
            if hierarchy.ends_with("cpuset") {
                inherit_cpuset(&dir);
            }
        }
        for (file, value) in values.files(&hierarchy) {
            if let Err(error) = std::fs::write(dir.join(file), &value) {
                tracing::debug!(%error, file, value, "Could not set a limit of a pod's cgroup.");
            }
        }
    }
    Ok(())
}

/// A new v1 cpuset is empty, and no process can enter it before it has processors and memory.
fn inherit_cpuset(dir: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let is_empty = std::fs::read_to_string(dir.join(file)).is_ok_and(|text| text.trim().is_empty());
        let from_parent = dir.parent().and_then(|parent| std::fs::read_to_string(parent.join(file)).ok());
        if let Some(value) = from_parent.filter(|_| is_empty) {
            let _ = std::fs::write(dir.join(file), value.trim());
        }
    }
}

/// The limits of a pod as a whole. `None` is no limit.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    cpu_shares: i64,
    cpu_quota: Option<i64>,
    memory: Option<i64>,
}

fn limits(pod: &Pod) -> Limits {
    let Some(spec) = &pod.spec else { return Limits { cpu_shares: 2, cpu_quota: None, memory: None } };
    let requests = sdk_workload::pod_requests(spec);
    let limits = sdk_workload::pod_limits(spec);
    let all_limited = |name: &str| {
        let limited = |c: &sdk_api::k8s_openapi::api::core::v1::Container| {
            c.resources.as_ref().and_then(|r| r.limits.as_ref()).is_some_and(|limits| limits.contains_key(name))
        };
        let of_pod = spec.resources.as_ref().and_then(|r| r.limits.as_ref()).is_some_and(|l| l.contains_key(name));
        of_pod || spec.containers.iter().all(limited)
    };
    let limit = |name: &str| limits.get(name).copied().filter(|limit| !limit.is_zero() && all_limited(name));
    Limits {
        cpu_shares: resources::shares(requests.get("cpu").copied().map_or(0, Quantity::milli)),
        cpu_quota: limit("cpu").map(|cpu| resources::quota(cpu.milli())),
        memory: limit("memory").map(Quantity::units),
    }
}

impl Limits {
    fn files(&self, hierarchy: &Path) -> Vec<(&'static str, String)> {
        let mut files = vec![];
        let period = resources::period();
        if is_v2() {
            // Source: KEP-2254, the conversion of shares to weights.
            let weight = 1 + ((self.cpu_shares - 2) * 9999) / 262_142;
            files.push(("cpu.weight", weight.to_string()));
            files.extend(self.cpu_quota.map(|quota| ("cpu.max", format!("{quota} {period}"))));
            files.extend(self.memory.map(|bytes| ("memory.max", bytes.to_string())));
        } else if hierarchy.ends_with("cpu") {
            files.push(("cpu.shares", self.cpu_shares.to_string()));
            if let Some(quota) = self.cpu_quota {
                files.push(("cpu.cfs_period_us", period.to_string()));
                files.push(("cpu.cfs_quota_us", quota.to_string()));
            }
        } else if hierarchy.ends_with("memory") {
            files.extend(self.memory.map(|bytes| ("memory.limit_in_bytes", bytes.to_string())));
        }
        files
    }
}

/// Removes the cgroups of a pod, whatever its class was. Fails while something is still in one of them.
pub(crate) async fn remove(root: &str, uid: &str) -> Result<(), String> {
    if root.is_empty() || uid.is_empty() {
        return Ok(());
    }
    let (root, uid) = (root.trim_matches('/').to_owned(), uid.to_owned());
    let removed = tokio::task::spawn_blocking(move || {
        for hierarchy in all_hierarchies() {
            for class in ["", "besteffort", "burstable"] {
                let dir = hierarchy.join(&root).join(class).join(format!("pod{uid}"));
                if dir.is_dir() {
                    remove_tree(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
                }
            }
        }
        Ok(())
    });
    removed.await.map_err(|error| error.to_string())?
}

/// Files in a cgroup cannot be removed, directories can, from the inside out.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::test_support::pod;

    fn of(resources: Value) -> Pod {
        pod(json!({"containers": [{"name": "a", "resources": resources}, {"name": "b", "resources": resources}]}))
    }

    #[test]
    fn a_pods_cgroup_follows_its_class() {
        let both = json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "64Mi"}});
        for (resources, path, limits_wanted) in [
            (json!({}), "/kubepods/besteffort/poduid", (2, None, None)),
            (json!({"requests": {"cpu": "1"}}), "/kubepods/burstable/poduid", (2048, None, None)),
            (both, "/kubepods/poduid", (1024, Some(100_000), Some(128 << 20))),
        ] {
            let pod = of(resources);
            assert_eq!(parent("/kubepods", &pod), path);
            let got = limits(&pod);
            assert_eq!((got.cpu_shares, got.cpu_quota, got.memory), limits_wanted, "{path}");
        }
        assert_eq!(parent("", &of(json!({}))), "");
    }
}
