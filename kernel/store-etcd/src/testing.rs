//! An etcd for tests: the program of Debian's package on free loopback ports, with its data in a folder of the test's.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long etcd may take to listen after it was started.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running etcd of one member. Dropping it ends it.
pub struct Etcd {
    child: Option<Child>,
    dir: PathBuf,
    pub port: u16,
    peer_port: u16,
    tls: bool,
}

impl Etcd {
    /// Starts one that keeps its data in `dir`; panics with what to do where there is none.
    pub fn start(dir: &Path) -> Self {
        Self::start_in(dir, false)
    }

    /// With the certificates in `dir`: `ca.crt`, `server.crt`, `server.key`. It demands one of clients.
    pub fn start_with_tls(dir: &Path) -> Self {
        Self::start_in(dir, true)
    }

    fn start_in(dir: &Path, tls: bool) -> Self {
        let mut etcd = Self { child: None, dir: dir.to_owned(), port: free_port(), peer_port: free_port(), tls };
        etcd.run();
        etcd
    }

    fn run(&mut self) {
        let scheme = if self.tls { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let log = std::fs::File::create(self.dir.join("log")).expect("the folder can be written");
        let mut command = Command::new(program());
        command
            .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
            // One member need not wait the usual second for its election.
            .args(["--heartbeat-interval", "50", "--election-timeout", "250"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}")])
            .arg("--data-dir")
            .arg(self.data());
        if self.tls {
            command.arg("--client-cert-auth");
            let files = [("--trusted-ca-file", "ca.crt"), ("--cert-file", "server.crt"), ("--key-file", "server.key")];
            for (flag, file) in files {
                command.arg(flag).arg(self.dir.join(file));
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("there is an etcd: run kernel/store-etcd/tests/fetch-etcd, as ./test does"));
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("it is our child"));
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "etcd ended: {}", log());
            assert!(start.elapsed() < START_DEADLINE, "etcd does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("it is our child");
        }
    }

    /// Starts it again on the same data and ports.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// As `--store` takes it; `prefix` is empty or begins with a slash.
    pub fn address(&self, prefix: &str) -> String {
        format!("etcd://127.0.0.1:{}{prefix}", self.port)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The one that `fetch-etcd` fetched, else the one on the path.
fn program() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/etcd/etcd");
    if fetched.is_file() { fetched } else { "etcd".into() }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}
