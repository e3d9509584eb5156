//! Two `kubernel server`s on one etcd, with the real kubectl: what one is told the other knows, and one of them controls.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::kubectl;
use kernel_store_etcd::testing::Etcd;
use rustix::process::{Signal, kill_process};

mod support;

use support::{Place, Running};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    place: Place,
    process: Running,
    url: String,
}

impl Server {
    /// Starts one and waits until it is ready.
    fn start(place: Place, etcd: &Etcd, pki: &Path) -> Self {
        let command = place.server();
        Self::run(place, command, etcd, pki)
    }

    fn run(place: Place, mut command: Command, etcd: &Etcd, pki: &Path) -> Self {
        command.args(["--store", &etcd.address("/e2e"), "--pki-dir"]).arg(pki);
        let process = Running::start(&place, command);
        let ready = process.until("ready").pop().expect("its last line");
        let url = format!("https://{}", ready["address"].as_str().expect("an address"));
        Self { place, process, url }
    }

    fn try_kubectl(&self, arguments: &[&str]) -> Output {
        let (_, program): (String, PathBuf) =
            kubectl::all().into_iter().next().expect("there is a kubectl on the path");
        let mut kubectl = Command::new("timeout");
        kubectl.arg(DEADLINE.as_secs().to_string()).arg(program).arg("--kubeconfig").arg(self.place.kubeconfig());
        kubectl.args(arguments).env("HOME", self.place.path("home")).output().expect("kubectl runs")
    }

    /// Runs kubectl, which must succeed; gives what it printed.
    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}{}", self.process.log());
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Stops it in order; gives its place.
    fn stop(mut self) -> Place {
        kill_process(self.process.pid(), Signal::TERM).expect("a running process");
        assert!(self.process.wait().success(), "{}", self.process.log());
        self.place
    }
}

impl Place {
    /// `kubernel server` on a free port.
    fn server(&self) -> Command {
        let mut server = self.kubernel(&["server", "--listen", "127.0.0.1:0", "-o", "json"]);
        server.arg("--kubeconfig").arg(self.kubeconfig());
        server
    }
}

#[test]
fn two_servers_share_an_etcd() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let mut etcd = Etcd::start(temp.path());
    let pki = temp.path().join("pki");
    let a = Server::start(Place::new("server-a"), &etcd, &pki);
    let b = Server::start(Place::new("server-b"), &etcd, &pki);

    // What one was told is known to the other at once, in every direction.
    for round in 0..4 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let (name, value) = (format!("map{round}"), format!("--from-literal=round={round}"));
        here.kubectl(&["create", "configmap", &name, &value]);
        assert_eq!(there.kubectl(&["get", "configmap", &name, "-o", "jsonpath={.data.round}"]), round.to_string());
        there.kubectl(&["patch", "configmap", &name, "-p", r#"{"data":{"round":"patched"}}"#]);
        assert_eq!(here.kubectl(&["get", "configmap", &name, "-o", "jsonpath={.data.round}"]), "patched");
        here.kubectl(&["delete", "configmap", &name]);
        let gone = there.try_kubectl(&["get", "configmap", &name]);
        assert!(String::from_utf8_lossy(&gone.stderr).contains("NotFound"), "{gone:?}");
    }
    // A revision of one is a revision of the other.
    a.kubectl(&["create", "configmap", "shared"]);
    let revision = a.kubectl(&["get", "configmap", "shared", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let listed =
        b.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/default/configmaps?resourceVersion={revision}")]);
    assert!(listed.contains("\"shared\""), "{listed}");

    // An address is given once, and is free again whoever deletes its Service.
    let service = |name: &'static str| ["create", "service", "clusterip", name, "--tcp=80", "--clusterip=10.96.0.77"];
    a.kubectl(&service("one"));
    let taken = b.try_kubectl(&service("two"));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("already allocated"), "{taken:?}");
    b.kubectl(&["delete", "service", "one"]);
    a.kubectl(&["create", "service", "clusterip", "three", "--tcp=80"]);

    // Who is known to one is known to the other.
    assert_eq!(
        a.kubectl(&["--server", &b.url, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]),
        "kubernetes-admin"
    );
    let token = a.kubectl(&["create", "token", "default"]);
    let authority = pki.join("ca.crt");
    let as_account =
        ["--server", &b.url, "--certificate-authority", authority.to_str().expect("a path"), "--token", &token];
    let other = Command::new(kubectl::all().remove(0).1)
        .args(["--kubeconfig", "/dev/null"])
        .args(as_account)
        .args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])
        .output()
        .expect("kubectl runs");
    assert_eq!(String::from_utf8_lossy(&other.stdout), "system:serviceaccount:default:default", "{other:?}");

    // One of them controls, and another takes over.
    let holder = |server: &Server| {
        let lease =
            ["get", "lease", "-n", "kube-system", "kubernel-controllers", "-o", "jsonpath={.spec.holderIdentity}"];
        server.kubectl(&lease)
    };
    assert!(holder(&b).starts_with("server-a_"));
    let replicas = |server: &Server, count: u32| {
        let wanted = format!("--for=jsonpath={{.status.replicas}}={count}");
        server.kubectl(&["wait", &wanted, "deployment/web", "--timeout=50s"]);
    };
    a.kubectl(&["create", "deployment", "web", "--image=x", "--replicas=2"]);
    replicas(&b, 2);
    let place = a.stop();
    b.kubectl(&["scale", "deployment", "web", "--replicas=3"]);
    replicas(&b, 3);
    assert!(holder(&b).starts_with("server-b_"));

    // etcd crashes and comes back; so does a server, as `up` this time.
    etcd.restart();
    let up = place.up("none");
    let a = Server::run(place, up, &etcd, &pki);
    let start = Instant::now();
    while !b.try_kubectl(&["create", "configmap", "after"]).status.success() {
        assert!(start.elapsed() < DEADLINE, "{}", b.process.log());
    }
    a.kubectl(&["get", "configmap", "after"]);
    a.kubectl(&["scale", "deployment", "web", "--replicas=1"]);
    replicas(&a, 1);

    let status = a.place.kubernel(&["status"]).output().expect("the binary runs");
    assert!(status.status.success(), "{status:?}");
    let down = b.place.kubernel(&["down"]).output().expect("the binary runs");
    assert!(down.status.success(), "{down:?}");
    a.stop();
}
