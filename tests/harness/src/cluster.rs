//! A cluster for a test: in this process, on a temporary folder, with a kubeconfig of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use kernel_boot::cluster::Cluster;
use kernel_boot::options::{Runtime, Up};
use kernel_boot::progress::{Output, Progress};

use crate::desk::Desk;

/// A running test cluster.
pub struct TestCluster {
    folder: tempfile::TempDir,
    up: Up,
    cluster: Option<Cluster>,
}

impl TestCluster {
    /// Starts a cluster with simulated nodes; 0 nodes start the API, the controllers and the scheduler alone.
    pub async fn sim(nodes: u32) -> Result<Self> {
        let runtime = if nodes == 0 { Runtime::None } else { Runtime::Sim };
        Self::start(runtime, |up| up.nodes = nodes.max(1)).await
    }

    /// Starts a cluster with flags of the caller's choice.
    pub async fn start(runtime: Runtime, choose: impl FnOnce(&mut Up)) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kt").tempdir()?;
        let mut up = Up::new("test", folder.path().join("data"), folder.path().join("kubeconfig"), runtime);
        choose(&mut up);
        std::fs::create_dir_all(folder.path().join("work"))?;
        let mut test = Self { folder, up, cluster: None };
        test.boot().await?;
        Ok(test)
    }

    async fn boot(&mut self) -> Result<()> {
        let progress = Progress::new(Output::Json);
        self.cluster = Some(Cluster::start(&self.up, &progress).await?);
        Ok(())
    }

    /// Stops the cluster in order and starts it again on the same data, at the same address.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop_now().await;
        self.boot().await
    }

    async fn stop_now(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            self.up.listen = cluster.address;
            cluster.stop().await;
        }
    }

    /// Stops the cluster in order.
    pub async fn stop(mut self) {
        self.stop_now().await;
    }

    /// Stops the cluster in order, and leaves its folder to the caller.
    pub async fn stop_and_keep(mut self) -> tempfile::TempDir {
        self.stop_now().await;
        self.folder
    }

    /// Everything of this cluster and its clients.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the cluster keeps.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Where commands of transcripts run.
    pub fn work_folder(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("only restart() and stop() take it away")
    }

    /// Runs a transcript with a kubectl; the commands find it as `kubectl`.
    pub async fn transcript(&self, name: &str, text: &str, kubectl: &Path) -> Result<()> {
        let desk = Desk::new(self.folder.path(), &self.kubeconfig(), kubectl)?;
        let (name, text) = (name.to_owned(), text.to_owned());
        tokio::task::spawn_blocking(move || desk.transcript(&name, &text)).await?
    }
}
