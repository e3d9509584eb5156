//! `kubernel status`: whether a cluster runs, and how it is.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};

use crate::data_dir::{DataDir, State};
use crate::kubeconfig;
use crate::options::Place;
use crate::progress::Output;

/// How long the API may take for each answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Prints the state; an error (and a non-zero exit) if the cluster does not run or is not ready.
pub async fn run(place: &Place, output: Output) -> Result<()> {
    let dir = DataDir::of(place)?;
    let Some(state) = dir.state()? else {
        bail!("no cluster was ever started in {}; start one with: kubernel up", dir.root.display());
    };
    if !state.is_running(&dir) {
        bail!("cluster {:?} is not running; start it with: kubernel up", state.name);
    }
    let get = async |path: &str| {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&state, &dir, path)).await;
        answer.map_err(|_| anyhow!("the API at {} does not answer within {ANSWER_TIMEOUT:?}", state.address))?
    };
    let (code, ready) = get("/readyz?verbose").await?;
    let nodes = list(&get("/api/v1/nodes").await?.1);
    let pods = list(&get("/api/v1/pods").await?.1);
    let is_ready = |node: &&Value| {
        let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let nodes_ready = nodes.iter().filter(is_ready).count();
    let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
    match output {
        Output::Json => println!(
            "{}",
            json!({
                "name": state.name, "pid": state.pid, "address": state.address.to_string(), "ready": code == 200,
                "nodes": nodes.len(), "nodesReady": nodes_ready, "pods": pods.len(), "podsRunning": running,
                "dataDirectory": dir.root, "kubeconfig": state.kubeconfig,
            })
        ),
        Output::Text => println!(
            "Cluster     {} (process {})\nAPI         https://{}  {}\nNodes       {nodes_ready} of {} ready\nPods        {running} of {} running\nData        {}\nKubeconfig  {}",
            state.name,
            state.pid,
            state.address,
            if code == 200 { "ready" } else { "not ready" },
            nodes.len(),
            pods.len(),
            dir.root.display(),
            state.kubeconfig.display()
        ),
    }
    if code != 200 {
        bail!("the cluster is not ready:\n{ready}");
    }
    Ok(())
}

fn list(text: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(text).unwrap_or_default();
    list["items"].as_array().cloned().unwrap_or_default()
}

async fn ask(state: &State, dir: &DataDir, path: &str) -> Result<(u16, String)> {
    let access = kubeconfig::access(&dir.admin_kubeconfig(), &state.name)?;
    let authority = access.server.trim_start_matches("https://").to_owned();
    let unreachable = || format!("cannot reach the API at {}", access.server);
    let tcp = tokio::net::TcpStream::connect(&authority).await.with_context(unreachable)?;
    let address = tcp.peer_addr()?.ip();
    let tls = tokio_rustls::TlsConnector::from(access.tls)
        .connect(ServerName::from(address), tcp)
        .await
        .with_context(unreachable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", &authority).body(Empty::<bytes::Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok((code, String::from_utf8_lossy(&bytes).into_owned()))
}
