//! Client programs as others write them, unmodified, against our server: Helm, Python, JavaScript and Rust.

use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::cluster::TestCluster;
use harness::desk::Desk;
use harness::kubectl;

/// A file that `tests/fetch-clients` fetched, or the reason for which a test cannot use it.
pub fn fetched(name: &str) -> Result<PathBuf, String> {
    let Some(folder) = std::env::var_os("KERNEL_CLIENTS").filter(|folder| !folder.is_empty()) else {
        return Err("KERNEL_CLIENTS does not name the folder of tests/fetch-clients".into());
    };
    let file = Path::new(&folder).join(name);
    if file.exists() { Ok(file) } else { Err(format!("{} is not there", file.display())) }
}

/// A desk at the cluster, with whatever kubectl there is, and our programs and chart in `$CLIENTS`.
pub fn desk(cluster: &TestCluster) -> Result<Desk> {
    let kubectl = kubectl::all().into_iter().next().map_or_else(|| "/nonexistent/kubectl".into(), |(_, path)| path);
    let mut desk = Desk::new(cluster.folder(), &cluster.kubeconfig(), &kubectl)?;
    desk.set("CLIENTS", env!("CARGO_MANIFEST_DIR"));
    Ok(desk)
}
