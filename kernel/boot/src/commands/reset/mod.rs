//! `kubernel reset`: takes away everything that a cluster left on this machine, and nothing else.
//!
//! - [`pods`]: sandboxes and containers in the runtime
//! - [`machine`]: control groups, rules, links and files of the network
//! - [`files`]: the data directory and the mounts below it

mod files;
mod machine;
mod pods;

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use sdk_plugin::node::NodeRuntime;

use crate::data_dir::DataDir;
use crate::footprint::Footprint;
use crate::kubeconfig;
use crate::options::Place;

#[derive(Args)]
pub struct Reset {
    #[command(flatten)]
    place: Place,
    /// List what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask the container runtime; for one that is gone for good
    #[arg(long)]
    keep_containers: bool,
}

/// A thing of ours.
enum Item {
    Container {
        runtime: Arc<dyn NodeRuntime>,
        id: String,
        pod: String,
    },
    Sandbox {
        runtime: Arc<dyn NodeRuntime>,
        id: String,
        pod: String,
    },
    Mount(PathBuf),
    Cgroup(PathBuf),
    /// An nftables table: `ip kubernel`.
    Rules {
        family: String,
        table: String,
    },
    /// A network interface.
    Link(String),
    /// The entry in a kubeconfig.
    Context {
        kubeconfig: PathBuf,
        name: String,
        authority: Option<String>,
    },
    File(PathBuf),
    Folder(PathBuf),
}

pub async fn run(reset: Reset) -> Result<()> {
    let dir = DataDir::of(&reset.place)?;
    if !dir.is_ours() {
        eprintln!("Nothing of a cluster is in {}", dir.root.display());
        return Ok(());
    }
    if let Some(state) = dir.state()?.filter(|state| state.is_running(&dir)) {
        bail!("cluster {:?} runs (process {}); stop it first: kubernel down", state.name, state.pid);
    }
    let _lock = lock(&dir)?;
    let outside = dir.outside()?;
    if !outside.nodes.is_empty() && !rustix::process::geteuid().is_root() {
        bail!("this cluster ran real containers: removing those, and its network rules, needs root; try sudo");
    }

    // Told before anything is gone.
    files::mounts(&dir)?;

    // Stage by stage: what one removes, such as a pod, can no longer change what the next one finds.
    let mut seen = HashSet::new();
    let mut pass = async |items: Vec<Item>| -> Result<()> {
        for item in items {
            if !seen.insert(item.to_string()) {
                continue;
            }
            if !reset.dry_run {
                item.remove().await.with_context(|| format!("cannot remove {item}"))?;
            }
            println!("{item}");
        }
        Ok(())
    };
    let uids = pods::uids(&dir);
    let mut networks: Vec<_> =
        outside.nodes.iter().map(|node| (node.cluster.as_str(), node.cni_conf_dir.clone())).collect();
    if !reset.keep_containers {
        for node in &outside.nodes {
            let Some(runtime) = pods::connect(&node.runtime_endpoint, &uids).await? else { continue };
            networks.extend(runtime.info().await?.cni_conf_dir.map(|folder| (node.cluster.as_str(), folder)));
            pass(pods::items(Arc::new(runtime), &dir, &uids).await?).await?;
        }
    }
    pass(files::mounts(&dir)?).await?;
    for (cluster, cni_conf_dir) in networks {
        let footprint = Footprint::of(cluster);
        pass(machine::cgroups(Path::new(machine::CGROUPS), &footprint.cgroup_root, &uids)).await?;
        pass(machine::rules(&footprint.table)?).await?;
        pass(machine::network(footprint.network(cni_conf_dir))?).await?;
    }
    let authority = fs::read_to_string(dir.pki().join("ca.crt")).ok();
    for context in &outside.contexts {
        if kubeconfig::is_in(&context.kubeconfig, &context.name, authority.as_deref())? {
            let (kubeconfig, name) = (context.kubeconfig.clone(), context.name.clone());
            pass(vec![Item::Context { kubeconfig, name, authority: authority.clone() }]).await?;
        }
    }
    let (items, foreign) = files::data(&dir)?;
    pass(items).await?;
    for path in foreign {
        eprintln!("Left {}, which is not ours", path.display());
    }
    Ok(())
}

/// Keeps a cluster from starting here while we work.
fn lock(dir: &DataDir) -> Result<Option<File>> {
    let Ok(file) = File::open(dir.lock_file()) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            bail!("a cluster runs in {}; stop it first: kubernel down", dir.root.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", dir.lock_file().display()))
        }
    }
}

impl Item {
    async fn remove(&self) -> Result<()> {
        match self {
            Self::Container { runtime, id, .. } => {
                runtime.stop_container(id, Duration::ZERO).await?;
                runtime.remove_container(id).await?;
            }
            Self::Sandbox { runtime, id, .. } => {
                runtime.stop_sandbox(id).await?;
                runtime.remove_sandbox(id).await?;
            }
            Self::Mount(path) => files::unmount(path)?,
            Self::Rules { family, table } => call("nft", &["delete", "table", family, table]).map(drop)?,
            Self::Link(name) => call("ip", &["link", "delete", name]).map(drop)?,
            Self::Context { kubeconfig, name, authority } => {
                kubeconfig::remove(kubeconfig, name, authority.as_deref()).map(drop)?;
            }
            Self::File(path) => fs::remove_file(path)?,
            Self::Cgroup(path) => machine::remove_cgroup(path)?,
            Self::Folder(path) => fs::remove_dir(path)?,
        }
        Ok(())
    }
}

/// One line: the kind, and the name. Whatever a file is called, it stays one line.
impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &PathBuf| path.display().to_string().replace('\n', "\\n");
        let (kind, name) = match self {
            Self::Container { id, pod, .. } => ("container", format!("{id} ({pod})")),
            Self::Sandbox { id, pod, .. } => ("sandbox", format!("{id} ({pod})")),
            Self::Mount(at) => ("mount", path(at)),
            Self::Cgroup(at) => ("cgroup", path(at)),
            Self::Rules { family, table } => ("rules", format!("nftables table {family} {table}")),
            Self::Link(name) => ("link", name.clone()),
            Self::Context { kubeconfig, name, .. } => ("context", format!("{name} in {}", path(kubeconfig))),
            Self::File(at) => ("file", path(at)),
            Self::Folder(at) => ("folder", path(at)),
        };
        write!(f, "{kind:<9} {name}")
    }
}

/// Runs a program of the operating system; its output, or what it complained about.
fn call(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
