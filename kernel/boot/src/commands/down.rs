//! `kubernel down`: stops a running cluster and waits until it has ended.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::data_dir::DataDir;
use crate::options::Place;

const WAIT: Duration = Duration::from_secs(30);

pub fn run(place: &Place) -> Result<()> {
    let dir = DataDir::of(place)?;
    let Some(state) = dir.state()? else {
        bail!("no cluster was ever started in {}; name another with --name or --data-dir", dir.root.display());
    };
    if !state.is_running(&dir) {
        println!("Cluster {:?} is not running", state.name);
        return Ok(());
    }
    let pid =
        i32::try_from(state.pid).ok().and_then(Pid::from_raw).context("the recorded process id is no process id")?;
    // The descriptor names the process for good; a number could be somebody else's by the time it is used.
    let process = pidfd_open(pid, PidfdFlags::empty()).context("the cluster ended just now")?;
    if !state.is_running(&dir) {
        println!("Cluster {:?} is not running", state.name);
        return Ok(());
    }
    pidfd_send_signal(&process, Signal::TERM)
        .with_context(|| format!("cannot stop process {}; is it another user's?", state.pid))?;
    let timeout = Timespec { tv_sec: i64::try_from(WAIT.as_secs()).unwrap_or(30), tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout))?;
    if ended == 0 {
        bail!("process {} did not end within {} s; its log says what it waits for", state.pid, WAIT.as_secs());
    }
    println!("Stopped cluster {:?}; containers and Services go on", state.name);
    Ok(())
}
