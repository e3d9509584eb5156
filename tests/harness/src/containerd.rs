//! A containerd of the tests' own: its configuration, images, sandboxes and sockets are in a temporary folder, and all
//! of it is gone at the end. Nobody's own containerd is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use providers_runtime_cri::CriRuntime;
use providers_runtime_cri::images::load::load_into;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use sdk_plugin::node::NodeRuntime;

/// The sandbox image in the configuration; the test loads it.
const SANDBOX_IMAGE: &str = "kubernel.local/pause:1";
const STARTED_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// A running containerd; dropping it ends it with all its containers.
pub struct Containerd {
    dir: Option<tempfile::TempDir>,
    root: PathBuf,
    child: Child,
    number: u32,
    snapshotter: &'static str,
}

impl Containerd {
    /// Why none can be started here, or `None` if it can. Tests print the reason and return.
    pub fn unavailable() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("containers need root".to_owned());
        }
        let missing: Vec<_> = ["containerd", "ctr", "runc", "containerd-shim-runc-v2", "busybox"]
            .into_iter()
            .filter(|program| find_program(program).is_none())
            .collect();
        if !missing.is_empty() {
            return Some(format!("missing programs: {}", missing.join(", ")));
        }
        (!cni_plugins().join("bridge").exists()).then(|| "missing the CNI plugins".to_owned())
    }

    /// Starts one and waits until it answers. It has no image and no network yet.
    pub async fn start() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A socket's path has 107 bytes at most, so the folder's name is short.
        let dir = tempfile::Builder::new().prefix("kc").tempdir().context("no temporary folder")?;
        let root = dir.path().to_owned();
        let snapshotter = if overlay_works(&root) { "overlayfs" } else { "native" };
        for folder in ["net.d", "leases", "logs"] {
            std::fs::create_dir(root.join(folder))?;
        }
        std::fs::write(root.join("config.toml"), config(&root, snapshotter))?;
        let log = std::fs::File::create(root.join("containerd.log"))?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(root.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run containerd")?;
        let mut containerd = Self { dir: Some(dir), root, child, number, snapshotter };
        containerd.ready().await?;
        Ok(containerd)
    }

    async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + STARTED_WITHIN;
        loop {
            match CriRuntime::connect(&self.endpoint()).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => bail!("containerd did not start: {error}\n{}", self.log()),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("containerd ended with {status}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `unix://...`, as `--runtime-endpoint` takes it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.root.join("c.sock")
    }

    /// Where the runtime looks for a network configuration.
    pub fn conf_dir(&self) -> PathBuf {
        self.root.join("net.d")
    }

    /// A folder for the addresses that `host-local` gives out.
    pub fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// A folder for logs of containers.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// A bridge name for this containerd alone. Its link is removed at the end.
    pub fn bridge(&self) -> String {
        format!("kt{}n{}", std::process::id() % 10_000_000, self.number)
    }

    /// A name for a cluster on it that no other running test has.
    pub fn cluster_name(&self) -> String {
        format!("t{}n{}", std::process::id() % 10_000_000, self.number)
    }

    /// A pod network that no other running test has, as far as the process id tells.
    pub fn pod_cidr(&self) -> String {
        let slot = (std::process::id().wrapping_mul(31).wrapping_add(self.number)) % 60_000;
        // Away from 10.96.0.0/16 and 10.244.0.0/16, where clusters are by default.
        format!("10.{}.{}.0/24", 100 + slot / 256 % 140, slot % 256)
    }

    /// Puts an image archive into it.
    pub fn load(&self, archive: &Path) -> Result<Vec<String>> {
        Ok(load_into(&self.socket(), Some(self.snapshotter), archive)?)
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.root.join("containerd.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Ends containerd alone, as a crash would: its containers go on. `restart` brings it back.
    pub fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it anew on what it left.
    pub async fn restart(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().append(true).open(self.root.join("containerd.log"))?;
        self.child = Command::new("containerd")
            .arg("--config")
            .arg(self.root.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run containerd")?;
        self.ready().await
    }

    /// Ends every sandbox in order, so that network plugins clean up, then containerd. Fails if something stays behind.
    pub async fn stop(mut self) -> Result<()> {
        let runtime = CriRuntime::connect(&self.endpoint()).await?;
        for sandbox in runtime.sandboxes().await? {
            runtime.stop_sandbox(&sandbox.id).await?;
            runtime.remove_sandbox(&sandbox.id).await?;
        }
        self.end();
        let left = shims(&self.socket());
        ensure!(left.is_empty(), "shims are left: {left:?}");
        let dir = self.dir.take().expect("only the end takes it");
        dir.close().context("the temporary folder cannot be removed")
    }

    /// What needs no answer from anyone: kill, unmount, remove the bridge.
    fn end(&mut self) {
        terminate(&mut self.child);
        for shim in shims(&self.socket()) {
            for pid in descendants(shim) {
                kill(pid, Signal::KILL);
            }
            kill(shim, Signal::KILL);
        }
        let deadline = Instant::now() + STOPPED_WITHIN;
        while !shims(&self.socket()).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // containerd 1.6 keeps these in /run/containerd, whatever its own folders are.
        for socket in shim_sockets(&self.root) {
            let _ = std::fs::remove_file(socket);
        }
        unmount_below(&self.root);
        // Fails if no pod ever was on the bridge, and that is fine.
        let _ = Command::new("ip").args(["link", "delete", &self.bridge()]).stderr(Stdio::null()).status();
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.dir.is_some() {
            self.end();
        }
    }
}

fn config(root: &Path, snapshotter: &str) -> String {
    let root = root.display();
    let plugins = cni_plugins();
    let plugins = plugins.display();
    // Where an OOM score cannot be lowered, a pod that asks for it would fail; tests do not look at it.
    format!(
        r#"version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = [
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{root}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{root}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{root}/runc"
"#
    )
}

/// Debian's folder of CNI plugins, or upstream's.
fn cni_plugins() -> PathBuf {
    let debian = Path::new("/usr/lib/cni");
    if debian.join("bridge").exists() { debian.to_owned() } else { "/opt/cni/bin".into() }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether an overlay can be mounted there; in some containers and on some file systems it cannot.
fn overlay_works(root: &Path) -> bool {
    let at = |name: &str| root.join("overlay").join(name);
    let made = ["lower", "upper", "work", "merged"].iter().all(|name| std::fs::create_dir_all(at(name)).is_ok());
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    let works = made
        && Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(at("merged"))
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if works {
        let _ = unmount(at("merged"), UnmountFlags::DETACH);
    }
    let _ = std::fs::remove_dir_all(root.join("overlay"));
    works
}

fn terminate(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    kill(child.id() as i32, Signal::TERM);
    let deadline = Instant::now() + STOPPED_WITHIN;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The shims of this containerd, by the address that each was started with.
fn shims(socket: &Path) -> Vec<i32> {
    let socket = socket.display().to_string();
    processes()
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments: Vec<_> = line.split(|byte| *byte == 0).collect();
            arguments.first().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"))
                && arguments.contains(&socket.as_bytes())
        })
        .collect()
}

/// Where the shims that were killed listened, as their bundles tell.
fn shim_sockets(root: &Path) -> Vec<PathBuf> {
    let bundles = std::fs::read_dir(root.join("state/io.containerd.runtime.v2.task/k8s.io"));
    bundles
        .into_iter()
        .flatten()
        .filter_map(|bundle| std::fs::read_to_string(bundle.ok()?.path().join("address")).ok())
        .filter_map(|address| Some(PathBuf::from(address.trim().strip_prefix("unix://")?)))
        .collect()
}

/// All processes below one, parents first.
fn descendants(of: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in processes() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name in brackets may hold anything; the parent is the second word after it.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![of];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    found.split_off(1)
}

fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Unmounts all that is mounted below a folder.
pub fn unmount_below(root: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<_> =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(root)).collect();
    // The last mounted lies on top.
    for at in below.into_iter().rev() {
        let _ = unmount(at, UnmountFlags::DETACH);
    }
}
