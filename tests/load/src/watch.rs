//! Watches: what an open one takes, and what it costs to tell all of them of each change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::drive::CONNECTIONS_MAX;
use crate::kubeconfig;
use crate::process::Process;
use crate::work::Work;

/// Watches and events of one run are bounded by these, whatever is asked for.
pub const WATCHES_MAX: usize = 10_000;
pub const EVENTS_MAX: u64 = 100_000;
/// How long the watches may take to be told of everything.
const TELLING_MAX: Duration = Duration::from_secs(120);

/// A run: so many watches on the ConfigMaps of a namespace, and so many creations there.
#[derive(Clone, Debug)]
pub struct Fan {
    pub kubeconfig: std::path::PathBuf,
    pub namespace: String,
    pub run: String,
    pub watches: usize,
    /// Watches on one connection; above 1 they speak HTTP/2.
    pub on_each: usize,
    pub events: u64,
    /// The server, to see what it takes.
    pub process: Option<Process>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub work: &'static str,
    pub watches: usize,
    pub connections: usize,
    pub deliveries: u64,
    pub seconds: f64,
    /// Deliveries a second.
    pub rate: f64,
    /// Server CPU for one delivery, the creations included. Microseconds.
    pub cpu_us_each: Option<f64>,
    /// What the server's resident memory grew by for one idle watch, its share of the connection included. Bytes.
    pub watch_bytes: Option<f64>,
}

/// Opens the watches, then creates, and waits until every watch has been told of every creation.
pub async fn fan_out(fan: &Fan) -> Result<Told> {
    let connections = fan.watches.div_ceil(fan.on_each.max(1));
    if !(1..=WATCHES_MAX).contains(&fan.watches) || !(1..=CONNECTIONS_MAX).contains(&connections) {
        bail!("between 1 and {WATCHES_MAX} watches on up to {CONNECTIONS_MAX} connections");
    }
    if !(1..=EVENTS_MAX).contains(&fan.events) {
        bail!("between 1 and {EVENTS_MAX} events");
    }
    let h2 = fan.on_each > 1;
    let before = fan.process.as_ref().map(Process::resident_bytes).transpose()?;
    let server = kubeconfig::load(&fan.kubeconfig, h2)?;
    let (told, all_told) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let wanted = fan.watches as u64 * fan.events;
    let path = format!(
        "/api/v1/namespaces/{}/configmaps?watch=1&labelSelector=kubernel.io%2Fload%3D{}",
        fan.namespace, fan.run
    );
    let mut open = Vec::new();
    for number in 0..connections {
        let mut connection = Connection::open(&server, h2).await?;
        for _ in 0..fan.on_each.min(fan.watches - number * fan.on_each) {
            let mut body = connection.ask(Method::GET, &path, Bytes::new()).await?;
            if !body.status().is_success() {
                bail!("a watch was answered {}", body.status());
            }
            let (told, all_told) = (told.clone(), all_told.clone());
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    // Each event is a line.
                    let lines = frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                    if told.fetch_add(lines as u64, Ordering::Relaxed) + lines as u64 >= wanted {
                        all_told.notify_one();
                    }
                }
            });
        }
        open.push(connection);
    }
    let after = fan.process.as_ref().map(Process::resident_bytes).transpose()?;
    let work = Work::Create { namespace: fan.namespace.clone(), run: fan.run.clone(), bytes: 1024 };
    let mut writer = Connection::open(&kubeconfig::load(&fan.kubeconfig, false)?, false).await?;
    let cpu = fan.process.as_ref().map(Process::cpu).transpose()?;
    let began = Instant::now();
    for number in 0..fan.events {
        let (method, path, body) = work.request(number);
        let answer = writer.send(method, &path, body).await?;
        if !answer.status.is_success() {
            bail!("a creation was answered {}", answer.status);
        }
    }
    let waited = tokio::time::timeout(TELLING_MAX, all_told.notified()).await;
    waited.with_context(|| format!("only {} of {wanted} events arrived", told.load(Ordering::Relaxed)))?;
    let seconds = began.elapsed().as_secs_f64();
    let used = fan.process.as_ref().map(Process::cpu).transpose()?;
    drop(open);
    let each = |from: Option<f64>, to: Option<f64>, count: f64| Some((to? - from?) / count);
    Ok(Told {
        work: "watch",
        watches: fan.watches,
        connections,
        deliveries: wanted,
        seconds,
        rate: wanted as f64 / seconds,
        cpu_us_each: each(
            cpu.map(|cpu| cpu.as_secs_f64() * 1e6),
            used.map(|cpu| cpu.as_secs_f64() * 1e6),
            wanted as f64,
        ),
        watch_bytes: each(before.map(|bytes| bytes as f64), after.map(|bytes| bytes as f64), fan.watches as f64),
    })
}
