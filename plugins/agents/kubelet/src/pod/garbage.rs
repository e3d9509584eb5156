//! Removes what a pod has left behind: old runs of containers, old sandboxes, and in the end its files.

use std::collections::HashSet;
use std::sync::Arc;

use sdk_plugin::node::{Container, NodeError};

use crate::pod::labels;
use crate::pod::observed::{Observed, is_alive};
use crate::pod::slot::Slot;
use crate::running::Node;
use crate::volumes::mounts::message_file;

/// Dead runs kept for each container, so that `kubectl logs --previous` has something to show.
const DEAD_RUNS_MAX: usize = 1;

impl Node {
    pub(crate) async fn collect_garbage(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (runs, sandboxes) = garbage(&slot.state().observed);
        for run in runs {
            match self.runtime().remove_container(&run.id).await {
                Ok(()) | Err(NodeError::NotFound(_)) => {
                    self.note_absence(slot, &run.id);
                    if self.settings.on_host() {
                        crate::logs::rotate::remove(run.log_path.as_ref()).await;
                        let message = message_file(&self.settings, &slot.uid, &run.name, labels::restarts(&run));
                        let _ = tokio::fs::remove_file(message).await;
                    }
                }
                Err(error) => tracing::debug!(%error, id = run.id, "Could not remove a dead container."),
            }
        }
        for id in sandboxes {
            match self.runtime().remove_sandbox(&id).await {
                Ok(()) | Err(NodeError::NotFound(_)) => drop(self.note_absence(slot, &id)),
                Err(error) => tracing::debug!(%error, id, "Could not remove a dead sandbox."),
            }
        }
        let mut state = slot.state();
        let known: HashSet<String> = state.observed.containers.iter().map(|run| run.id.clone()).collect();
        state.messages.retain(|id, _| known.contains(id));
        state.pre_stopped.retain(|id| known.contains(id));
        state.announced.retain(|id| known.contains(id));
        state.applied.retain(|id, _| known.contains(id));
        state.verdicts.keep(|id| known.contains(id));
    }

    /// Removes the directories of pods that neither the API nor the runtime knows, as a kubelet that was killed while it
    /// cleaned up may have left them.
    pub(crate) async fn remove_orphaned_files(self: &Arc<Self>) {
        if !self.settings.on_host() {
            return;
        }
        let Ok(mut entries) = tokio::fs::read_dir(self.settings.root_dir.join("pods")).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let Ok(uid) = entry.file_name().into_string() else { continue };
            if self.slot(&uid).is_some() {
                continue;
            }
            let (namespace, name) = self.log_names(&uid).await.unwrap_or_default();
            if let Err(error) = self.remove_files(&uid, &namespace, &name).await {
                tracing::warn!(uid, error, "Could not remove the files of a pod that nobody knows.");
            }
        }
    }

    /// Namespace and name of a pod, as the directory of its logs tells them.
    async fn log_names(&self, uid: &str) -> Option<(String, String)> {
        let mut entries = tokio::fs::read_dir(&self.settings.log_dir).await.ok()?;
        while let Ok(Some(entry)) = entries.next_entry().await {
            let Ok(dir) = entry.file_name().into_string() else { continue };
            let names =
                dir.strip_suffix(uid).and_then(|rest| rest.strip_suffix('_')).and_then(|rest| rest.split_once('_'));
            if let Some((namespace, name)) = names {
                return Some((namespace.into(), name.into()));
            }
        }
        None
    }

    /// Removes the directories of a pod, its logs and its cgroup.
    pub(crate) async fn remove_files(&self, uid: &str, namespace: &str, name: &str) -> Result<(), String> {
        self.volumes.tear_down(uid, &self.settings).await?;
        if !self.settings.on_host() {
            return Ok(());
        }
        crate::container::cgroups::remove(&self.settings.cgroup_root, uid).await?;
        let mut dirs = vec![self.settings.pod_dir(uid)];
        if !namespace.is_empty() && !name.is_empty() {
            dirs.push(self.settings.pod_log_dir(namespace, name, uid));
        }
        for dir in dirs {
            match tokio::fs::remove_dir_all(&dir).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", dir.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Dead runs beyond the kept ones, and sandboxes that are neither the newest nor have anything left in them.
fn garbage(observed: &Observed) -> (Vec<Container>, Vec<String>) {
    let names: HashSet<&str> = observed.containers.iter().map(|run| run.name.as_str()).collect();
    let mut runs = vec![];
    for name in names {
        let newest = observed.latest(name).map(|run| run.id.clone());
        // The newest run is never garbage; if it is dead it is itself what is kept.
        let dead = observed.runs(name).filter(|run| !is_alive(run) && Some(&run.id) != newest.as_ref());
        let newest_dead = observed.latest(name).is_some_and(|run| !is_alive(run));
        let keep = if newest_dead { DEAD_RUNS_MAX.saturating_sub(1) } else { DEAD_RUNS_MAX };
        runs.extend(dead.skip(keep).cloned());
    }
    let removed: HashSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    let in_use =
        |id: &str| observed.containers.iter().any(|run| run.sandbox_id == id && !removed.contains(run.id.as_str()));
    let old = observed.sandboxes.iter().skip(1).filter(|sandbox| !sandbox.ready && !in_use(&sandbox.id));
    let sandboxes = old.map(|sandbox| sandbox.id.clone()).collect();
    (runs, sandboxes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::test_support::{run, sandbox};

    #[test]
    fn one_dead_run_of_each_container_stays() {
        let mut observed = Observed::default();
        observed.put_sandbox(sandbox("s0", 0, false));
        observed.put_sandbox(sandbox("s1", 1, true));
        observed.put_sandbox(sandbox("s2", 2, false));
        for (name, attempt, state) in [
            ("live", 0, "exited 1"),
            ("live", 1, "exited 1"),
            ("live", 2, "running"),
            ("dead", 0, "exited 1"),
            ("dead", 1, "exited 1"),
            ("only", 0, "exited 0"),
        ] {
            observed.put_container(run(name, attempt, state));
        }
        let (runs, sandboxes) = garbage(&observed);
        let mut runs: Vec<_> = runs.iter().map(|run| run.id.as_str()).collect();
        runs.sort_unstable();
        assert_eq!(runs, ["dead0", "live0"]);
        assert_eq!(sandboxes, Vec::<String>::new(), "s0 still has containers, s1 is alive, s2 is the newest");
        observed.containers.clear();
        assert_eq!(garbage(&observed).1, ["s0"]);
    }
}
