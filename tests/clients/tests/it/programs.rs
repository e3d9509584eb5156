//! Programs in other languages: each prints the steps that went well.

use anyhow::Result;
use clients::{desk, fetched};
use harness::cluster::TestCluster;

/// Runs a command for one namespace; it must print these lines.
async fn steps(needs: &str, command: &str, expected: &[&str]) -> Result<()> {
    let program = match fetched(needs) {
        Ok(path) => path,
        Err(reason) => {
            println!("Not run: {reason}.");
            return Ok(());
        }
    };
    let cluster = TestCluster::sim(1).await?;
    let mut desk = desk(&cluster)?;
    desk.set("FETCHED", program.parent().expect("it lies in a folder").display());
    let command = command.to_owned();
    let held = tokio::task::spawn_blocking(move || desk.shell(&command)).await?;
    cluster.stop().await;
    assert_eq!(held?.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client() -> Result<()> {
    let command =
        "PYTHONPATH=$FETCHED/python timeout 180 python3 -W ignore $CLIENTS/programs/python_kubernetes.py team";
    let expected =
        ["create", "list in pages", "watch with resume", "patch and replace", "apply", "deployment", "delete"];
    steps("python", command, &expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kr8s() -> Result<()> {
    let command = "PYTHONPATH=$FETCHED/python timeout 180 python3 -W ignore $CLIENTS/programs/python_kr8s.py team";
    steps("python", command, &["create", "list", "patch", "watch", "workloads", "delete"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_javascript_client() -> Result<()> {
    let command = "timeout 180 node $CLIENTS/programs/node_client.mjs $FETCHED team";
    let expected = [
        "create",
        "list in pages",
        "watch with resume",
        "informer",
        "patch and replace",
        "apply",
        "deployment",
        "delete",
    ];
    steps("node_modules", command, &expected).await
}
