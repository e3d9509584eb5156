//! What came out of a run, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::drive::Plan;

/// From a microsecond to ten minutes, with three digits.
pub fn microseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid")
}

/// The result of a run. One JSON line with `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub work: &'static str,
    /// `closed`: latency is the time from sending to the end of the answer, and a slow server is asked less often.
    /// `open`: latency counts from when the request should have started.
    pub r#loop: &'static str,
    pub http: &'static str,
    pub connections: usize,
    /// What an open loop offered, a second.
    pub offered: Option<f64>,
    pub ok: u64,
    /// Answers that were no success, by status code.
    pub refused: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub broken: u64,
    /// The first thing that went wrong.
    pub why: Option<String>,
    pub seconds: f64,
    /// Successes a second.
    pub rate: f64,
    /// Megabytes of answers a second.
    pub megabytes: f64,
    pub latency_us: Latency,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Latency {
    /// The quantiles of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { min: histogram.min(), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

impl Report {
    pub(crate) fn of(
        plan: &Plan,
        latencies: &Histogram<u64>,
        mut statuses: BTreeMap<u16, u64>,
        broken: u64,
        why: Option<String>,
        bytes: u64,
        elapsed: Duration,
    ) -> Self {
        let ok = latencies.len();
        statuses.retain(|status, _| !(200..300).contains(status));
        let seconds = elapsed.as_secs_f64();
        Self {
            work: plan.work.name(),
            r#loop: if plan.rate.is_some() { "open" } else { "closed" },
            http: if plan.h2 { "2" } else { "1.1" },
            connections: plan.connections,
            offered: plan.rate,
            ok,
            refused: statuses,
            broken,
            why,
            seconds,
            rate: ok as f64 / seconds,
            megabytes: bytes as f64 / 1e6 / seconds,
            latency_us: Latency::of(latencies),
        }
    }

    /// Whether every request was answered with success.
    pub fn is_clean(&self) -> bool {
        self.ok > 0 && self.refused.is_empty() && self.broken == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { min, p50, p90, p99, p999, max } = self.latency_us;
        let ms = |us: u64| format!("{:.3}", us as f64 / 1000.0);
        let offered = self.offered.map_or(String::new(), |rate| format!(" offered {rate}/s,"));
        writeln!(
            f,
            "{}, {} loop,{offered} HTTP/{}, {} connection(s): {} in {:.2} s, {:.0}/s, {:.1} MB/s",
            self.work, self.r#loop, self.http, self.connections, self.ok, self.seconds, self.rate, self.megabytes
        )?;
        writeln!(f, "  {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}", "min", "p50", "p90", "p99", "p99.9", "max")?;
        let row = [min, p50, p90, p99, p999, max].map(ms);
        writeln!(f, "  {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  ms", row[0], row[1], row[2], row[3], row[4], row[5])?;
        for (status, count) in &self.refused {
            writeln!(f, "  {count} answered {status}")?;
        }
        if self.broken > 0 {
            writeln!(f, "  {} without an answer", self.broken)?;
        }
        if let Some(why) = &self.why {
            writeln!(f, "  first: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_three_digits() {
        let mut histogram = microseconds();
        for us in [1, 250_000, 391_600, 10_000_000_000] {
            histogram.saturating_record(us);
        }
        let latency = Latency::of(&histogram);
        assert_eq!(latency.min, 1);
        assert!((249_000..=251_000).contains(&latency.p50), "{latency:?}");
        assert!(latency.max >= 600_000_000, "what is beyond the range counts as its end: {latency:?}");
    }
}
