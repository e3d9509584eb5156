//! A containerd, a kubelet on it, an API in memory, and a client of the node's server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agents_kubelet::{Ground, Kubelet, NodeServer, Settings};
use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use providers_runtime_cri::CriRuntime;
use providers_runtime_cri::images::load;
use sdk_api::k8s_openapi::api::core::v1::{Node, Pod};
use sdk_api::{Clock, GroupResource, Key, Object, Status, SystemClock};
use sdk_client::{
    Client, Clients, DeleteOptions, ListOptions, ObjectList, Request, Target, Transport, Verb, WatchOptions,
    WatchStream,
};
use sdk_plugin::agent::{Agent, Context};
use sdk_plugin::node::NodeRuntime;
use sdk_testkit::FakeApi;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::containerd::Containerd;
use crate::images;
use crate::node_client::{Identities, NodeClient};

const PATIENCE: Duration = Duration::from_secs(40);

pub struct Rig {
    containerd: Containerd,
    runtime: Arc<CriRuntime>,
    api: FakeApi,
    settings: Settings,
    stop: std::sync::Mutex<(CancellationToken, tokio::task::JoinHandle<()>)>,
    server: CancellationToken,
    client: NodeClient,
    /// Dropped last: what is mounted in it goes with it, also after a test that failed.
    _folder: Folder,
}

struct Folder(tempfile::TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).rev();
        for point in points.filter(|point| std::path::Path::new(point).starts_with(self.0.path())) {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// A container that runs a script.
pub fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": images::BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script]})
}

pub fn find(api: &FakeApi, name: &str) -> Option<Value> {
    api.object(&Key::of::<Pod>("ns", name)).map(|object| (**object.tree()).clone())
}

pub fn phase(api: &FakeApi, name: &str) -> String {
    find(api, name).and_then(|pod| pod["status"]["phase"].as_str().map(Into::into)).unwrap_or_default()
}

pub fn container(api: &FakeApi, name: &str) -> Value {
    find(api, name).map(|pod| pod["status"]["containerStatuses"][0].clone()).unwrap_or_default()
}

pub fn is_ready(api: &FakeApi, name: &str) -> bool {
    let Some(pod) = find(api, name) else { return false };
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default().into_iter();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What the Node says of itself, if it says anything.
pub fn node_ready(api: &FakeApi) -> Option<bool> {
    let node = api.object(&Key::of::<Node>("", "n1"))?;
    let conditions = node.tree()["status"]["conditions"].as_array()?.clone();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    Some(ready["status"] == "True")
}

impl Rig {
    pub async fn start() -> Result<Option<Self>> {
        if let Some(reason) = Containerd::unavailable() {
            println!("not run: {reason}");
            return Ok(None);
        }
        let containerd = Containerd::start().await?;
        let runtime = Arc::new(CriRuntime::connect(&containerd.endpoint()).await?);
        let folder = Folder(tempfile::tempdir()?);
        for (file, image) in [("pause.tar", images::pause()?), ("busybox.tar", images::busybox(images::BUSYBOX)?)] {
            image.save(&folder.0.path().join(file))?;
            load::load(&runtime, &folder.0.path().join(file)).await?;
        }
        let list = json!({"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "ptp", "ipam": {
            "type": "host-local", "ranges": [[{"subnet": containerd.pod_cidr()}]], "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": containerd.leases()}}]});
        std::fs::write(containerd.conf_dir().join("10-test.conflist"), list.to_string())?;

        let identities = Identities::new()?;
        let server = NodeServer::new(identities.server_config()?, vec!["apiserver".into()]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let client = NodeClient::new(listener.local_addr()?, identities);
        let server_stop = CancellationToken::new();
        tokio::spawn(server.clone().serve(listener.into(), server_stop.clone()));

        let mut settings = Settings::new("n1", Ground::Host, runtime.clone());
        settings.root_dir = folder.0.path().join("kubelet");
        settings.log_dir = containerd.logs();
        settings.server = Some(server);
        settings.limits.relist = Duration::from_millis(200);
        settings.limits.heartbeat = Duration::from_secs(1);
        settings.limits.log_bytes_max = 64 << 10;
        settings.limits.log_check = Duration::from_millis(100);
        let cgroup_root = format!("/{}", containerd.bridge());
        if agents_kubelet::cgroups_are_writable(&cgroup_root) {
            settings.cgroup_root = cgroup_root;
        }
        let api = FakeApi::new(Arc::new(SystemClock::default()));
        let stop = std::sync::Mutex::new(run_kubelet(&api, &settings));
        Ok(Some(Self { containerd, runtime, api, settings, stop, server: server_stop, client, _folder: folder }))
    }

    pub async fn restart_kubelet(&self) -> Result<()> {
        self.stop_kubelet().await?;
        *self.stop.lock().expect("no test panics while it holds the kubelet") = run_kubelet(&self.api, &self.settings);
        Ok(())
    }

    async fn stop_kubelet(&self) -> Result<()> {
        let task = {
            let mut running = self.stop.lock().expect("no test panics while it holds the kubelet");
            running.0.cancel();
            std::mem::replace(&mut running.1, tokio::spawn(async {}))
        };
        Ok(task.await?)
    }

    pub fn seed(&self, tree: Value) {
        self.api.seed(tree);
    }

    pub fn with_api<T>(&self, look: impl Fn(&FakeApi) -> T) -> T {
        look(&self.api)
    }

    pub fn crash_runtime(&mut self) -> Result<()> {
        self.containerd.crash()
    }

    pub async fn restart_runtime(&mut self) -> Result<()> {
        self.containerd.restart().await
    }

    /// Sends text to a port of a pod; what comes back.
    pub async fn port_forward(&self, pod: &str, port: u16, text: &str) -> Result<String> {
        self.client.port_forward(&format!("/portForward/ns/{pod}?ports={port}"), text).await
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let mut whole = json!({"nodeName": "n1", "restartPolicy": "Always", "serviceAccountName": "default"});
        for (field, value) in spec.as_object().into_iter().flatten() {
            whole[field] = value.clone();
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"}, "spec": whole,
            "status": {"phase": "Pending"}});
        self.api.admin().create(&GroupResource::of::<Pod>(), "ns", pod).await?;
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        self.api.admin().delete(&Key::of::<Pod>("ns", name), DeleteOptions::default()).await?;
        Ok(())
    }

    pub fn uid(&self, name: &str) -> String {
        self.api.object(&Key::of::<Pod>("ns", name)).map(|pod| pod.uid().to_owned()).unwrap_or_default()
    }

    pub fn container(&self, name: &str) -> Value {
        container(&self.api, name)
    }

    pub async fn until(&self, what: &str, done: impl Fn(&FakeApi) -> bool) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !done(&self.api) {
            if tokio::time::Instant::now() > deadline {
                let events = self.api.objects(&GroupResource::new("", "events"), "");
                let told: Vec<String> =
                    events.iter().map(|e| format!("{}: {}", e.tree()["reason"], e.tree()["message"])).collect();
                let pods = self.api.objects(&GroupResource::of::<Pod>(), "");
                let pods: Vec<String> = pods.iter().map(|pod| pod.tree()["status"].to_string()).collect();
                bail!("in vain: {what}; events: {told:#?}; pods: {pods:#?}; {}", self.containerd.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub async fn log(&self, pod: &str, container: &str, query: &str) -> Result<String> {
        self.client.get(&format!("/containerLogs/ns/{pod}/{container}?{query}")).await
    }

    /// What the node's server says at a path.
    pub async fn get(&self, path: &str) -> Result<String> {
        self.client.get(path).await
    }

    /// The files of a container's logs, the current one and those before it.
    pub fn log_files(&self, pod: &str, container: &str) -> Result<Vec<u64>> {
        let dir = self.settings.log_dir.join(format!("ns_{pod}_{}", self.uid(pod))).join(container);
        let sizes = std::fs::read_dir(dir)?.flatten().filter_map(|entry| entry.metadata().ok().map(|meta| meta.len()));
        Ok(sizes.collect())
    }

    pub async fn until_log(&self, pod: &str, container: &str, part: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let log = self.log(pod, container, "").await?;
            if log.contains(part) {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "{part:?} never came: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a command says, and its status.
    pub async fn exec(&self, pod: &str, container: &str, command: &[&str]) -> Result<(String, String)> {
        let words: Vec<String> =
            command.iter().map(|word| format!("command={}", word.replace(' ', "+").replace(';', "%3B"))).collect();
        let path = format!("/exec/ns/{pod}/{container}?output=1&error=1&{}", words.join("&"));
        self.client.exec(&path).await
    }

    pub async fn until_exec(&self, pod: &str, container: &str, command: &[&str], wanted: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (out, _) = self.exec(pod, container, command).await?;
            if out == wanted {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "{command:?} says {out:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a client of our own authority, but with another name, is refused.
    pub async fn refused_stranger(&self) -> Result<bool> {
        Ok(self.client.get_as_stranger("/pods").await? == 403)
    }

    pub fn pod_memory_limit(&self, uid: &str) -> Option<String> {
        if self.settings.cgroup_root.is_empty() {
            return None;
        }
        let pod = format!("{}/burstable/pod{uid}", &self.settings.cgroup_root[1..]);
        let paths = [
            PathBuf::from("/sys/fs/cgroup/memory").join(&pod).join("memory.limit_in_bytes"),
            PathBuf::from("/sys/fs/cgroup").join(&pod).join("memory.max"),
        ];
        paths.iter().find_map(|path| std::fs::read_to_string(path).ok()).map(|text| text.trim().to_owned())
    }

    /// Waits until nothing of a pod is left on the machine.
    pub async fn until_clean(&self, uid: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let table = std::fs::read_to_string("/proc/self/mountinfo")?;
            let dir = self.settings.root_dir.join("pods").join(uid);
            let left = [
                ("directory", dir.exists()),
                ("mounts", table.contains(&*dir.to_string_lossy())),
                ("containers", !self.runtime.containers().await?.is_empty()),
                ("sandboxes", !self.runtime.sandboxes().await?.is_empty()),
                ("cgroup", self.pod_memory_limit(uid).is_some()),
                ("logs", std::fs::read_dir(&self.settings.log_dir)?.next().is_some()),
            ];
            let left: Vec<&str> = left.iter().filter(|(_, there)| *there).map(|(what, _)| *what).collect();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "still there: {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes the cgroups of the test, in which the kubelet must have left no pod.
    fn remove_cgroups(root: &str) -> Result<()> {
        let root = root.trim_matches('/');
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).filter(|_| !root.is_empty()) {
            for class in ["burstable", "besteffort", ""] {
                let dir = hierarchy.join(root).join(class);
                if dir.is_dir() {
                    std::fs::remove_dir(&dir).with_context(|| format!("{} is not empty", dir.display()))?;
                }
            }
        }
        Ok(())
    }

    pub async fn stop(self) -> Result<()> {
        let pods = self.settings.root_dir.join("pods");
        self.until("the kubelet has cleaned up", |_| {
            std::fs::read_dir(&pods).is_ok_and(|mut entries| entries.next().is_none())
        })
        .await?;
        self.stop_kubelet().await?;
        self.server.cancel();
        self.containerd.stop().await?;
        Self::remove_cgroups(&self.settings.cgroup_root)?;
        ensure!(!self.settings.root_dir.join("pods").read_dir()?.any(|_| true), "a pod is left behind");
        Ok(())
    }
}

fn run_kubelet(api: &FakeApi, settings: &Settings) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let kubelet = Kubelet::new(settings.clone());
    let client = Client::new(Arc::new(WithTokens(api.client(&kubelet.identity()))));
    let stop = CancellationToken::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let context = Context { client, clients: api.clients(), clock, stop: stop.clone() };
    let task = tokio::spawn(async move {
        if let Err(error) = kubelet.run(context).await {
            println!("the kubelet ended: {error}");
        }
    });
    (stop, task)
}

/// The API in memory, and tokens besides, which it does not issue.
struct WithTokens(Client);

#[async_trait]
impl Transport for WithTokens {
    async fn call(&self, request: Request) -> Result<Option<Arc<Object>>, Status> {
        let Target { resource, namespace, name, subresource, .. } = &request.target;
        if subresource == "token" && request.verb == Verb::Create {
            let body = request.body.clone().unwrap_or_default();
            if body["spec"]["boundObjectRef"]["kind"] != "Pod" {
                return Err(Status::bad_request("not bound to a pod"));
            }
            let tree = json!({"metadata": {"name": name, "namespace": namespace}, "status": {
                "token": format!("token-of-{name}"), "expirationTimestamp": "2099-01-01T00:00:00Z"}});
            return Ok(Some(Arc::new(Object::from_tree(resource, tree))));
        }
        let key = Key::new(resource, namespace, name);
        let missing = || Status::bad_request("no body");
        match request.verb {
            Verb::Get => self.0.get(&key).await.map(Some),
            Verb::Create if subresource.is_empty() => {
                self.0.create(resource, namespace, request.body.ok_or_else(missing)?).await.map(Some)
            }
            Verb::Create => self.0.post(&key, subresource, request.body.ok_or_else(missing)?).await,
            Verb::Update => self.0.update(&key, subresource, request.body.ok_or_else(missing)?).await.map(Some),
            Verb::Patch => self.0.patch(&key, subresource, request.patch.ok_or_else(missing)?).await.map(Some),
            Verb::Delete => self.0.delete(&key, request.delete).await,
            Verb::List | Verb::DeleteCollection => Err(Status::bad_request("not a call")),
        }
    }

    async fn list(&self, target: Target, options: ListOptions) -> Result<ObjectList, Status> {
        self.0.list(&target.resource, &target.namespace, options).await
    }

    async fn watch(&self, target: Target, options: WatchOptions) -> Result<WatchStream, Status> {
        self.0.watch(&target.resource, &target.namespace, options).await
    }
}
