//! The process on real containers: killed at any moment, it finds everything again; and what it leaves, `reset` takes away.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::desk::Desk;
use harness::images::{BUSYBOX, WEB};
use harness::kubectl;
use harness::real::{EVICTION_HARD, Machine, node_programs};
use serde_json::Value;

const START: &str = include_str!("real/start.txt");
const DOWN: &str = include_str!("real/down.txt");
const AGAIN: &str = include_str!("real/again.txt");
const BURST: &str = include_str!("real/burst.txt");
const GONE: &str = include_str!("real/gone.txt");
const STOPPED: &str = include_str!("real/stopped.txt");
const RESET: &str = include_str!("real/reset.txt");
/// What is logged where nobody asks for anything else.
const LOG: &str = "info,agents_kubelet=debug";
/// How much of the log a failure shows.
const LOG_LINES: usize = 80;
/// Acknowledged writes before the process is killed.
const WRITES: usize = 12;

/// A running `kubernel up`, killed when dropped.
struct Up {
    child: Child,
}

impl Up {
    /// Starts it, and returns when it says that it is ready.
    fn start(machine: &Machine, folder: &Path) -> Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(folder.join("stderr"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubernel"))
            .args(["up", "--listen", "127.0.0.1:0", "-o", "json", "--runtime", "cri", "--kubelet-port", "0"])
            .args(["--eviction-hard", EVICTION_HARD])
            .args(["--name", &machine.name, "--runtime-endpoint", &machine.endpoint])
            .args(["--pod-cidr", &machine.pod_cidr, "--service-cidr", &machine.service_cidr])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--kubeconfig")
            .arg(folder.join("kubeconfig"))
            .env("KUBERNEL_LOG", std::env::var("KUBERNEL_LOG").unwrap_or_else(|_| LOG.into()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout was piped")?).lines();
        let up = Self { child };
        for line in lines {
            let line: Value = serde_json::from_str(&line?)?;
            if line["step"] == "ready" {
                return Ok(up);
            }
        }
        anyhow::bail!("it ended: {}", std::fs::read_to_string(folder.join("stderr"))?)
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The revision of the whole store, and the names of all ConfigMaps of writers.
fn seen(desk: &Desk) -> Result<(u64, Vec<String>)> {
    let list: Value = serde_json::from_str(&desk.shell("kubectl get --raw /api/v1/namespaces/default/configmaps")?)?;
    let revision = list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.parse()?;
    let names = list["items"].as_array().into_iter().flatten();
    Ok((revision, names.filter_map(|item| Some(item["metadata"]["name"].as_str()?.to_owned())).collect()))
}

/// Writes until the server is gone; returns what was acknowledged.
fn write_until_killed(desk: &Desk, up: Up) -> Result<Vec<String>> {
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let enough = &enough;
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    loop {
                        let name = format!("w{writer}-{}", acknowledged.len());
                        if desk.shell(&format!("kubectl create configmap {name} --from-literal=a=b")).is_err() {
                            return acknowledged;
                        }
                        acknowledged.push(name);
                        if acknowledged.len() == WRITES / 2 {
                            enough.store(true, Ordering::Release);
                        }
                    }
                })
            })
            .collect();
        while !enough.load(Ordering::Acquire) {
            ensure!(writers.iter().any(|writer| !writer.is_finished()), "nothing can be written");
            thread::sleep(Duration::from_millis(5));
        }
        up.kill()?;
        Ok(writers.into_iter().flat_map(|writer| writer.join().expect("writers do not panic")).collect())
    })
}

fn scenario(machine: &Machine, folder: &Path) -> Result<()> {
    let up = Up::start(machine, folder)?;
    let (_, kubectl) = kubectl::all().into_iter().next().context("there is no kubectl on the path")?;
    let mut desk = Desk::new(&folder.join("desk"), &folder.join("kubeconfig"), &kubectl)?;
    node_programs(&mut desk, machine, folder.join("data"))?;
    for (name, value) in [("BUSYBOX", BUSYBOX), ("WEB", WEB), ("KUBERNEL", env!("CARGO_BIN_EXE_kubernel"))] {
        desk.set(name, value);
    }
    desk.set("NAME", &machine.name);
    desk.set("BRIDGE", machine.footprint().bridge);
    desk.transcript("start", START)?;

    let (before, _) = seen(&desk)?;
    let acknowledged = write_until_killed(&desk, up)?;
    desk.transcript("down", DOWN)?;

    let up = Up::start(machine, folder)?;
    let (after, known) = seen(&desk)?;
    ensure!(after >= before + acknowledged.len() as u64, "the revision went back: {before} to {after}");
    let lost: Vec<_> = acknowledged.iter().filter(|name| !known.contains(name)).collect();
    ensure!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    desk.transcript("again", AGAIN)?;

    // In the middle of starting pods, at one moment and another.
    let mut up = up;
    for moment in [150, 600] {
        desk.shell(&format!("kubectl create deployment burst-{moment} --image=$WEB --replicas=3 --port=8080"))?;
        thread::sleep(Duration::from_millis(moment));
        up.kill()?;
        up = Up::start(machine, folder)?;
    }
    desk.transcript("burst", BURST)?;

    // In the middle of ending them.
    desk.shell("kubectl delete deployment burst-150 --wait=false")?;
    thread::sleep(Duration::from_millis(200));
    up.kill()?;
    let up = Up::start(machine, folder)?;
    desk.transcript("gone", GONE)?;

    desk.shell("$KUBERNEL down --name $NAME --data-dir $DATA")?;
    drop(up);
    desk.transcript("stopped", STOPPED)?;
    desk.transcript("reset", RESET)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_on_real_containers() -> Result<()> {
    if let Some(reason) = Machine::unavailable() {
        println!("Not run: {reason}.");
        return Ok(());
    }
    let machine = Machine::start().await?;
    let folder = tempfile::Builder::new().prefix("kx").tempdir()?;
    let path: PathBuf = folder.path().to_owned();
    let held = tokio::task::block_in_place(|| scenario(&machine, &path));
    if held.is_err() {
        let log = std::fs::read_to_string(path.join("stderr")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
    }
    let stopped = machine.stop(&path).await;
    held?;
    stopped
}
