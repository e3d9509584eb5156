//! The binary as a process, in a folder of its own, and a client for its API.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// How long a process may take for its next step.
const DEADLINE: Duration = Duration::from_secs(60);
/// A folder with all that a cluster writes.
pub struct Place {
    pub temp: tempfile::TempDir,
    name: String,
}

impl Place {
    pub fn new(name: &str) -> Self {
        Self { temp: tempfile::tempdir().expect("a temporary folder"), name: name.into() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// `kubernel COMMAND... --name NAME --data-dir DATA`, away from the files of whoever runs the tests.
    pub fn kubernel(&self, command: &[&str]) -> Command {
        let mut kubernel = Command::new(env!("CARGO_BIN_EXE_kubernel"));
        kubernel.args(command).args(["--name", &self.name, "--data-dir"]).arg(self.data());
        kubernel.env("HOME", self.path("home")).env_remove("KUBECONFIG").env_remove("KUBERNEL_LOG");
        // The programs of administration are not on everyone's path.
        kubernel.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
        kubernel
    }

    /// `kubernel up` on a free port.
    pub fn up(&self, runtime: &str) -> Command {
        let mut up = self.kubernel(&["up", "--runtime", runtime, "--listen", "127.0.0.1:0", "-o", "json"]);
        up.arg("--kubeconfig").arg(self.kubeconfig());
        up
    }
}

/// A running `kubernel up`. Killed when dropped.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<Value>,
    stderr: PathBuf,
}

impl Running {
    /// Starts it and returns at once.
    pub fn start(place: &Place, mut up: Command) -> Self {
        let stderr = place.path("stderr");
        let log = File::options().create(true).append(true).open(&stderr).expect("a file for the log");
        let mut child = up.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout was piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, stderr }
    }

    /// The next line of progress; `None` when there are no more.
    pub fn next(&self) -> Option<Value> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no progress within {DEADLINE:?}: {}", self.log()),
        }
    }

    /// The lines up to the step.
    pub fn until(&self, step: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            let line = self.next().unwrap_or_else(|| panic!("ended before {step:?}: {lines:?}: {}", self.log()));
            let is_last = line["step"] == step;
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    #[allow(dead_code, reason = "each test program compiles this module and uses a part of it")]
    pub fn kill(&mut self) {
        self.child.kill().expect("a running process");
        self.child.wait().expect("a killed process ends");
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        while self.next().is_some() {}
        self.child.wait().expect("a process of ours")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
