//! `apiserver_flowcontrol_*`: what priority levels and flow schemas are counted by, under upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use super::demand::Demand;
use super::queues::{Refusal, Work};

type Float = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SchemaLabels {
    priority_level: String,
    flow_schema: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    priority_level: String,
}

/// Seconds. Source: the buckets of `request_wait_duration_seconds`.
const BUCKETS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

/// All families.
#[derive(Clone)]
pub struct FlowMetrics {
    dispatched: Family<SchemaLabels, Counter>,
    rejected: Family<ReasonLabels, Counter>,
    inqueue: Family<SchemaLabels, Gauge>,
    inqueue_seats: Family<SchemaLabels, Gauge>,
    executing: Family<SchemaLabels, Gauge>,
    executing_seats: Family<SchemaLabels, Gauge>,
    wait: Family<WaitLabels, Histogram>,
    execution: Family<SchemaLabels, Histogram>,
    nominal_limit: Family<LevelLabels, Gauge>,
    lower_limit: Family<LevelLabels, Gauge>,
    upper_limit: Family<LevelLabels, Gauge>,
    current_limit: Family<LevelLabels, Gauge>,
    demand_high: Family<LevelLabels, Float>,
    demand_average: Family<LevelLabels, Float>,
    demand_deviation: Family<LevelLabels, Float>,
    demand_smoothed: Family<LevelLabels, Float>,
    pub fair_fraction: Float,
}

impl FlowMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = seconds as fn() -> Histogram;
        let new = Self {
            dispatched: Family::default(),
            rejected: Family::default(),
            inqueue: Family::default(),
            inqueue_seats: Family::default(),
            executing: Family::default(),
            executing_seats: Family::default(),
            wait: Family::new_with_constructor(seconds),
            execution: Family::new_with_constructor(seconds),
            nominal_limit: Family::default(),
            lower_limit: Family::default(),
            upper_limit: Family::default(),
            current_limit: Family::default(),
            demand_high: Family::default(),
            demand_average: Family::default(),
            demand_deviation: Family::default(),
            demand_smoothed: Family::default(),
            fair_fraction: Float::default(),
        };
        let registry = registry.sub_registry_with_prefix("apiserver_flowcontrol");
        registry.register("dispatched_requests", "Requests that got a seat", new.dispatched.clone());
        registry.register("rejected_requests", "Requests that were refused, by reason", new.rejected.clone());
        registry.register("current_inqueue_requests", "Requests that wait", new.inqueue.clone());
        registry.register("current_inqueue_seats", "Seats that are waited for", new.inqueue_seats.clone());
        registry.register("current_executing_requests", "Requests in work", new.executing.clone());
        registry.register("current_executing_seats", "Seats in use", new.executing_seats.clone());
        registry.register("request_wait_duration_seconds", "Time spent waiting for a seat", new.wait.clone());
        registry.register("request_execution_seconds", "Time between seat and answer", new.execution.clone());
        registry.register("nominal_limit_seats", "Seats by the configured shares", new.nominal_limit.clone());
        registry.register("lower_limit_seats", "Seats that are not lent", new.lower_limit.clone());
        registry.register("upper_limit_seats", "Seats with all that may be borrowed", new.upper_limit.clone());
        registry.register(
            "current_limit_seats",
            "Seats now, lent and borrowed ones counted",
            new.current_limit.clone(),
        );
        registry.register("demand_seats_high_watermark", "Most seats wanted at once", new.demand_high.clone());
        registry.register("demand_seats_average", "Seats wanted, average", new.demand_average.clone());
        registry.register("demand_seats_stdev", "Seats wanted, standard deviation", new.demand_deviation.clone());
        registry.register("demand_seats_smoothed", "Seats taken to be wanted", new.demand_smoothed.clone());
        registry.register("seat_fair_frac", "Fraction of what is wanted that levels get", new.fair_fraction.clone());
        new
    }

    /// The counts of a flow schema.
    pub fn schema(&self, priority_level: &str, flow_schema: &str) -> Counts {
        let labels = SchemaLabels { priority_level: priority_level.into(), flow_schema: flow_schema.into() };
        let wait = |execute| {
            let SchemaLabels { priority_level, flow_schema } = labels.clone();
            self.wait.get_or_create(&WaitLabels { priority_level, flow_schema, execute }).clone()
        };
        Counts {
            dispatched: self.dispatched.get_or_create(&labels).clone(),
            inqueue: self.inqueue.get_or_create(&labels).clone(),
            inqueue_seats: self.inqueue_seats.get_or_create(&labels).clone(),
            executing: self.executing.get_or_create(&labels).clone(),
            executing_seats: self.executing_seats.get_or_create(&labels).clone(),
            waited: wait("true"),
            waited_in_vain: wait("false"),
            execution: self.execution.get_or_create(&labels).clone(),
            rejected: self.rejected.clone(),
            labels,
        }
    }

    /// The counts of a priority level.
    pub fn level(&self, priority_level: &str) -> LevelCounts {
        let labels = LevelLabels { priority_level: priority_level.into() };
        LevelCounts {
            nominal_limit: self.nominal_limit.get_or_create(&labels).clone(),
            lower_limit: self.lower_limit.get_or_create(&labels).clone(),
            upper_limit: self.upper_limit.get_or_create(&labels).clone(),
            current_limit: self.current_limit.get_or_create(&labels).clone(),
            demand_high: self.demand_high.get_or_create(&labels).clone(),
            demand_average: self.demand_average.get_or_create(&labels).clone(),
            demand_deviation: self.demand_deviation.get_or_create(&labels).clone(),
            demand_smoothed: self.demand_smoothed.get_or_create(&labels).clone(),
        }
    }
}

/// What requests of one flow schema are counted by. Looked up once, when the schema is read.
pub struct Counts {
    labels: SchemaLabels,
    dispatched: Counter,
    inqueue: Gauge,
    inqueue_seats: Gauge,
    executing: Gauge,
    executing_seats: Gauge,
    waited: Histogram,
    waited_in_vain: Histogram,
    execution: Histogram,
    rejected: Family<ReasonLabels, Counter>,
}

fn seats(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Counts {
    pub fn started(&self, seats_used: usize) {
        self.dispatched.inc();
        self.executing.inc();
        self.executing_seats.inc_by(seats(seats_used));
    }

    pub fn finished(&self, seats_used: usize, took: Duration) {
        self.executing.dec();
        self.executing_seats.dec_by(seats(seats_used));
        self.execution.observe(took.as_secs_f64());
    }

    pub fn enqueued(&self, work: &Work, entered: bool) {
        let sign = if entered { 1 } else { -1 };
        self.inqueue.inc_by(sign);
        self.inqueue_seats.inc_by(sign * seats(work.seats_max()));
    }

    pub fn waited(&self, time: Duration, executed: bool) {
        let histogram = if executed { &self.waited } else { &self.waited_in_vain };
        histogram.observe(time.as_secs_f64());
    }

    pub fn rejected(&self, why: Refusal) {
        let SchemaLabels { priority_level, flow_schema } = self.labels.clone();
        self.rejected.get_or_create(&ReasonLabels { priority_level, flow_schema, reason: why.word() }).inc();
    }
}

/// What one priority level is counted by.
pub struct LevelCounts {
    pub nominal_limit: Gauge,
    pub lower_limit: Gauge,
    pub upper_limit: Gauge,
    pub current_limit: Gauge,
    demand_high: Float,
    demand_average: Float,
    demand_deviation: Float,
    demand_smoothed: Float,
}

impl LevelCounts {
    pub fn demand(&self, demand: Demand, smoothed: f64) {
        self.demand_high.set(demand.high);
        self.demand_average.set(demand.average);
        self.demand_deviation.set(demand.deviation);
        self.demand_smoothed.set(smoothed);
    }
}
