//! How long a server takes from `exec` to the first good answer of `/readyz`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::connection::Connection;
use crate::kubeconfig;

/// Between two looks, so that looking costs the server little.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A server that stops gets this long.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What to start. `{run}` in arguments and in the path is replaced by the number of the run.
#[derive(Clone, Debug)]
pub struct Start {
    pub command: Vec<String>,
    /// Where the server writes the kubeconfig to reach it by.
    pub kubeconfig: PathBuf,
    pub wait_max: Duration,
}

/// Starts the server, waits until it is ready, stops it. The time from before `exec` to the answer.
pub async fn measure(start: &Start, run: u32) -> Result<Duration> {
    let fill = |text: &str| text.replace("{run}", &run.to_string());
    let kubeconfig = PathBuf::from(fill(&start.kubeconfig.to_string_lossy()));
    let (program, arguments) = start.command.split_first().context("no command was given")?;
    let began = Instant::now();
    let mut child = Command::new(fill(program))
        .args(arguments.iter().map(|argument| fill(argument)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let ready = tokio::time::timeout(start.wait_max, until_ready(&mut child, &kubeconfig)).await;
    let taken = began.elapsed();
    stop(&mut child).await?;
    match ready {
        Ok(Ok(())) => Ok(taken),
        Ok(Err(error)) => Err(error),
        Err(_) => bail!("it was not ready after {:?}", start.wait_max),
    }
}

async fn until_ready(child: &mut Child, kubeconfig: &Path) -> Result<()> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for it")? {
            bail!("it ended before it was ready ({status}); run the command by hand to see why");
        }
        if is_ready(kubeconfig).await {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An old kubeconfig, a closed port, a server that is starting: all of it only means "not yet".
async fn is_ready(path: &Path) -> bool {
    let Ok(server) = kubeconfig::load(path, false) else { return false };
    let Ok(mut connection) = Connection::open(&server, false).await else { return false };
    connection.send(Method::GET, "/readyz", Bytes::new()).await.is_ok_and(|answer| answer.status.is_success())
}

async fn stop(child: &mut Child) -> Result<()> {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        kill_process(pid, Signal::TERM).context("cannot stop it")?;
    }
    if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
        child.kill().await.context("cannot kill it")?;
        bail!("it did not stop within {STOP_MAX:?} of SIGTERM");
    }
    Ok(())
}
