//! `kubernel up`: starts a cluster and stays with it until told to stop.

use anyhow::Result;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Cluster;
use crate::options::{Runtime, Up};
use crate::preflight;
use crate::progress::Progress;

pub async fn run(up: Up) -> Result<()> {
    // Listened to first, so that a signal during the start ends it in order too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    preflight::check(&up)?;
    let progress = Progress::new(up.output);
    let cluster = tokio::select! {
        cluster = Cluster::start(&up, &progress) => cluster?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let next = match up.runtime {
        Runtime::None => "kubectl api-resources",
        Runtime::Cri | Runtime::Sim => "kubectl get nodes",
    };
    let next = match &up.kubeconfig {
        Some(path) => next.replace("kubectl", &format!("kubectl --kubeconfig {}", path.display())),
        None => next.to_owned(),
    };
    progress.ready(
        &format!("Cluster {:?} is ready", up.place.name),
        &next,
        json!({"pid": std::process::id(), "address": cluster.address.to_string()}),
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    progress.step("stopping", "Stopping; containers and Services go on", json!({}));
    cluster.stop().await;
    progress.step("stopped", "Stopped", json!({}));
    Ok(())
}
