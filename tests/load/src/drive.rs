//! Drives load: closed loops, which ask again when the answer is there, and open ones, which ask when it is time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;

use crate::connection::Connection;
use crate::kubeconfig::Server;
use crate::report::{Report, microseconds};
use crate::work::Work;

/// Connections, requests and time of one run are bounded by these, whatever is asked for.
pub const CONNECTIONS_MAX: usize = 2_000;
pub const COUNT_MAX: u64 = 2_000_000;
pub const SECONDS_MAX: u64 = 600;

/// A worker gives up after so many broken connections in a row.
const BROKEN_MAX: u32 = 5;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub work: Work,
    pub h2: bool,
    /// Each with one request under way at a time.
    pub connections: usize,
    pub count: u64,
    pub time: Duration,
    /// Requests a second, for an open loop; `None` is a closed one.
    pub rate: Option<f64>,
}

/// When requests of an open loop are to start: evenly, from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
}

impl Pace {
    /// Fails for a rate that is no number between 0.001 and 1,000,000 a second.
    pub fn of(rate: f64) -> Result<Self> {
        if !(0.001..=1_000_000.0).contains(&rate) {
            bail!("a rate of {rate} a second cannot be kept");
        }
        Ok(Self { every: Duration::from_secs_f64(1.0 / rate) })
    }

    /// The start of a request, counted from that of the run.
    pub fn start(self, number: u64) -> Duration {
        Duration::from_nanos(u64::try_from(self.every.as_nanos() * u128::from(number)).unwrap_or(u64::MAX))
    }
}

/// What one worker saw.
struct Seen {
    latencies: Histogram<u64>,
    bytes: u64,
    statuses: BTreeMap<u16, u64>,
    broken: u64,
    why: Option<String>,
}

impl Seen {
    fn new() -> Self {
        Self { latencies: microseconds(), bytes: 0, statuses: BTreeMap::new(), broken: 0, why: None }
    }
}

struct Shared {
    server: Server,
    plan: Plan,
    pace: Option<Pace>,
    next: AtomicU64,
    start: Instant,
}

impl Shared {
    /// The next request and when it shall start; `None` once the run is over.
    fn next(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let start = self.pace.map_or(now, |pace| self.start + pace.start(number));
        let within = start.saturating_duration_since(self.start) < self.plan.time && now - self.start < self.plan.time;
        (number < self.plan.count && within).then_some((number, start))
    }
}

/// Opens the connections, then runs the plan to its end.
pub async fn run(server: &Server, plan: &Plan) -> Result<Report> {
    if !(1..=CONNECTIONS_MAX).contains(&plan.connections) {
        bail!("between 1 and {CONNECTIONS_MAX} connections");
    }
    if !(1..=COUNT_MAX).contains(&plan.count) || plan.time.is_zero() || plan.time > Duration::from_secs(SECONDS_MAX) {
        bail!("between 1 and {COUNT_MAX} requests and up to {SECONDS_MAX} seconds");
    }
    let pace = plan.rate.map(Pace::of).transpose()?;
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        let connection = Connection::open(server, plan.h2).await;
        connections.push(connection.with_context(|| format!("with {} connections open", connections.len()))?);
    }
    let shared = Arc::new(Shared {
        server: server.clone(),
        plan: plan.clone(),
        pace,
        next: AtomicU64::new(0),
        start: Instant::now(),
    });
    let workers: Vec<_> =
        connections.into_iter().map(|connection| tokio::spawn(worker(shared.clone(), connection))).collect();
    let mut all = Seen::new();
    for worker in workers {
        let seen = worker.await.context("a worker ended abnormally")?;
        all.latencies.add(seen.latencies).context("histograms of one shape add up")?;
        all.bytes += seen.bytes;
        all.broken += seen.broken;
        all.why = all.why.or(seen.why);
        for (status, count) in seen.statuses {
            *all.statuses.entry(status).or_default() += count;
        }
    }
    let elapsed = shared.start.elapsed();
    Ok(Report::of(plan, &all.latencies, all.statuses, all.broken, all.why, all.bytes, elapsed))
}

async fn worker(shared: Arc<Shared>, mut connection: Connection) -> Seen {
    let mut seen = Seen::new();
    let mut broken = 0;
    while let Some((number, start)) = shared.next() {
        tokio::time::sleep_until(start.into()).await;
        let (method, path, body) = shared.plan.work.request(number);
        // In a closed loop the making of the request is not the server's time.
        let start = if shared.pace.is_some() { start } else { Instant::now() };
        match connection.send(method, &path, body).await {
            Ok(answer) => {
                broken = 0;
                let code = answer.status.as_u16();
                *seen.statuses.entry(code).or_default() += 1;
                if answer.status.is_success() {
                    let taken = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                    seen.latencies.saturating_record(taken.max(1));
                    seen.bytes += answer.body.len() as u64;
                } else if seen.why.is_none() {
                    let text = String::from_utf8_lossy(&answer.body);
                    seen.why = Some(format!("{code}: {}", text.chars().take(300).collect::<String>()));
                }
            }
            Err(error) => {
                seen.broken += 1;
                broken += 1;
                seen.why.get_or_insert_with(|| format!("{error:#}"));
                if broken >= BROKEN_MAX {
                    break;
                }
                match Connection::open(&shared.server, shared.plan.h2).await {
                    Ok(fresh) => connection = fresh,
                    Err(_) => break,
                }
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_keeps_its_pace() {
        let pace = Pace::of(1000.0).unwrap();
        assert_eq!([0, 1, 2500].map(|n| pace.start(n)), [0, 1, 2500].map(Duration::from_millis));
        assert_eq!(pace.start(u64::MAX), Duration::from_nanos(u64::MAX), "no overflow");
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::of(wrong).is_err(), "{wrong}");
        }
    }
}
