//! What a user does with kubectl, on simulated nodes: one test a transcript.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::cluster::TestCluster;
use harness::kubectl;
use tokio::task::JoinSet;

/// Simulated nodes of every cluster here.
const NODES: u32 = 3;
/// Clusters that run at the same time where one transcript is run with every kubectl.
const CLUSTERS_AT_A_TIME_MAX: usize = 3;

/// A test for each name, which runs the transcript of that name on a cluster of its own.
macro_rules! transcripts {
    ($($name:ident),+ $(,)?) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() -> Result<()> {
                run(stringify!($name), &default_kubectl()?).await
            }
        )+
    };
}

transcripts! {
    access, application, apply, bad_input, change, custom, delete, discovery, generators, nodes, output, overload, pods, rollout,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

fn default_kubectl() -> Result<PathBuf> {
    let all = kubectl::all();
    let (_, default) = all.into_iter().next().context("there is no kubectl on the path")?;
    Ok(default)
}

async fn run(name: &str, kubectl: &Path) -> Result<()> {
    let file = folder().join(name).with_extension("txt");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let cluster = TestCluster::sim(NODES).await?;
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/manifests");
    std::os::unix::fs::symlink(std::fs::canonicalize(manifests)?, cluster.work_folder().join("manifests"))?;
    let held = cluster.transcript(name, &text, kubectl).await;
    cluster.stop().await;
    held
}

/// What everybody does daily works with every kubectl that this machine has.
#[tokio::test(flavor = "multi_thread")]
async fn core_with_every_kubectl() -> Result<()> {
    with_every_kubectl("core").await
}

/// The client's half of server-side apply, the migration above all, is in kubectl and changed from version to version.
#[tokio::test(flavor = "multi_thread")]
async fn server_side_with_every_kubectl() -> Result<()> {
    with_every_kubectl("server_side").await
}

async fn with_every_kubectl(name: &'static str) -> Result<()> {
    let mut waiting = kubectl::all();
    assert!(!waiting.is_empty(), "there is no kubectl on the path");
    let mut running = JoinSet::new();
    loop {
        while running.len() < CLUSTERS_AT_A_TIME_MAX {
            let Some((version, kubectl)) = waiting.pop() else { break };
            running.spawn(async move { run(name, &kubectl).await.with_context(|| format!("kubectl {version}")) });
        }
        match running.join_next().await {
            Some(held) => held??,
            None => return Ok(()),
        }
    }
}

/// A hundred nodes are there at once, and so are the pods on them.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nodes() -> Result<()> {
    let cluster = TestCluster::sim(100).await?;
    let held = cluster.transcript("a hundred nodes", HUNDRED_NODES, &default_kubectl()?).await;
    cluster.stop().await;
    held
}

const HUNDRED_NODES: &str = r#"
~ kubectl get nodes --no-headers | awk '{ print $2 }' | sort | uniq -c
    100 Ready

$ kubectl create deployment wide --image=example/wide --replicas=200
deployment.apps/wide created

$ kubectl rollout status deployment/wide --timeout=60s
...
deployment "wide" successfully rolled out

$ kubectl get pods -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | awk '{ print $1 }' | sort | uniq -c
    100 2
"#;

/// What was acknowledged is there after a restart, and revisions go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() -> Result<()> {
    let kubectl = default_kubectl()?;
    let mut cluster = TestCluster::sim(NODES).await?;
    cluster.transcript("before", BEFORE_RESTART, &kubectl).await?;
    cluster.restart().await?;
    let held = cluster.transcript("after", AFTER_RESTART, &kubectl).await;
    cluster.stop().await;
    held
}

const BEFORE_RESTART: &str = r#"
$ kubectl create deployment web --image=example/web --replicas=2 && kubectl expose deployment web --port=80
deployment.apps/web created
service/web exposed

$ kubectl rollout status deployment/web --timeout=60s
...
deployment "web" successfully rolled out

$ kubectl create token default > token && kubectl get service web -o jsonpath='{.spec.clusterIP}' > address
$ kubectl get pods -l app=web -o name | sort > pods
$ kubectl create cm last && kubectl get cm last -o jsonpath='{.metadata.resourceVersion}' > revision
configmap/last created
"#;

const AFTER_RESTART: &str = r#"
$ kubectl get cm last -o jsonpath='{.metadata.resourceVersion}' | cmp - revision
$ kubectl get service web -o jsonpath='{.spec.clusterIP}' | cmp - address

$ kubectl create cm next && kubectl get cm next -o jsonpath='{.metadata.resourceVersion}' | awk -v last="$(cat revision)" '{ print ($1 > last) }'
configmap/next created
1

~ kubectl get deploy web -o jsonpath='{.status.readyReplicas}'
2

~ kubectl get pods -l app=web --no-headers | awk '{ print $2, $3 }' | sort | uniq -c
      2 1/1 Running

# Tokens and certificates from before are still good.
$ kubectl auth whoami --token="$(cat token)" --kubeconfig=/dev/null --insecure-skip-tls-verify -o jsonpath='{.status.userInfo.username}' --server="$(kubectl config view -o jsonpath='{.clusters[0].cluster.server}')"
system:serviceaccount:default:default

$ kubectl scale deployment web --replicas=3
deployment.apps/web scaled

$ kubectl rollout status deployment/web --timeout=60s
...
deployment "web" successfully rolled out
"#;

/// A transcript without a line above would never be run. Those of real nodes are not ours.
#[test]
fn every_transcript_is_run() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".txt")?.to_owned()))
        .filter(|name| !name.starts_with("real_"))
        .collect();
    let run: BTreeSet<String> = NAMES.iter().chain(&["core", "server_side"]).map(|name| (*name).to_owned()).collect();
    assert_eq!(files, run);
}
