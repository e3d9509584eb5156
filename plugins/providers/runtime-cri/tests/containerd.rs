//! The bridge against a real containerd, started by the test with its own folder: a pod's life, its logs, exec, streams,
//! images, and a containerd that goes away and comes back.

#[path = "../../../../tests/harness/src/containerd.rs"]
#[allow(dead_code)]
mod containerd;
#[path = "../../../../tests/harness/src/images.rs"]
#[allow(dead_code)]
mod test_images;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use containerd::Containerd;
use providers_runtime_cri::CriRuntime;
use providers_runtime_cri::images::{self, ImageBuilder};
use sdk_plugin::node::{
    ContainerConfig, ContainerState, LinuxResources, Mount, NodeError, NodeRuntime, SandboxConfig, StreamRequest,
};
use serde_json::json;
use sha2::Digest;

const BUSYBOX: &str = "kubernel.local/busybox:1";

/// A containerd with images and a pod network, and the bridge to it.
struct Rig {
    containerd: Containerd,
    runtime: CriRuntime,
}

impl Rig {
    async fn start() -> Result<Option<Self>> {
        if let Some(reason) = Containerd::unavailable() {
            println!("not run: {reason}");
            return Ok(None);
        }
        let containerd = Containerd::start().await?;
        let runtime = CriRuntime::connect(&containerd.endpoint()).await?;
        let dir = tempfile::tempdir()?;
        let busybox = ImageBuilder::busybox(BUSYBOX)?.env("FROM", "image").user("1000:1000").working_dir("/tmp");
        for (file, image) in [("pause.tar", ImageBuilder::pause("kubernel.local/pause:1")?), ("busybox.tar", busybox)] {
            image.save(&dir.path().join(file))?;
            let names = images::load::load(&runtime, &dir.path().join(file)).await?;
            ensure!(names == [image.name()], "{names:?}");
        }
        Ok(Some(Self { containerd, runtime }))
    }

    /// Links of their own for the pods, with this test's addresses.
    fn add_network(&self) -> Result<()> {
        let list = json!({
            "cniVersion": "0.4.0",
            "name": "test",
            "plugins": [{
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": self.containerd.pod_cidr()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": self.containerd.leases(),
                },
            }],
        });
        let fresh = self.containerd.conf_dir().join("new");
        std::fs::write(&fresh, list.to_string())?;
        Ok(std::fs::rename(fresh, self.containerd.conf_dir().join("10-test.conflist"))?)
    }

    fn pod(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            pod_uid: format!("uid-{name}"),
            pod_name: name.to_owned(),
            pod_namespace: "default".to_owned(),
            hostname: name.to_owned(),
            log_directory: self.containerd.logs().join(name).display().to_string(),
            dns_servers: vec!["192.0.2.53".to_owned()],
            labels: [("io.kubernetes.pod.uid".to_owned(), format!("uid-{name}"))].into(),
            annotations: [("note".to_owned(), "kept".to_owned())].into(),
            ..Default::default()
        }
    }

    /// Waits until a container is in a state.
    async fn wait(&self, id: &str, state: ContainerState) -> Result<sdk_plugin::node::Container> {
        let asking = async {
            loop {
                let container = self.runtime.container(id).await?;
                if container.state == state {
                    return anyhow::Ok(container);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.with_context(|| format!("{id} is not {state:?}"))?
    }
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.to_owned(),
        image: BUSYBOX.to_owned(),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        log_path: format!("{name}/0.log"),
        ..Default::default()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_pod_lives_and_ends() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    let runtime = &rig.runtime;

    let version = runtime.version().await?;
    ensure!(version.name == "containerd", "{version:?}");
    let health = runtime.health().await?;
    ensure!(health.runtime_ready && !health.network_ready, "{health:?}");
    ensure!(health.message.contains("cni plugin not initialized"), "{health:?}");
    let info = runtime.info().await?;
    ensure!(info.cni_conf_dir == Some(rig.containerd.conf_dir()), "{info:?}");
    ensure!(info.sandbox_image.as_deref() == Some("kubernel.local/pause:1"), "{info:?}");
    runtime.set_pod_cidr(&rig.containerd.pod_cidr()).await?;

    rig.add_network()?;
    tokio::time::timeout(Duration::from_secs(10), async {
        while !runtime.health().await?.network_ready {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    })
    .await
    .context("the network is not seen")??;

    // The sandbox.
    let pod = rig.pod("one");
    let sandbox_id = runtime.run_sandbox(&pod).await?;
    let again = runtime.run_sandbox(&pod).await;
    ensure!(matches!(again, Err(NodeError::AlreadyExists(_))), "{again:?}");
    let sandbox = runtime.sandbox(&sandbox_id).await?;
    ensure!(sandbox.ready && sandbox.pod_uid == "uid-one" && sandbox.pod_name == "one", "{sandbox:?}");
    ensure!(sandbox.annotations == pod.annotations && sandbox.labels == pod.labels, "{sandbox:?}");
    let prefix = rig.containerd.pod_cidr().replace("0/24", "");
    ensure!(sandbox.ips.len() == 1 && sandbox.ips[0].starts_with(&prefix), "{sandbox:?}");
    let listed = runtime.sandboxes().await?;
    ensure!(listed.len() == 1 && listed[0].id == sandbox_id && listed[0].ips.is_empty(), "{listed:?}");

    // A container: environment, mounts, user, limits, logs.
    let shared = rig.containerd.logs().join("shared");
    std::fs::create_dir_all(&shared)?;
    std::fs::write(shared.join("word"), "from the node")?;
    let image = runtime.image(BUSYBOX).await?.context("the image")?;
    ensure!(image.uid == Some(1000) && image.repo_tags == [BUSYBOX], "{image:?}");
    let script = "echo $FROM $A $(cat /shared/word) $(id -u) $(hostname); echo late >&2; trap 'exit 7' TERM; \
                  sleep 1000 & wait";
    let config = ContainerConfig {
        image_ref: image.id.clone(),
        env: vec![("A".into(), "first".into()), ("A".into(), "last".into())],
        mounts: vec![Mount {
            container_path: "/shared".into(),
            host_path: shared.display().to_string(),
            readonly: true,
            ..Default::default()
        }],
        resources: LinuxResources { cpu_shares: 102, memory_limit_bytes: 64 << 20, ..Default::default() },
        ..shell("main", script)
    };
    let id = runtime.create_container(&sandbox_id, &config, &pod).await?;
    let again = runtime.create_container(&sandbox_id, &config, &pod).await;
    ensure!(matches!(again, Err(NodeError::AlreadyExists(_))), "{again:?}");
    ensure!(runtime.container(&id).await?.state == ContainerState::Created);
    runtime.start_container(&id).await?;
    let container = rig.wait(&id, ContainerState::Running).await?;
    ensure!(container.sandbox_id == sandbox_id && container.name == "main", "{container:?}");
    ensure!(container.started.is_some() && container.finished.is_none(), "{container:?}");
    ensure!(container.image_ref == image.id && container.log_path.ends_with("one/main/0.log"), "{container:?}");

    // Exec, to its end, with a code, and too long.
    let output = runtime.exec_sync(&id, &words("sh -c pwd;echo>&2;exit"), Duration::from_secs(10)).await?;
    ensure!(output.stdout == b"/tmp\n" && output.exit_code == 0, "{output:?}");
    let script = ["sh", "-c", "echo out; echo err >&2; exit 3"].map(str::to_owned);
    let output = runtime.exec_sync(&id, &script, Duration::from_secs(10)).await?;
    ensure!(output.stdout == b"out\n" && output.stderr == b"err\n" && output.exit_code == 3, "{output:?}");
    let late = runtime.exec_sync(&id, &words("sleep 100"), Duration::from_millis(300)).await;
    ensure!(matches!(late, Err(NodeError::Deadline(_))), "{late:?}");
    let readonly = runtime.exec_sync(&id, &words("touch /shared/x"), Duration::from_secs(10)).await?;
    ensure!(readonly.exit_code != 0, "a read-only mount was written");
    let dns = runtime.exec_sync(&id, &words("cat /etc/resolv.conf"), Duration::from_secs(10)).await?;
    ensure!(String::from_utf8_lossy(&dns.stdout).contains("192.0.2.53"), "{dns:?}");

    // Streams.
    let request = StreamRequest {
        container_id: id.clone(),
        command: words("cat"),
        tty: true,
        stdin: true,
        stdout: true,
        stderr: true,
    };
    for url in [
        runtime.exec_url(&request).await?,
        runtime.attach_url(&StreamRequest { command: vec![], tty: false, ..request }).await?,
        runtime.port_forward_url(&sandbox_id, &[80]).await?,
    ] {
        ensure!(url.starts_with("http://127.0.0.1:"), "{url}");
    }

    // Resources.
    runtime.update_resources(&id, &LinuxResources { cpu_shares: 204, ..Default::default() }).await?;
    let stats = runtime.stats().await?;
    let stats = stats.iter().find(|stats| stats.id == id).context("no statistics")?;
    ensure!(stats.name == "main" && stats.memory_working_set_bytes > 0 && stats.time.is_some(), "{stats:?}");

    // Logs, before and after rotation.
    let log = std::path::PathBuf::from(&container.log_path);
    let text = std::fs::read_to_string(&log)?;
    ensure!(
        text.contains(" stdout F image last from the node 1000 one\n") && text.contains(" stderr F late\n"),
        "{text}"
    );
    std::fs::rename(&log, log.with_extension("old"))?;
    runtime.reopen_log(&id).await?;
    ensure!(log.exists(), "no new log");

    // The end.
    runtime.stop_container(&id, Duration::from_secs(20)).await?;
    let container = rig.wait(&id, ContainerState::Exited).await?;
    ensure!(container.exit_code == 7 && container.reason == "Error", "{container:?}");
    ensure!(container.finished >= container.started && container.finished.is_some(), "{container:?}");
    runtime.stop_container(&id, Duration::ZERO).await?;
    runtime.remove_container(&id).await?;
    runtime.remove_container(&id).await?;
    runtime.stop_container(&id, Duration::ZERO).await?;
    ensure!(matches!(runtime.container(&id).await, Err(NodeError::NotFound(_))));
    ensure!(matches!(runtime.start_container(&id).await, Err(NodeError::NotFound(_))));
    ensure!(runtime.containers().await?.is_empty());
    runtime.stop_sandbox(&sandbox_id).await?;
    ensure!(!runtime.sandbox(&sandbox_id).await?.ready);
    runtime.stop_sandbox(&sandbox_id).await?;
    runtime.remove_sandbox(&sandbox_id).await?;
    runtime.remove_sandbox(&sandbox_id).await?;
    runtime.stop_sandbox(&sandbox_id).await?;
    ensure!(matches!(runtime.sandbox(&sandbox_id).await, Err(NodeError::NotFound(_))));

    rig.containerd.stop().await
}

#[tokio::test]
async fn namespaces_failures_and_memory() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    let runtime = &rig.runtime;

    // The node's network needs no configuration, and has no address of its own.
    let pod = SandboxConfig {
        host_network: true,
        share_process_namespace: true,
        cgroup_parent: format!("/kubernel-test-{}", std::process::id()),
        ..rig.pod("two")
    };
    let sandbox_id = runtime.run_sandbox(&pod).await?;
    ensure!(runtime.sandbox(&sandbox_id).await?.ips.is_empty());

    // One process namespace: the sandbox's process is the first.
    let mut config = shell("ps", "readlink /proc/1/exe; cat /proc/1/cmdline");
    config.security.run_as_user = Some(0);
    let id = runtime.create_container(&sandbox_id, &config, &pod).await?;
    runtime.start_container(&id).await?;
    let done = rig.wait(&id, ContainerState::Exited).await?;
    ensure!(done.exit_code == 0 && done.reason == "Completed", "{done:?}");
    let log = std::fs::read_to_string(&done.log_path)?;
    ensure!(log.contains("trap"), "{log}");

    // More memory than allowed.
    let config = ContainerConfig {
        resources: LinuxResources { memory_limit_bytes: 16 << 20, ..Default::default() },
        ..shell("hungry", "tail /dev/zero")
    };
    let id = runtime.create_container(&sandbox_id, &config, &pod).await?;
    runtime.start_container(&id).await?;
    let done = rig.wait(&id, ContainerState::Exited).await?;
    ensure!(done.reason == "OOMKilled" && done.exit_code == 137, "{done:?}");

    // A command that is not there.
    let config = ContainerConfig { command: words("/no/such"), ..shell("wrong", "") };
    let id = runtime.create_container(&sandbox_id, &config, &pod).await?;
    let error = runtime.start_container(&id).await;
    ensure!(matches!(&error, Err(NodeError::Failed(message)) if message.contains("/no/such")), "{error:?}");
    let done = runtime.container(&id).await?;
    ensure!(done.state == ContainerState::Exited && done.exit_code == 128, "{done:?}");

    // An image that is not there.
    ensure!(runtime.image("kubernel.local/none:1").await?.is_none());
    let config = ContainerConfig { image: "kubernel.local/none:1".into(), ..shell("none", "") };
    let error = runtime.create_container(&sandbox_id, &config, &pod).await;
    ensure!(matches!(error, Err(NodeError::NotFound(_))), "{error:?}");
    let error = runtime.pull_image("kubernel.invalid/none:1", None).await;
    ensure!(error.is_err(), "{error:?}");

    // Images come and go.
    ensure!(runtime.images().await?.len() == 2);
    runtime.remove_image("kubernel.local/none:1").await?;
    runtime.remove_image(BUSYBOX).await?;
    ensure!(runtime.image(BUSYBOX).await?.is_none());

    // The parent of the cgroups belongs to who named it.
    rig.containerd.stop().await?;
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup")? {
        let _ = std::fs::remove_dir(hierarchy?.path().join(&pod.cgroup_parent[1..]));
    }
    let _ = std::fs::remove_dir(format!("/sys/fs/cgroup{}", pod.cgroup_parent));
    Ok(())
}

#[tokio::test]
async fn archives_of_every_form_are_loaded() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);

    // Compressed, and named only as the standard says.
    let image = ImageBuilder::empty("plain:3").file("x", 0o644, "x");
    let mut archive = Vec::new();
    image.write(&mut archive)?;
    let own_name = b"io.containerd.image.name";
    let place = archive.windows(own_name.len()).position(|bytes| bytes == own_name).context("the annotation")?;
    archive[place] = b'x';
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &archive)?;
    std::fs::write(at("plain.tar.gz"), gzip.finish()?)?;
    let names = images::load::load(&rig.runtime, &at("plain.tar.gz")).await?;
    ensure!(names == ["docker.io/library/plain:3"], "{names:?}");
    ensure!(rig.runtime.image("plain:3").await?.is_some(), "not under its short name");

    // As `docker save` writes it.
    let layer = tar_of(&[("file", b"content".to_vec())])?;
    let hex: String = sha2::Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({"architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux", "config": {"Cmd": ["/x"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{hex}")]}});
    let manifest = json!([{"Config": "c.json", "RepoTags": ["team/saved:1"], "Layers": ["l/layer.tar"]}]);
    let files = [
        ("l/layer.tar", layer),
        ("c.json", config.to_string().into_bytes()),
        ("manifest.json", manifest.to_string().into_bytes()),
    ];
    std::fs::write(at("saved.tar"), tar_of(&files)?)?;
    let names = images::load::load(&rig.runtime, &at("saved.tar")).await?;
    ensure!(names == ["docker.io/team/saved:1"], "{names:?}");

    // One whose manifest is not in it.
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", "0".repeat(64)), "size": 3,
        "annotations": {"io.containerd.image.name": "example.com/hollow:1"}}]});
    let files =
        [("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()), ("index.json", index.to_string().into())];
    std::fs::write(at("hollow.tar"), tar_of(&files)?)?;
    let error = images::load::load(&rig.runtime, &at("hollow.tar")).await;
    ensure!(
        matches!(&error, Err(images::Error::Refused { message, .. }) if message.contains("not found")),
        "{error:?}"
    );

    rig.containerd.stop().await
}

fn tar_of(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    Ok(tar.into_inner()?)
}

#[tokio::test]
async fn the_example_application_answers() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    rig.add_network()?;
    let archives = tempfile::tempdir()?;
    for archive in test_images::save_all(archives.path())? {
        images::load::load(&rig.runtime, &archive).await?;
    }
    while !rig.runtime.health().await?.network_ready {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // The first tier, then the second, which is told where the first is as a Service's variables tell it.
    let (web, address) = run(&rig, "web", "serve", vec![("GREETING".into(), "good day".into())]).await?;
    let page = fetch(&address, "/").await?;
    ensure!(page.contains("pod: web") && page.contains("greeting (environment): good day"), "{page}");
    let told = vec![("WEB_SERVICE_HOST".into(), address.clone()), ("WEB_SERVICE_PORT".into(), "8080".into())];
    let (_, front) = run(&rig, "front", "front", told).await?;
    let page = fetch(&front, "/").await?;
    ensure!(page.contains("front: front") && page.contains("greeting (environment): good day"), "{page}");

    // Readiness follows the file, and SIGTERM ends it in order.
    ensure!(fetch(&address, "/cgi-bin/ready").await?.contains("200 OK"));
    rig.runtime.exec_sync(&web, &words("touch /tmp/not-ready"), Duration::from_secs(10)).await?;
    ensure!(fetch(&address, "/cgi-bin/ready").await?.contains(" 503 "));
    rig.runtime.stop_container(&web, Duration::from_secs(60)).await?;
    let done = rig.wait(&web, ContainerState::Exited).await?;
    ensure!(done.exit_code == 0, "{done:?}");
    ensure!(std::fs::read_to_string(&done.log_path)?.contains("web: stops"), "{done:?}");

    rig.containerd.stop().await
}

/// Runs the example's image as a pod; its container and its address.
async fn run(rig: &Rig, name: &str, role: &str, env: Vec<(String, String)>) -> Result<(String, String)> {
    let pod = rig.pod(name);
    let sandbox_id = rig.runtime.run_sandbox(&pod).await?;
    let config = ContainerConfig {
        name: "web".to_owned(),
        image: test_images::WEB.to_owned(),
        args: vec![role.to_owned()],
        env,
        log_path: "web/0.log".to_owned(),
        ..Default::default()
    };
    let id = rig.runtime.create_container(&sandbox_id, &config, &pod).await?;
    rig.runtime.start_container(&id).await?;
    let address = rig.runtime.sandbox(&sandbox_id).await?.ips.first().cloned().context("no address")?;
    Ok((id, address))
}

/// An answer with its head; asks again until the server listens.
async fn fetch(address: &str, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asking = async {
        let mut stream = loop {
            match tokio::net::TcpStream::connect((address, 8080)).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        anyhow::Ok(text)
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.with_context(|| format!("no answer from {address}"))?
}

#[tokio::test]
async fn the_bridge_comes_back_with_the_runtime() -> Result<()> {
    let Some(mut rig) = Rig::start().await? else { return Ok(()) };
    let pod = SandboxConfig { host_network: true, ..rig.pod("three") };
    let sandbox_id = rig.runtime.run_sandbox(&pod).await?;
    let id = rig.runtime.create_container(&sandbox_id, &shell("main", "sleep 1000 & wait"), &pod).await?;
    rig.runtime.start_container(&id).await?;

    rig.containerd.crash()?;
    let error = rig.runtime.version().await;
    ensure!(matches!(&error, Err(NodeError::Unavailable(message)) if message.contains("c.sock")), "{error:?}");
    let Err(error) = CriRuntime::connect(&rig.containerd.endpoint()).await else { anyhow::bail!("nobody answered") };
    ensure!(error.to_string().contains("Start containerd"), "{error}");

    rig.containerd.restart().await?;
    let container = rig.runtime.container(&id).await?;
    ensure!(container.state == ContainerState::Running && container.sandbox_id == sandbox_id, "{container:?}");
    rig.containerd.stop().await
}
