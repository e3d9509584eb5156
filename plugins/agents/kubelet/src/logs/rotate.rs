//! Rotates container logs: `0.log` becomes `0.log.20261124-101112` when it has grown too large.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sdk_api::Timestamp;
use sdk_plugin::node::ContainerState;

use crate::running::Node;

impl Node {
    /// Looks at the logs of running containers again and again, until the node stops.
    pub(crate) async fn rotate_logs(self: &Arc<Self>) {
        if !self.settings.on_host() {
            return;
        }
        loop {
            self.sleep(self.settings.limits.log_check).await;
            for slot in self.slots() {
                let running: Vec<(String, PathBuf)> = {
                    let state = slot.state();
                    let running = state.observed.containers.iter().filter(|run| run.state == ContainerState::Running);
                    running.map(|run| (run.id.clone(), PathBuf::from(&run.log_path))).collect()
                };
                for (id, path) in running {
                    self.rotate_one(&id, &path).await;
                }
            }
        }
    }

    async fn rotate_one(&self, id: &str, path: &Path) {
        let limits = self.settings.limits;
        let size = tokio::fs::metadata(path).await.map(|meta| meta.len()).unwrap_or(0);
        if size <= limits.log_bytes_max || path.as_os_str().is_empty() {
            return;
        }
        let rotated = rotated_name(path, self.now());
        if let Err(error) = tokio::fs::rename(path, &rotated).await {
            tracing::warn!(%error, path = %path.display(), "Could not rotate a container's log.");
            return;
        }
        if let Err(error) = self.runtime().reopen_log(id).await {
            tracing::warn!(%error, id, "The runtime did not reopen a rotated log.");
            // It still writes to the old file: give it its name back.
            let _ = tokio::fs::rename(&rotated, path).await;
            return;
        }
        let old = rotated_files(path).await;
        let keep = limits.log_files_max.saturating_sub(1);
        for path in old.iter().take(old.len().saturating_sub(keep)) {
            let _ = tokio::fs::remove_file(path).await;
        }
    }
}

fn rotated_name(path: &Path, now: Timestamp) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(now.strftime(".%Y%m%d-%H%M%S").to_string());
    name.into()
}

/// The rotated files of a log, the oldest first.
pub(crate) async fn rotated_files(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return vec![];
    };
    let prefix = format!("{name}.");
    let mut found = vec![];
    let Ok(mut entries) = tokio::fs::read_dir(dir).await else { return found };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Removes a log and its rotated files.
pub(crate) async fn remove(path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    for path in rotated_files(path).await {
        let _ = tokio::fs::remove_file(path).await;
    }
    let _ = tokio::fs::remove_file(path).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rotated_files_are_found_and_removed() {
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("0.log");
        let now = "2026-11-24T10:11:12Z".parse().unwrap();
        assert_eq!(rotated_name(&log, now), temp.path().join("0.log.20261124-101112"));
        for name in ["0.log", "0.log.20261124-101112", "0.log.20261123-000000", "1.log", "10.log.20261123-000000"] {
            std::fs::write(temp.path().join(name), "").unwrap();
        }
        let found = rotated_files(&log).await;
        assert_eq!(found, [temp.path().join("0.log.20261123-000000"), temp.path().join("0.log.20261124-101112")]);
        remove(&log).await;
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
    }
}
