//! The configuration with the real plugins: two network namespaces get addresses, reach each other, and are reached by a
//! port of the node. Needs root and the CNI plugins; without, the reason is printed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use providers_network_cni::{CniNetwork, Link, Settings};
use sdk_plugin::node::{Network, NodeNetwork};
use serde_json::{Value, json};

const HOST_PORT: u16 = 28_085;

fn plugins() -> Option<PathBuf> {
    ["/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from).into_iter().find(|folder| folder.join("host-local").exists())
}

fn unavailable() -> Option<&'static str> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let has = |program: &str| Command::new(program).arg("--help").output().is_ok();
    match () {
        () if !root => Some("namespaces need root"),
        () if plugins().is_none() => Some("the CNI plugins are missing"),
        () if !(has("ip") && has("busybox") && has("iptables")) => Some("ip, busybox or iptables is missing"),
        () => None,
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A network namespace with its interface, as a pod has one. Gone when dropped.
struct Pod {
    name: String,
    list: Value,
    ports: Value,
    address: String,
}

impl Pod {
    fn add(name: String, list: &Value, ports: Value) -> Self {
        run(Command::new("ip").args(["netns", "add", &name]));
        let mut pod = Self { name, list: list.clone(), ports, address: String::new() };
        let mut result = Value::Null;
        for plugin in list["plugins"].as_array().expect("a list") {
            result = serde_json::from_str(&pod.call("ADD", plugin, &result).expect("added")).expect("JSON");
        }
        let address = result["ips"][0]["address"].as_str().expect("an address");
        pod.address = address.split('/').next().expect("an address").to_owned();
        pod
    }

    /// Calls one plugin of the list, as a runtime does.
    fn call(&self, verb: &str, plugin: &Value, previous: &Value) -> Result<String, String> {
        let mut config = plugin.clone();
        config["name"] = self.list["name"].clone();
        config["cniVersion"] = self.list["cniVersion"].clone();
        if !previous.is_null() {
            config["prevResult"] = previous.clone();
        }
        if plugin["capabilities"]["portMappings"] == true {
            config["runtimeConfig"] = json!({"portMappings": self.ports});
        }
        let folder = plugins().expect("looked before");
        let mut child = Command::new(folder.join(plugin["type"].as_str().expect("a type")))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.name)
            .env("CNI_NETNS", format!("/run/netns/{}", self.name))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the plugin runs");
        child.stdin.take().expect("piped").write_all(config.to_string().as_bytes()).expect("the plugin reads");
        let output = child.wait_with_output().expect("the plugin ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(line.split(' '));
        command
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for plugin in self.list["plugins"].as_array().into_iter().flatten().rev() {
            // The test has its result; what cannot be cleaned is said.
            if let Err(error) = self.call("DEL", plugin, &Value::Null) {
                println!("{}: {error}", self.name);
            }
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn fetch(command: &mut Command) -> String {
    for _ in 0..50 {
        let output = command.output().expect("busybox runs");
        if output.status.success() {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no answer to {command:?}");
}

async fn two_pods(link: Link, third: u8, folder: &Path) {
    let bridge = format!("kn{}x{third}", std::process::id() % 1_000_000);
    let settings = Settings {
        conf_dir: folder.join("net.d"),
        data_dir: folder.join("leases"),
        bridge: bridge.clone(),
        link: Some(link),
        ..Default::default()
    };
    let network = CniNetwork::new(settings).expect("a good name");
    let cidr = format!("10.{}.{third}.0/24", 200 + std::process::id() % 50);
    let node = NodeNetwork { node_name: "n".into(), pod_cidrs: vec![cidr.clone()], cluster_cidr: String::new() };
    network.configure(&node).await.expect("configured");
    let list = serde_json::from_str(&std::fs::read_to_string(network.conflist()).expect("the file")).expect("JSON");

    let name = |which: &str| format!("kn-{}-{third}-{which}", std::process::id());
    let port = HOST_PORT + u16::from(third);
    let mapping = json!([{"hostPort": port, "containerPort": 8080, "protocol": "tcp"}]);
    let server = Pod::add(name("a"), &list, mapping);
    let client = Pod::add(name("b"), &list, json!([]));
    assert_ne!(server.address, client.address);
    for pod in [&server, &client] {
        assert!(pod.address.starts_with(cidr.trim_end_matches("0/24")), "{}", pod.address);
    }

    std::fs::write(folder.join("index.html"), "hello").expect("a page");
    let line = format!("busybox httpd -f -p 8080 -h {}", folder.display());
    let _server = Server(server.command(&line).spawn().expect("httpd runs"));
    let to_pod = format!("http://{}:8080/", server.address);
    assert_eq!(fetch(&mut client.command(&format!("busybox wget -q -O - {to_pod}"))), "hello", "from pod to pod");
    assert_eq!(fetch(Command::new("busybox").args(["wget", "-q", "-O", "-", &to_pod])), "hello", "from node to pod");
    let to_node = format!("http://127.0.0.1:{port}/");
    assert_eq!(fetch(Command::new("busybox").args(["wget", "-q", "-O", "-", &to_node])), "hello", "by a host port");

    drop((server, client));
    let leases = std::fs::read_dir(folder.join("leases").join("kubernel")).expect("the leases");
    let left: Vec<_> = leases.filter_map(|entry| Some(entry.ok()?.file_name())).filter(|name| name != "lock").collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with("last_reserved")), "{left:?}");
    let _ = Command::new("ip").args(["link", "delete", &bridge]).stderr(Stdio::null()).status();
}

#[tokio::test]
async fn pods_on_a_bridge() {
    if let Some(reason) = unavailable() {
        println!("not run: {reason}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    two_pods(Link::Bridge, 1, folder.path()).await;
}

#[tokio::test]
async fn pods_on_links_of_their_own() {
    if let Some(reason) = unavailable() {
        println!("not run: {reason}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    two_pods(Link::PointToPoint, 2, folder.path()).await;
}
