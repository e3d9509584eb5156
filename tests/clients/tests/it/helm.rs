//! Helm installs, upgrades, rolls back and uninstalls a chart with hooks.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use clients::{desk, fetched};
use harness::cluster::TestCluster;

async fn run(program: &str) -> Result<()> {
    let helm = match fetched(program) {
        Ok(path) => path,
        Err(reason) => {
            println!("Not run: {reason}.");
            return Ok(());
        }
    };
    let transcript = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts/helm.txt");
    let text = std::fs::read_to_string(&transcript).context("cannot read the transcript")?;
    let cluster = TestCluster::sim(1).await?;
    let desk = desk(&cluster)?;
    symlink(helm, cluster.folder().join("bin/helm"))?;
    let name = program.to_owned();
    let held = tokio::task::spawn_blocking(move || desk.transcript(&name, &text)).await?;
    cluster.stop().await;
    held
}

/// The last line that applies on the client's side.
#[tokio::test(flavor = "multi_thread")]
async fn helm_3_16() -> Result<()> {
    run("helm.3.16").await
}

/// Applies on the server's side.
#[tokio::test(flavor = "multi_thread")]
async fn helm_4_2() -> Result<()> {
    run("helm.4.2").await
}
