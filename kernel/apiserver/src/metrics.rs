//! `/metrics`: what the API server counts, under Kubernetes' names.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::info::RequestInfo;
use crate::steps::flow::FlowMetrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: String,
    group: String,
    resource: String,
}

/// Seconds; source: the buckets of `apiserver_request_duration_seconds`.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0, 5.0, 30.0];

pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<VerbLabels, Histogram>,
    inflight: Gauge,
    watches: Gauge,
    pub flow: FlowMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let duration = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let (inflight, watches) = (Gauge::default(), Gauge::default());
        registry.register("apiserver_request", "Requests by verb, resource and HTTP code", requests.clone());
        registry.register("apiserver_request_duration_seconds", "Time to the answer", duration.clone());
        registry.register("apiserver_current_inflight_requests", "Requests in work", inflight.clone());
        registry.register("apiserver_longrunning_requests", "Open watches and other streams", watches.clone());
        let flow = FlowMetrics::register(&mut registry);
        Self { registry, requests, duration, inflight, watches, flow }
    }
}

/// Counts something as long as it lives.
pub struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn begin(&self) -> Counted {
        self.inflight.inc();
        Counted(self.inflight.clone())
    }

    pub fn open_stream(&self) -> Counted {
        self.watches.inc();
        Counted(self.watches.clone())
    }

    /// Counts an answer. Resources that nothing serves are not named, so that callers cannot make up labels.
    pub fn answered(&self, info: &RequestInfo, known: bool, code: u16, took: Duration) {
        let text = |text: &str| if known { text.to_owned() } else { String::new() };
        let verb = info.verb.to_ascii_uppercase();
        let labels = RequestLabels {
            verb: verb.clone(),
            group: text(&info.group),
            version: text(&info.version),
            resource: text(&info.resource),
            subresource: text(&info.subresource),
            code,
        };
        self.requests.get_or_create(&labels).inc();
        if info.verb != "watch" {
            let labels = VerbLabels { verb, group: text(&info.group), resource: text(&info.resource) };
            self.duration.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }

    /// The text form of all metrics, those of the process included.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        let own = process_lines();
        match out.strip_suffix("# EOF\n") {
            Some(body) => format!("{body}{own}# EOF\n"),
            None => out,
        }
    }
}

/// Resident memory and CPU time of this process, where `/proc` tells.
fn process_lines() -> String {
    const PAGE_BYTES: u64 = 4096;
    const TICKS_PER_SECOND: f64 = 100.0;
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let pages: Option<u64> = read("/proc/self/statm").split(' ').nth(1).and_then(|field| field.parse().ok());
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let seconds = (ticks(11) + ticks(12)) / TICKS_PER_SECOND;
    let bytes = pages.unwrap_or(0) * PAGE_BYTES;
    format!(
        "# HELP process_resident_memory_bytes Resident memory size in bytes.\n# TYPE process_resident_memory_bytes gauge\n\
         process_resident_memory_bytes {bytes}\n# HELP process_cpu_seconds CPU time used, user and system.\n\
         # TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total {seconds}\n"
    )
}
