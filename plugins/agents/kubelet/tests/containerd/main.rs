//! The kubelet on a real containerd, started by the test with its own folder, against an API in memory.
//!
//! Needs root, containerd, runc, the CNI plugins and busybox-static; without them it says so and passes.

#[path = "../../../../../tests/harness/src/containerd.rs"]
#[allow(dead_code)]
mod containerd;
#[path = "../../../../../tests/harness/src/images.rs"]
#[allow(dead_code)]
mod images;
mod node_client;
mod rig;

use std::time::Duration;

use anyhow::{Result, ensure};
use rig::{Rig, shell};
use serde_json::{Value, json};

/// What the script of a container shows of itself.
const SHOW: &str = "echo color=$COLOR pw=$PW name=$NAME; cat /config/color /secret/pw /token/token; echo; \
     stat -L -c %a /secret/pw; df /mem | grep -c tmpfs; cat /etc/hosts; hostname; cat /etc/resolv.conf; \
     cat /sub/file; echo done; trap 'exit 0' TERM; while true; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_in_containers() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    rig.seed(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "ns"},
        "data": {"color": "red"}}));
    rig.seed(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "ns"},
        "data": {"pw": "aHVudGVy"}}));
    let env = json!([
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "pw"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let mut container = shell("c", SHOW);
    container["env"] = env;
    container["resources"] = json!({"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}});
    container["readinessProbe"] = json!({"exec": {"command": ["test", "-f", "/config/color"]}, "periodSeconds": 1});
    container["volumeMounts"] = json!([
        {"name": "config", "mountPath": "/config"}, {"name": "secret", "mountPath": "/secret", "readOnly": true},
        {"name": "token", "mountPath": "/token"}, {"name": "mem", "mountPath": "/mem"},
        {"name": "disk", "mountPath": "/sub", "subPath": "a/b"}]);
    let mut first = shell("first", "echo from-init > /disk/a/b/file");
    first["volumeMounts"] =
        json!([{"name": "disk", "mountPath": "/disk"}, {"name": "disk", "mountPath": "/x", "subPath": "a/b"}]);
    let volumes = json!([
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 256}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "mem", "emptyDir": {"medium": "Memory"}}, {"name": "disk", "emptyDir": {}}]);
    let spec = json!({"initContainers": [first], "containers": [container], "volumes": volumes, "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"]}, "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["alias"]}],
        "terminationGracePeriodSeconds": 5});
    let began = std::time::Instant::now();
    rig.create("web", spec).await?;
    rig.until("web is ready", |api| rig::is_ready(api, "web")).await?;
    println!("ready after {:?}", began.elapsed());

    rig.until_log("web", "c", "done").await?;
    let log = rig.log("web", "c", "").await?;
    for part in [
        "color=red pw=hunter name=web",
        "redhuntertoken-of-default",
        "\n400\n1\n",
        "\tweb\n",
        "192.0.2.1\talias",
        "\nweb\n",
        "nameserver 192.0.2.53",
        "from-init",
    ] {
        ensure!(log.contains(part), "{part:?} is not in: {log}");
    }
    ensure!(rig.log("web", "c", "tailLines=1").await? == "done\n");

    // A volume follows its ConfigMap.
    rig.seed(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "ns"},
        "data": {"color": "green"}}));
    rig.until_exec("web", "c", &["cat", "/config/color"], "green").await?;

    // What the server tells besides.
    let summary: Value = serde_json::from_str(&rig.get("/stats/summary").await?)?;
    ensure!(summary["pods"][0]["podRef"]["name"] == "web", "{summary}");
    ensure!(summary["pods"][0]["containers"][0]["memory"]["workingSetBytes"].as_u64() > Some(0), "{summary}");
    ensure!(rig.get("/metrics").await?.contains("kubelet_running_pods 1\n"));
    let pods: Value = serde_json::from_str(&rig.get("/pods").await?)?;
    ensure!(pods["items"][0]["metadata"]["name"] == "web", "{pods}");

    // Commands, through the node's server, and who may not use it.
    let (out, status) = rig.exec("web", "c", &["sh", "-c", "echo hello; exit 3"]).await?;
    ensure!(out == "hello\n" && status.contains("\"3\""), "{out} {status}");
    ensure!(rig.refused_stranger().await?, "a client with another name was let in");

    // The limits are in the cgroup of the pod, where cgroups can be made.
    let uid = rig.uid("web");
    if let Some(limit) = rig.pod_memory_limit(&uid) {
        ensure!(limit == (64 << 20).to_string(), "{limit}");
    }

    // The kubelet goes away and comes back: the same container.
    let id = rig.container("web")["containerID"].clone();
    rig.restart_kubelet().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(rig.container("web")["containerID"] == id && rig.container("web")["restartCount"] == 0);

    let began = std::time::Instant::now();
    rig.delete("web").await?;
    rig.until("web is gone", |api| rig::find(api, "web").is_none()).await?;
    ensure!(began.elapsed() < Duration::from_secs(5), "it ended on SIGTERM: {:?}", began.elapsed());
    rig.until_clean(&uid).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_told() -> Result<()> {
    let Some(rig) = Rig::start().await? else { return Ok(()) };
    let mut crashing = shell("c", "echo try; echo last words > /dev/termination-log; exit 4");
    crashing["terminationMessagePath"] = "/dev/termination-log".into();
    rig.create("crash", json!({"containers": [crashing]})).await?;
    let mut quiet = shell("c", "echo to the log; exit 5");
    quiet["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    rig.create("once", json!({"restartPolicy": "Never", "containers": [quiet]})).await?;
    let mut alive = shell("c", "touch /alive; sleep 1; rm /alive; sleep 1000");
    alive["livenessProbe"] = json!({"exec": {"command": ["cat", "/alive"]}, "periodSeconds": 1, "failureThreshold": 1});
    rig.create("live", json!({"terminationGracePeriodSeconds": 1, "containers": [alive]})).await?;
    let mut absent = shell("c", "true");
    absent["image"] = "kubernel.local/absent:1".into();
    absent["imagePullPolicy"] = "Never".into();
    rig.create("absent", json!({"containers": [absent]})).await?;

    let waits = |api: &sdk_testkit::FakeApi, name: &str| {
        rig::container(api, name)["state"]["waiting"]["reason"].as_str().unwrap_or_default().to_owned()
    };
    rig.until("crash backs off", |api| waits(api, "crash") == "CrashLoopBackOff").await?;
    let crash = rig.container("crash");
    ensure!(crash["lastState"]["terminated"]["message"] == "last words\n", "{crash}");
    ensure!(crash["lastState"]["terminated"]["exitCode"] == 4, "{crash}");
    ensure!(rig.log("crash", "c", "previous=true").await? == "try\n");
    rig.until("once failed", |api| rig::phase(api, "once") == "Failed").await?;
    let once: Value = rig.container("once");
    ensure!(once["state"]["terminated"]["message"] == "to the log\n", "{once}");
    rig.until("absent is told", |api| waits(api, "absent") == "ErrImageNeverPull").await?;
    rig.until("live was restarted", |api| {
        rig::container(api, "live")["restartCount"].as_i64().is_some_and(|count| count >= 1)
    })
    .await?;

    // A log that grows is rotated, and what is followed goes on across it.
    let count = "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo number $n of many; \
        [ $((n % 500)) = 0 ] && sleep 0.1; done; true";
    rig.create("chatty", json!({"restartPolicy": "Never", "containers": [shell("c", count)]})).await?;
    rig.until("chatty runs", |api| rig::phase(api, "chatty") == "Running").await?;
    let followed = rig.log("chatty", "c", "follow=true").await?;
    let lines: Vec<&str> = followed.lines().collect();
    ensure!(lines.len() == 20000 && lines.last() == Some(&"number 20000 of many"), "{} lines", lines.len());
    let files = rig.log_files("chatty", "c")?;
    ensure!((2..=5).contains(&files.len()) && files.iter().all(|bytes| *bytes < 400_000), "{files:?}");

    let all = ["crash", "once", "live", "absent", "chatty"];
    for name in all {
        rig.delete(name).await?;
    }
    rig.until("all are gone", |api| all.iter().all(|name| rig::find(api, name).is_none())).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_reach_pods_and_a_runtime_may_go_away() -> Result<()> {
    let Some(mut rig) = Rig::start().await? else { return Ok(()) };
    let mut web =
        shell("c", "mkdir /www; sleep 1; echo ok > /www/ready; trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait");
    web["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    web["startupProbe"] = json!({"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 30});
    web["readinessProbe"] = json!({"httpGet": {"port": "http", "path": "/ready"}, "periodSeconds": 1});
    web["livenessProbe"] =
        json!({"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 1, "failureThreshold": 30});
    rig.create("web", json!({"terminationGracePeriodSeconds": 2, "containers": [web]})).await?;
    let host = shell("c", "hostname; cat /etc/hosts; trap 'exit 0' TERM; sleep 1000 & wait");
    rig.create("host", json!({"hostNetwork": true, "terminationGracePeriodSeconds": 2, "containers": [host]})).await?;
    rig.until("both are ready", |api| rig::is_ready(api, "web") && rig::is_ready(api, "host")).await?;
    let pod = |api: &sdk_testkit::FakeApi, name: &str| rig::find(api, name).unwrap_or_default();
    ensure!(rig.with_api(|api| pod(api, "host")["status"]["podIP"] == pod(api, "host")["status"]["hostIP"]));
    rig.until_log("host", "c", "Kubernetes-managed hosts file (host network)").await?;

    // The page is gone: not ready any more, and ready again when it is back.
    rig.exec("web", "c", &["rm", "/www/ready"]).await?;
    rig.until("web is not ready", |api| !rig::is_ready(api, "web")).await?;
    rig.exec("web", "c", &["touch", "/www/ready"]).await?;
    rig.until("web is ready again", |api| rig::is_ready(api, "web")).await?;

    // A port of the pod, through the node's server.
    let page = rig.port_forward("web", 8080, "GET /ready HTTP/1.0\r\n\r\n").await?;
    ensure!(page.starts_with("HTTP/1.0 200") || page.starts_with("HTTP/1.1 200"), "{page}");

    // The runtime crashes: the node says so, the containers go on, and so does the node once it is back.
    let id = rig.container("web")["containerID"].clone();
    rig.crash_runtime()?;
    rig.until("the node is not ready", |api| rig::node_ready(api) == Some(false)).await?;
    rig.restart_runtime().await?;
    rig.until("the node is ready", |api| rig::node_ready(api) == Some(true)).await?;
    ensure!(rig.container("web")["containerID"] == id && rig.container("web")["restartCount"] == 0);
    rig.delete("web").await?;
    rig.delete("host").await?;
    rig.until("both are gone", |api| rig::find(api, "web").is_none() && rig::find(api, "host").is_none()).await?;
    rig.stop().await
}
