//! What a user does with kubectl, on real containers: many transcripts on one cluster, each in a namespace of its own.
//!
//! - `KERNEL_REAL=logs,example` runs these alone.
//! - `KUBERNEL_LOG=debug` shows what the cluster tells.
//! - `KERNEL_REAL_HOLD=FILE` starts the cluster, writes how to reach it into the file, and keeps it until the file is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::desk::Desk;
use harness::images;
use harness::kubectl;
use harness::real::{Machine, RealCluster};

/// Transcripts `real_NAME.txt`, the longest first.
const NAMES: &[&str] =
    &["example", "trouble", "probes", "rollout", "files", "images", "ends", "streams", "pods", "services", "init"];
/// Transcripts that run with every kubectl.
const WITH_EVERY_KUBECTL: &[&str] = &["every"];
/// Transcripts before containerd crashes, while it is away, and when it is back.
const AROUND_A_CRASH: &[&str] = &["before", "down", "after"];
/// What else `KERNEL_REAL` may name: the measurement, the crash of containerd, and nothing at all.
const PARTS: &[&str] = &["starts", "containerd", "none"];
/// How many run at the same time: most of them wait most of the time.
const AT_A_TIME_MAX: usize = 5;
/// Starts of a pod whose times are measured.
const STARTS: usize = 10;

struct Scenario {
    name: String,
    transcript: String,
    kubectl: PathBuf,
}

fn transcript(name: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(format!("real_{name}.txt"));
    std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn scenarios() -> Result<Vec<Scenario>> {
    let kubectls = kubectl::all();
    let (_, default) = kubectls.first().context("there is no kubectl on the path")?;
    let mut found = Vec::new();
    for name in NAMES {
        found.push(Scenario { name: (*name).into(), transcript: transcript(name)?, kubectl: default.clone() });
    }
    for name in WITH_EVERY_KUBECTL {
        let text = transcript(name)?;
        for (version, kubectl) in &kubectls {
            let name = format!("{name}-{}", version.replace('.', "-"));
            found.push(Scenario { name, transcript: text.clone(), kubectl: kubectl.clone() });
        }
    }
    if let Ok(wanted) = std::env::var("KERNEL_REAL") {
        let wanted: Vec<&str> = wanted.split(',').collect();
        let known = |name: &&str| PARTS.contains(name) || found.iter().any(|scenario| scenario.name == *name);
        ensure!(wanted.iter().all(known), "KERNEL_REAL={} names something else", wanted.join(","));
        found.retain(|scenario| wanted.contains(&&*scenario.name));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scenarios_on_real_containers() -> Result<()> {
    if let Some(reason) = Machine::unavailable() {
        println!("Not run: {reason}.");
        return Ok(());
    }
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("KUBERNEL_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let scenarios = scenarios()?;
    let mut cluster = RealCluster::start().await?;
    let held = match on(&cluster, scenarios).await {
        Ok(()) => without_containerd(&mut cluster).await,
        wrong => wrong,
    };
    if held.is_err() {
        println!("containerd: {}", cluster.machine().containerd().log());
    }
    let stopped = cluster.stop().await;
    held?;
    stopped
}

async fn on(cluster: &RealCluster, scenarios: Vec<Scenario>) -> Result<()> {
    let desks: Vec<Desk> =
        scenarios.iter().map(|scenario| cluster.desk(&scenario.name, &scenario.kubectl)).collect::<Result<_>>()?;
    let (_, kubectl) = kubectl::all().into_iter().next().context("there is no kubectl on the path")?;
    let first = cluster.desk("first", &kubectl)?;
    tokio::task::spawn_blocking(move || -> Result<()> {
        first.shell("kubectl wait --for=condition=Ready node --all --timeout=60s")?;
        if let Some(file) = std::env::var_os("KERNEL_REAL_HOLD") {
            return hold(&first, Path::new(&file));
        }
        if std::env::var_os("KERNEL_REAL").is_some_and(|wanted| wanted != "starts") {
            return Ok(());
        }
        println!("a pod runs after {:?} (median of {STARTS})", median_start(&first)?);
        Ok(())
    })
    .await??;
    let work: Arc<Vec<(Scenario, Desk)>> = Arc::new(scenarios.into_iter().zip(desks).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..AT_A_TIME_MAX.min(work.len()))
        .map(|_| {
            let (work, next) = (work.clone(), next.clone());
            tokio::task::spawn_blocking(move || {
                let mut wrong = Vec::new();
                while let Some((scenario, desk)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let held = run(scenario, desk);
                    println!(
                        "{} {} {:?}",
                        scenario.name,
                        if held.is_ok() { "holds" } else { "FAILS" },
                        start.elapsed()
                    );
                    wrong.extend(held.err().map(|error| format!("{error:#}")));
                }
                wrong
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for worker in workers {
        wrong.extend(worker.await?);
    }
    ensure!(wrong.is_empty(), "{} of {} do not hold:\n{}", wrong.len(), work.len(), wrong.join("\n\n"));
    Ok(())
}

fn run(scenario: &Scenario, desk: &Desk) -> Result<()> {
    let mut desk = desk.in_namespace(&scenario.name)?;
    known_images(&mut desk);
    desk.set("MANIFESTS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/manifests").display());
    desk.transcript(&scenario.name, &scenario.transcript)
}

fn known_images(desk: &mut Desk) {
    desk.set("WEB", images::WEB);
    desk.set("BUSYBOX", images::BUSYBOX);
    desk.set("BUSYBOX_NEXT", images::BUSYBOX_NEXT);
}

/// The runtime ends and comes back: nothing else may run at that time.
async fn without_containerd(cluster: &mut RealCluster) -> Result<()> {
    if std::env::var_os("KERNEL_REAL").is_some_and(|wanted| wanted != "containerd") {
        return Ok(());
    }
    let (_, kubectl) = kubectl::all().into_iter().next().context("there is no kubectl on the path")?;
    let mut desk = cluster.desk("containerd", &kubectl)?.in_namespace("containerd")?;
    known_images(&mut desk);
    let steps = |name: &str| -> Result<()> {
        let text = transcript(name)?;
        tokio::task::block_in_place(|| desk.transcript(name, &text))
    };
    let start = Instant::now();
    steps("before")?;
    cluster.machine().containerd().crash()?;
    let down = steps("down");
    cluster.machine().containerd().restart().await?;
    down?;
    steps("after")?;
    println!("containerd away holds {:?}", start.elapsed());
    Ok(())
}

/// From the command to the pod that runs, the image being there.
fn median_start(desk: &Desk) -> Result<Duration> {
    let mut times = Vec::with_capacity(STARTS);
    let desk = desk.in_namespace("starts")?;
    for number in 0..STARTS {
        let start = Instant::now();
        desk.shell(&format!(
            "kubectl run p{number} --image={} >/dev/null && \
             kubectl wait --for=jsonpath={{.status.phase}}=Running pod/p{number} --timeout=60s",
            images::BUSYBOX
        ))?;
        times.push(start.elapsed());
    }
    desk.shell("kubectl delete pod --all --wait=false")?;
    times.sort();
    Ok(times[STARTS / 2])
}

/// For a person who wants to look around.
fn hold(desk: &Desk, file: &Path) -> Result<()> {
    std::fs::write(file, desk.shell("env | grep -E '^(KUBECONFIG|PATH|NODE|DATA|SOCKET|CGROUPS|TABLE)='")?)?;
    while file.exists() {
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A transcript without a line above would never be run.
#[test]
fn every_transcript_is_run() {
    let mut files: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts"))
        .expect("the folder is there")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("real_")?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    let mut run = [NAMES, WITH_EVERY_KUBECTL, AROUND_A_CRASH].concat();
    files.sort();
    run.sort_unstable();
    assert_eq!(files, run);
}
