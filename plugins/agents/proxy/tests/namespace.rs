//! Real rules in a real kernel: network namespaces of this test's own, with a client, a node and backends.
//!
//! Needs root, `ip`, `nft` and `conntrack`; without them the test says so and passes. Nothing outside of the namespaces
//! that it makes is touched.
//!
//! ```text
//! client 10.244.0.9 --veth-- 10.244.0.1 node (also 192.0.2.1) 10.244.1.1 --veth-- backends 10.244.1.2, .3, .4
//! ```

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agents_proxy::System;
use agents_proxy::nft::Nft;
use agents_proxy::rules::{Config, table};
use agents_proxy::service::{Endpoint, PortName, Protocol, ServicePort, State, stale_flows};
use agents_proxy::table::{NAME, Table};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long something must take before it counts as dropped.
const DROPPED: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_secs(10);

const CLUSTER_IP: &str = "10.96.0.1";
const NODE_PORT: u16 = 30080;

fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Does something on a thread that lives in a namespace.
fn within<T: Send + 'static>(namespace: &str, job: impl FnOnce() -> T + Send + 'static) -> T {
    let path = format!("/run/netns/{namespace}");
    let thread = std::thread::spawn(move || {
        let file = std::fs::File::open(&path).expect("the namespace has a file");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
        job()
    });
    thread.join().expect("the job does not panic")
}

/// Three namespaces; gone when dropped.
struct Net {
    client: String,
    node: String,
    backend: String,
}

impl Net {
    /// `None`, with the reason printed, where the machine does not allow it.
    fn build() -> Option<Self> {
        for (program, version) in [("ip", "-V"), ("nft", "--version"), ("conntrack", "--version")] {
            if let Err(why) = run(program, &[version]) {
                println!("skipped: {why}");
                return None;
            }
        }
        static NETS: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NETS.fetch_add(1, Ordering::Relaxed));
        let name = |part: &str| format!("kubernel-test-{process}-{number}-{part}");
        let net = Self { client: name("client"), node: name("node"), backend: name("backend") };
        if let Err(why) = run("ip", &["netns", "add", &net.node]) {
            println!("skipped: making network namespaces needs root: {why}");
            return None;
        }
        net.wire().expect("the namespaces are wired");
        net.serve();
        Some(net)
    }

    fn wire(&self) -> Result<(), String> {
        let (client, node, backend) = (self.client.as_str(), self.node.as_str(), self.backend.as_str());
        run("ip", &["netns", "add", client])?;
        run("ip", &["netns", "add", backend])?;
        for (name, peer, namespace) in [("c0", "c1", client), ("b0", "b1", backend)] {
            run("ip", &["-n", node, "link", "add", name, "type", "veth", "peer", "name", peer, "netns", namespace])?;
        }
        for (namespace, link, addresses) in [
            (node, "lo", &["192.0.2.1/32"][..]),
            (node, "c0", &["10.244.0.1/24"]),
            (node, "b0", &["10.244.1.1/24"]),
            (client, "lo", &[]),
            (client, "c1", &["10.244.0.9/24"]),
            (backend, "lo", &[]),
            (backend, "b1", &["10.244.1.2/24", "10.244.1.3/24", "10.244.1.4/24"]),
        ] {
            run("ip", &["-n", namespace, "link", "set", link, "up"])?;
            for address in addresses {
                run("ip", &["-n", namespace, "addr", "add", address, "dev", link])?;
            }
        }
        run("ip", &["-n", client, "route", "add", "default", "via", "10.244.0.1"])?;
        run("ip", &["-n", backend, "route", "add", "default", "via", "10.244.1.1"])?;
        // As on a real node, a cluster IP needs some route to be sent to at all.
        run("ip", &["-n", node, "route", "add", "default", "via", "10.244.1.2"])?;
        run("ip", &["netns", "exec", node, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        Ok(())
    }

    /// Backends that say who they are and who asked.
    fn serve(&self) {
        for ip in ["10.244.1.2", "10.244.1.3", "10.244.1.4"] {
            within(&self.backend, move || {
                let listener = TcpListener::bind((ip, 8080)).expect("the address is free");
                std::thread::spawn(move || {
                    while let Ok((stream, peer)) = listener.accept() {
                        let _ = std::io::Write::write_all(&mut &stream, format!("{ip} {}", peer.ip()).as_bytes());
                    }
                });
                let socket = UdpSocket::bind((ip, 8080)).expect("the address is free");
                std::thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                        let _ = socket.send_to(ip.as_bytes(), peer);
                    }
                });
            });
        }
    }

    fn ask(&self, namespace: &str, to: &str, port: u16) -> Answer {
        let to = SocketAddr::new(to.parse().expect("an address"), port);
        within(namespace, move || ask(to))
    }

    /// Who answered how often.
    fn ask_often(&self, namespace: &str, to: &str, port: u16) -> BTreeMap<String, usize> {
        let to = SocketAddr::new(to.parse().expect("an address"), port);
        within(namespace, move || {
            let mut answers = BTreeMap::new();
            for _ in 0..60 {
                let Answer::From { backend, .. } = ask(to) else { panic!("{to} answers: {:?}", ask(to)) };
                *answers.entry(backend).or_default() += 1;
            }
            answers
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.backend, &self.node] {
            let _ = run("ip", &["netns", "del", namespace]);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    From { backend: String, seen_as: String },
    Refused,
    Dropped,
}

fn ask(to: SocketAddr) -> Answer {
    let mut stream = match TcpStream::connect_timeout(&to, DROPPED) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Answer::Refused,
        Err(error) if error.kind() == ErrorKind::TimedOut => return Answer::Dropped,
        Err(error) => panic!("{to}: {error}"),
    };
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the backend answers");
    let (backend, seen_as) = text.split_once(' ').expect("who it is and who asked");
    Answer::From { backend: backend.into(), seen_as: seen_as.into() }
}

fn from(backend: &str, seen_as: &str) -> Answer {
    Answer::From { backend: backend.into(), seen_as: seen_as.into() }
}

/// The rules in force, as the proxy keeps them: each state is one change.
struct Rules {
    nft: System,
    runtime: tokio::runtime::Runtime,
    config: Config,
    state: State,
    table: Table,
}

impl Rules {
    fn new(net: &Net, config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (nft, state) = (System::in_namespace(&net.node), State::default());
        let table = table(&state, &config, false);
        runtime.block_on(nft.apply(&table.replace())).expect("nft takes the frame");
        Self { nft, runtime, config, state, table }
    }

    fn become_state(&mut self, state: State) {
        let table = table(&state, &self.config, false);
        let script = self.table.change(&table);
        self.runtime.block_on(self.nft.apply(&script)).unwrap_or_else(|error| panic!("{error}\n{script}"));
        for flow in stale_flows(&self.state, &state).iter().filter(|flow| !flow.v6) {
            self.runtime.block_on(self.nft.forget(flow)).expect("conntrack works");
        }
        (self.state, self.table) = (state, table);
    }

    fn serve(&mut self, port: ServicePort) {
        self.become_state(one(Protocol::Tcp, port));
    }
}

fn one(protocol: Protocol, port: ServicePort) -> State {
    let name = PortName { namespace: "n".into(), service: "web".into(), port: "http".into(), protocol };
    State { ports: [(name, port)].into() }
}

fn ready(ip: &str) -> Endpoint {
    Endpoint { ip: ip.parse().unwrap(), port: 8080, local: true, ready: true, serving: true, terminating: false }
}

fn web(endpoints: Vec<Endpoint>) -> ServicePort {
    let cluster_ips: Vec<IpAddr> = vec![CLUSTER_IP.parse().unwrap()];
    ServicePort { port: 80, cluster_ips, node_port: Some(NODE_PORT), endpoints, ..ServicePort::default() }
}

#[test]
fn services_answer_in_a_real_kernel() {
    let Some(net) = Net::build() else { return };
    let config = Config { table: NAME.into(), cluster_cidrs: vec!["10.244.0.0/16".into()], masquerade_bridged: false };
    let mut rules = Rules::new(&net, config.clone());
    let unready = Endpoint { ready: false, serving: false, ..ready("10.244.1.4") };
    let both = || vec![ready("10.244.1.2"), ready("10.244.1.3"), unready.clone()];

    rules.serve(web(both()));
    for (from, to, port) in [
        (&net.client, CLUSTER_IP, 80),
        (&net.node, CLUSTER_IP, 80),
        (&net.client, "192.0.2.1", NODE_PORT),
        (&net.client, "10.244.0.1", NODE_PORT),
        (&net.node, "192.0.2.1", NODE_PORT),
    ] {
        let answers = net.ask_often(from, to, port);
        let who: Vec<_> = answers.keys().map(String::as_str).collect();
        assert_eq!(who, ["10.244.1.2", "10.244.1.3"], "{from} to {to}:{port}: each ready endpoint and no other");
        assert!(answers.values().all(|count| *count >= 10), "{from} to {to}:{port}: {answers:?}");
    }
    assert_eq!(net.ask(&net.client, CLUSTER_IP, 81), Answer::Refused, "a port that the Service does not have");
    assert_eq!(net.ask(&net.node, "127.0.0.1", NODE_PORT), Answer::Refused, "node ports are not on loopback");

    rules.serve(web(vec![ready("10.244.1.2")]));
    assert_eq!(net.ask(&net.client, CLUSTER_IP, 80), from("10.244.1.2", "10.244.0.9"), "pods are seen as they are");
    let node_port = net.ask(&net.client, "192.0.2.1", NODE_PORT);
    assert_eq!(node_port, from("10.244.1.2", "10.244.1.1"), "through a node port the node is seen");
    let itself = net.ask(&net.backend, CLUSTER_IP, 80);
    assert_eq!(itself, from("10.244.1.2", "10.244.1.1"), "a pod reaches itself through its Service");

    rules.serve(web(vec![unready.clone()]));
    for (from, to, port) in [
        (&net.client, CLUSTER_IP, 80),
        (&net.node, CLUSTER_IP, 80),
        (&net.client, "192.0.2.1", NODE_PORT),
        (&net.node, "192.0.2.1", NODE_PORT),
    ] {
        assert_eq!(net.ask(from, to, port), Answer::Refused, "{from} to {to}:{port} without endpoints");
    }

    rules.serve(ServicePort { affinity_seconds: Some(600), ..web(vec![ready("10.244.1.2"), ready("10.244.1.3")]) });
    let before = net.ask_often(&net.client, CLUSTER_IP, 80);
    assert_eq!(before.len(), 1, "a client stays with its endpoint: {before:?}");
    let three = vec![ready("10.244.1.2"), ready("10.244.1.3"), ready("10.244.1.4")];
    rules.serve(ServicePort { affinity_seconds: Some(600), ..web(three) });
    let after = net.ask_often(&net.client, CLUSTER_IP, 80);
    assert_eq!(before.keys().next(), after.keys().next(), "another endpoint does not change that");
    assert_eq!(after.len(), 1);

    rules.become_state(State::default());
    let left = run("ip", &["netns", "exec", &net.node, "nft", "list", "table", "ip", "kubernel"]).unwrap();
    let frame = table(&State::default(), &config, false);
    rules.runtime.block_on(rules.nft.apply(&frame.replace())).unwrap();
    let fresh = run("ip", &["netns", "exec", &net.node, "nft", "list", "table", "ip", "kubernel"]).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&left), sorted(&fresh), "a change leaves nothing behind");
}

#[test]
fn local_policies_and_outsiders() {
    let Some(net) = Net::build() else { return };
    // The client is outside of the pods' CIDR here.
    let config = Config { table: NAME.into(), cluster_cidrs: vec!["10.244.1.0/24".into()], masquerade_bridged: false };
    let mut rules = Rules::new(&net, config);
    rules.serve(web(vec![ready("10.244.1.2")]));
    let outsider = net.ask(&net.client, CLUSTER_IP, 80);
    assert_eq!(outsider, from("10.244.1.2", "10.244.1.1"), "who is no pod is masqueraded");

    rules.serve(ServicePort { external_local: true, ..web(vec![ready("10.244.1.2")]) });
    let kept = net.ask(&net.client, "192.0.2.1", NODE_PORT);
    assert_eq!(kept, from("10.244.1.2", "10.244.0.9"), "the policy Local keeps the client's address");

    let elsewhere = || vec![Endpoint { local: false, ..ready("10.244.1.2") }];
    rules.serve(ServicePort { external_local: true, ..web(elsewhere()) });
    assert_eq!(net.ask(&net.client, "192.0.2.1", NODE_PORT), Answer::Dropped, "nobody here may take it");
    assert!(matches!(net.ask(&net.node, "192.0.2.1", NODE_PORT), Answer::From { .. }), "the node itself goes on");
    assert!(matches!(net.ask(&net.client, CLUSTER_IP, 80), Answer::From { .. }), "the cluster IP goes on");

    rules.serve(ServicePort { internal_local: true, ..web(elsewhere()) });
    assert_eq!(net.ask(&net.client, CLUSTER_IP, 80), Answer::Dropped);
    assert!(matches!(net.ask(&net.client, "192.0.2.1", NODE_PORT), Answer::From { .. }), "node ports go on");

    let terminating = Endpoint { ready: false, terminating: true, ..ready("10.244.1.3") };
    rules.serve(web(vec![terminating]));
    let last = net.ask(&net.client, "192.0.2.1", NODE_PORT);
    assert!(matches!(&last, Answer::From { backend, .. } if backend == "10.244.1.3"), "the last one serves: {last:?}");
}

#[test]
fn datagrams_follow_the_endpoints() {
    let Some(net) = Net::build() else { return };
    let config = Config { table: NAME.into(), cluster_cidrs: vec!["10.244.0.0/16".into()], masquerade_bridged: false };
    let mut rules = Rules::new(&net, config);
    let ask = |net: &Net| {
        // One socket address for all: to the connection tracker it is one flow.
        within(&net.client, || {
            let socket = UdpSocket::bind("10.244.0.9:5353").expect("the port is free");
            socket.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
            socket.send_to(b"who", (CLUSTER_IP, 80)).expect("a datagram is sent");
            let mut buffer = [0; 64];
            let (length, _) = socket.recv_from(&mut buffer).expect("a backend answers");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        })
    };
    rules.become_state(one(Protocol::Udp, web(vec![ready("10.244.1.2")])));
    assert_eq!(ask(&net), "10.244.1.2");
    rules.become_state(one(Protocol::Udp, web(vec![ready("10.244.1.3")])));
    assert_eq!(ask(&net), "10.244.1.3", "the flow does not go on to the endpoint that is gone");
}
