//! The data directory: what is where, and who uses it.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use crate::options::{Place, Runtime};

/// All that a cluster makes in its data directory, in the order in which a reset takes it away: what says where the rest
/// is goes last.
pub const OWN: [&str; 8] =
    ["kubelet", "pod-logs", "audit", "pki", "store", "admin.kubeconfig", "state.json", "outside.json"];

/// What to do about a folder that cannot be used.
const ADVICE: &str = "choose another folder with --data-dir";

/// Paths under one cluster's data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    pub root: PathBuf,
}

/// What a running cluster leaves for `status`, `down` and `reset` to find.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    pub name: String,
    pub pid: u32,
    pub address: SocketAddr,
    pub kubeconfig: PathBuf,
    pub runtime: Runtime,
    pub runtime_endpoint: String,
    pub nodes: u32,
    pub cni_conf_dir: PathBuf,
}

/// What clusters of this data directory ever left outside of it: `State` tells of the last start only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    pub contexts: Vec<ContextEntry>,
    pub nodes: Vec<NodeTrace>,
}

/// An entry in a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEntry {
    pub kubeconfig: PathBuf,
    pub name: String,
}

/// This machine as a node with real containers: rules, links and control groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTrace {
    /// The name that the cluster had, which is in the names of what it left.
    pub cluster: String,
    pub runtime_endpoint: String,
    pub cni_conf_dir: PathBuf,
}

impl DataDir {
    pub fn of(place: &Place) -> Result<Self> {
        let root = match &place.data_dir {
            Some(dir) => {
                std::path::absolute(dir).with_context(|| format!("--data-dir {} is no path", dir.display()))?
            }
            None if rustix::process::geteuid().is_root() => Path::new("/var/lib").join(&place.name),
            None => {
                let home =
                    std::env::home_dir().context("there is no home folder for the data; name one with --data-dir")?;
                home.join(".local/share").join(&place.name)
            }
        };
        Ok(Self { root })
    }

    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub fn audit_log(&self) -> PathBuf {
        self.root.join("audit").join("audit.log")
    }

    /// Volumes and other files of pods.
    pub fn kubelet(&self) -> PathBuf {
        self.root.join("kubelet")
    }

    /// Logs of containers.
    pub fn pod_logs(&self) -> PathBuf {
        self.root.join("pod-logs")
    }

    /// The admin's own kubeconfig, always here, whatever the user's says.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.root.join("admin.kubeconfig")
    }

    fn state_file(&self) -> PathBuf {
        self.root.join("state.json")
    }

    fn outside_file(&self) -> PathBuf {
        self.root.join("outside.json")
    }

    /// The file that whoever runs a cluster here has locked.
    pub fn lock_file(&self) -> PathBuf {
        self.store().join("lock")
    }

    /// Whether a cluster was ever started here.
    pub fn is_ours(&self) -> bool {
        [self.lock_file(), self.state_file(), self.outside_file()].iter().any(|file| file.exists())
    }

    /// Whether a cluster can start here, before anything is written: nobody uses it, nothing of somebody else is where
    /// our files go, and it can be written.
    pub fn check(&self) -> Result<()> {
        if let Some(state) = self.state()?.filter(|state| state.is_running(self)) {
            let State { name, pid, .. } = &state;
            bail!(
                "cluster {name:?} runs already in {} (process {pid}); stop it with `kubernel down`, or choose another \
                 --name or --data-dir",
                self.root.display()
            );
        }
        if !self.is_ours()
            && let Some(foreign) = OWN.iter().map(|name| self.root.join(name)).find(|path| is_in_the_way(path))
        {
            bail!("{} is there, and not ours; {ADVICE}", foreign.display());
        }
        [&self.root, &self.store()].into_iter().try_for_each(|path| check_writable(path, ADVICE))
    }

    /// Writes what runs, and adds it to what was ever left outside.
    pub fn write_state(&self, state: &State) -> Result<()> {
        let kubeconfig = std::path::absolute(&state.kubeconfig).unwrap_or_else(|_| state.kubeconfig.clone());
        let state = State { kubeconfig, ..state.clone() };
        let mut outside = self.outside()?;
        let known = outside.clone();
        let context = ContextEntry { kubeconfig: state.kubeconfig.clone(), name: state.name.clone() };
        if !outside.contexts.contains(&context) {
            outside.contexts.push(context);
        }
        let node = NodeTrace {
            cluster: state.name.clone(),
            runtime_endpoint: state.runtime_endpoint.clone(),
            cni_conf_dir: state.cni_conf_dir.clone(),
        };
        if state.runtime == Runtime::Cri && !outside.nodes.contains(&node) {
            outside.nodes.push(node);
        }
        if outside != known {
            write_json(&self.outside_file(), &outside)?;
        }
        write_json(&self.state_file(), &state)
    }

    /// What the last start left; `None` if there was none.
    pub fn state(&self) -> Result<Option<State>> {
        read_json(&self.state_file())
    }

    /// What was ever left outside.
    pub fn outside(&self) -> Result<Outside> {
        Ok(read_json(&self.outside_file())?.unwrap_or_default())
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain data");
    crate::pki::write_private(path, &text)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes);
            Ok(Some(value.with_context(|| format!("{} is damaged; correct or remove it", path.display()))?))
        }
        // A file in the place of a folder is told by whoever wants to write there.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether there is a file, or a folder with something in it.
fn is_in_the_way(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

/// Whether the path is, or can become, something to write into.
pub fn check_writable(path: &Path, advice: &str) -> Result<()> {
    let existing = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(path);
    let allowed = match existing.is_dir() {
        true => access(existing, Access::WRITE_OK | Access::EXEC_OK),
        false if existing == path => access(existing, Access::WRITE_OK),
        false => Err(rustix::io::Errno::NOTDIR),
    };
    allowed.map_err(|errno| {
        let errno = std::io::Error::from(errno);
        anyhow::anyhow!("cannot write {}: {}: {errno}; {advice}", path.display(), existing.display())
    })
}

impl State {
    /// Whether the process that wrote this still runs, and is a kubernel: a pid alone may be somebody else's by now.
    pub fn is_running(&self, dir: &DataDir) -> bool {
        let holder = fs::read_to_string(dir.lock_file()).unwrap_or_default();
        let named = holder.trim().parse::<u32>().is_ok_and(|pid| pid == self.pid);
        let command = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let is_ours = command.split(|byte| *byte == 0).any(|word| word == b"up" || word == b"server");
        named && is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_outside_adds_up() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir { root: temp.path().to_owned() };
        assert!(!dir.is_ours());
        let state = |kubeconfig: &str, runtime| State {
            name: "a".into(),
            pid: 1,
            address: ([127, 0, 0, 1], 1).into(),
            kubeconfig: kubeconfig.into(),
            runtime,
            runtime_endpoint: "/run/c.sock".into(),
            nodes: 1,
            cni_conf_dir: "/cni".into(),
        };
        for (kubeconfig, runtime, contexts, nodes) in [
            ("/k1", Runtime::Sim, 1, 0),
            ("/k2", Runtime::Cri, 2, 1),
            ("/k2", Runtime::Cri, 2, 1),
            ("relative", Runtime::None, 3, 1),
        ] {
            dir.write_state(&state(kubeconfig, runtime)).unwrap();
            let outside = dir.outside().unwrap();
            assert_eq!((outside.contexts.len(), outside.nodes.len()), (contexts, nodes), "{kubeconfig}");
            assert!(outside.contexts.iter().all(|entry| entry.kubeconfig.is_absolute()));
        }
        assert!(dir.is_ours());
    }

    #[test]
    fn a_folder_that_cannot_hold_data_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        fs::write(at("file"), "").unwrap();
        fs::create_dir_all(at("theirs/pki")).unwrap();
        fs::write(at("theirs/pki/mine.key"), "").unwrap();
        fs::create_dir_all(at("empty/store")).unwrap();
        fs::create_dir_all(at("ours/store")).unwrap();
        fs::write(at("ours/store/lock"), "").unwrap();
        fs::create_dir_all(at("ours/pki/x")).unwrap();
        for (path, wrong) in [
            ("new/folder", None),
            ("empty", None),
            ("ours", None),
            ("theirs", Some("not ours")),
            ("file", Some("Not a directory")),
            ("file/folder", Some("Not a directory")),
        ] {
            let result = DataDir { root: at(path) }.check().map_err(|error| error.to_string());
            assert_eq!(result.is_err(), wrong.is_some(), "{path}: {result:?}");
            assert!(result.err().unwrap_or_default().contains(wrong.unwrap_or_default()), "{path}");
        }
    }
}
