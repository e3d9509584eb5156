//! `kernel reset` after a node with real containers was killed: the kernel's own lists say what is left.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::containerd::Containerd;
use harness::images;
use providers_runtime_cri::CriRuntime;
use sdk_plugin::node::{NodeRuntime, SandboxConfig};
use serde_json::json;

#[path = "crash/client.rs"]
mod client;
#[allow(dead_code)]
mod support;

use client::Client;
use support::{Place, Running};

const PODS: &str = "/api/v1/namespaces/default/pods";
const RUNNING_WITHIN: Duration = Duration::from_secs(90);

/// What of a cluster can be seen on the machine, outside of its data directory.
fn traces(cluster: &str, containerd: &Containerd, data: &Path) -> Result<Vec<&'static str>> {
    let run = |program: &str, arguments: &[&str]| -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let output = Command::new(program).args(arguments).env("PATH", path).output().context(program.to_owned())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let rules = run("nft", &["list", "tables"])?;
    let links = run("ip", &["-oneline", "link"])?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let groups = run("find", &["/sys/fs/cgroup", "-maxdepth", "2", "-name", &format!("kubepods-{cluster}")])?;
    let conflists = std::fs::read_dir(containerd.conf_dir())?.count();
    let found = [
        ("rules", rules.contains(&format!("table ip kubernel-{cluster}\n"))),
        ("link", links.contains(&format!(" kn-{cluster}: "))),
        ("mount", mounts.contains(&data.display().to_string())),
        ("cgroup", !groups.is_empty()),
        ("conflist", conflists > 0),
        ("leases", Path::new("/var/lib/cni/networks").join(format!("kubernel-{cluster}")).exists()),
        ("data", data.exists()),
    ];
    Ok(found.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect())
}

/// Runs `kubernel` and returns whether it succeeded, and what it printed.
fn run(place: &Place, command: &[&str]) -> Result<(bool, String, String)> {
    let output = place.kubernel(command).output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_leaves_nothing_of_ours_and_everything_of_others() -> Result<()> {
    if let Some(why) = Containerd::unavailable() {
        println!("Left out: {why}.");
        return Ok(());
    }
    let mut containerd = Containerd::start().await?;
    let folder = tempfile::tempdir()?;
    for archive in images::save_all(folder.path())? {
        containerd.load(&archive)?;
    }
    let runtime = CriRuntime::connect(&containerd.endpoint()).await?;
    let foreign = SandboxConfig {
        pod_uid: "foreign".into(),
        pod_name: "foreign".into(),
        pod_namespace: "default".into(),
        host_network: true,
        log_directory: folder.path().join("logs").display().to_string(),
        ..SandboxConfig::default()
    };
    runtime.run_sandbox(&foreign).await?;

    let cluster = containerd.cluster_name();
    let place = Place::new(&cluster);
    let mut up = place.up("cri");
    up.args([
        "--runtime-endpoint",
        &containerd.endpoint(),
        "--kubelet-port",
        "0",
        "--eviction-hard",
        harness::real::EVICTION_HARD,
        "--pod-cidr",
        &containerd.pod_cidr(),
    ]);
    let mut running = Running::start(&place, up);
    running.until("ready");
    let mut client = Client::connect(&place.kubeconfig(), &cluster).await?;
    let container = json!({"name": "c", "image": images::BUSYBOX, "imagePullPolicy": "IfNotPresent"});
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [container]}});
    let deadline = Instant::now() + RUNNING_WITHIN;
    loop {
        // The default service account takes a moment to appear, and the pod one to start.
        let (_, answer) = client.send("POST", PODS, Some(&pod)).await?;
        let (_, found) = client.send("GET", &format!("{PODS}/web"), None).await?;
        if found["status"]["phase"] == "Running" {
            break;
        }
        ensure!(Instant::now() < deadline, "{answer} {found} {}", running.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.kill();

    let all = ["rules", "link", "mount", "cgroup", "conflist", "leases", "data"];
    let (ok, listed, error) = run(&place, &["reset", "--dry-run"])?;
    assert!(ok, "{error}");
    for kind in ["container", "sandbox", "mount", "cgroup", "rules", "link", "context", "file", "folder"] {
        assert!(listed.lines().any(|line| line.starts_with(&format!("{kind} "))), "no {kind} in {listed}");
    }
    assert_eq!(traces(&cluster, &containerd, &place.data())?, all, "a dry run changes nothing");
    assert_eq!(runtime.sandboxes().await?.len(), 2);

    containerd.crash()?;
    let (ok, done, error) = run(&place, &["reset"])?;
    assert!(!ok && done.is_empty() && error.contains("--keep-containers"), "{done}{error}");
    assert_eq!(traces(&cluster, &containerd, &place.data())?, all, "what cannot be done in full is not begun");
    containerd.restart().await?;

    let (ok, done, error) = run(&place, &["reset"])?;
    assert!(ok, "{done}{error}");
    for line in done.lines() {
        assert!(listed.lines().any(|listed| listed == line), "{line:?} was removed, but not in {listed}");
    }
    assert_eq!(traces(&cluster, &containerd, &place.data())?, Vec::<&str>::new());
    assert!(!place.kubeconfig().exists());
    let left: Vec<_> = runtime.sandboxes().await?.into_iter().map(|sandbox| sandbox.pod_name).collect();
    assert_eq!(left, ["foreign"]);
    containerd.stop().await
}
