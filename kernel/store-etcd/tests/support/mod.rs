//! An etcd of the test's own: the Debian package's program on free loopback ports, with its data in a temporary folder.

#![allow(dead_code, reason = "every test uses its own part")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel_store::{Limits, Store};
use kernel_store_etcd::{Address, EtcdStore, Options, TlsFiles};
use sdk_api::{Clock, SystemClock};

/// How long etcd may take to answer after it was started.
const START_DEADLINE: Duration = Duration::from_secs(30);

pub struct Etcd {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub port: u16,
    peer_port: u16,
    tls: bool,
}

impl Etcd {
    /// Starts one; panics with what to do where there is none.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), false)
    }

    /// With the certificates in `dir`: `ca.crt`, `server.crt`, `server.key`. It demands one of clients.
    pub fn start_with_tls(dir: tempfile::TempDir) -> Self {
        Self::start_in(dir, true)
    }

    fn start_in(dir: tempfile::TempDir, tls: bool) -> Self {
        let mut etcd = Self { child: None, dir, port: free_port(), peer_port: free_port(), tls };
        etcd.run();
        etcd
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn run(&mut self) {
        let scheme = if self.tls { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let log = std::fs::File::create(self.dir().join("log")).expect("a log");
        let mut command = Command::new("etcd");
        command
            .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
            // Elections of one member need not be awaited for the usual second.
            .args(["--heartbeat-interval", "50", "--election-timeout", "250"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .arg("--data-dir")
            .arg(self.dir().join("data"));
        if self.tls {
            command.arg("--client-cert-auth");
            for (flag, file) in
                [("--trusted-ca-file", "ca.crt"), ("--cert-file", "server.crt"), ("--key-file", "server.key")]
            {
                command.arg(flag).arg(self.dir().join(file));
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("etcd is on the PATH: install the package etcd-server, or run ./setup packages"));
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().expect("our child"));
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(exited.is_none(), "etcd ended: {}", log());
            assert!(start.elapsed() < START_DEADLINE, "etcd does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our child");
            child.wait().expect("our child");
        }
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Puts the data of one etcd in the place of another's.
    pub fn copy_data(&self, to: &Path) {
        copy(&self.dir().join("data"), to);
    }

    /// The same folder, with other data.
    pub fn replace_data(&self, from: &Path) {
        std::fs::remove_dir_all(self.dir().join("data")).expect("etcd's data");
        copy(from, &self.dir().join("data"));
    }

    pub fn address(&self, prefix: &str) -> Address {
        Address::parse(&format!("etcd://127.0.0.1:{}{prefix}", self.port), None).expect("an address")
    }

    /// Runs `etcdctl`, the other program that reads and writes there; it is in the package `etcd-client`.
    pub fn options(&self, prefix: &str) -> Options {
        Options { compaction: None, ..Options::new(self.address(prefix), clock(), instance()) }
    }

    /// A store in it that compacts nothing.
    pub async fn open(&self, prefix: &str) -> Arc<dyn Store> {
        Arc::new(EtcdStore::open(self.options(prefix)).await.expect("etcd answers"))
    }

    pub async fn open_with(&self, prefix: &str, clock: Arc<dyn Clock>, limits: Limits) -> Arc<dyn Store> {
        let options = Options { clock, limits, ..self.options(prefix) };
        Arc::new(EtcdStore::open(options).await.expect("etcd answers"))
    }

    pub fn files(&self, client: Option<&str>) -> TlsFiles {
        let at = |name: String| -> PathBuf { self.dir().join(name) };
        let client = client.map(|name| (at(format!("{name}.crt")), at(format!("{name}.key"))));
        TlsFiles { ca: at("ca.crt".into()), client }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

/// A number that no other store of this process has.
fn instance() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a file").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
