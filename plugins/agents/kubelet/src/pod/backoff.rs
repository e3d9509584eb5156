//! Back-off of restarts and pulls: doubling delays that are forgotten after a quiet time.

use std::collections::HashMap;
use std::time::Duration;

use sdk_api::Timestamp;

const FIRST: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(300);
/// A container that ran this long starts anew.
const FORGET: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

/// Delays by key. Source: `k8s.io/client-go/util/flowcontrol.Backoff` with the kubelet's 10 s and 5 min.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoffs {
    entries: HashMap<String, Entry>,
}

fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

impl Backoffs {
    /// How long to wait still, and the whole delay, after something ended (or failed) at `event`; `None` may go at once.
    pub(crate) fn wait(&self, key: &str, event: Timestamp, now: Timestamp) -> Option<(Duration, Duration)> {
        let entry = self.entries.get(key)?;
        if since(event, entry.updated) > FORGET {
            return None;
        }
        let left = entry.delay.saturating_sub(since(now, event));
        (!left.is_zero()).then_some((left, entry.delay))
    }

    /// Notes another try.
    pub(crate) fn next(&mut self, key: &str, event: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(key) {
            Some(entry) if since(event, entry.updated) <= FORGET => (entry.delay * 2).min(MAX),
            _ => FIRST,
        };
        self.entries.insert(key.into(), Entry { delay, updated: now });
    }

    /// What is left of the delay since the last `next`.
    pub(crate) fn wait_since_last(&self, key: &str, now: Timestamp) -> Option<Duration> {
        let entry = self.entries.get(key)?;
        let left = entry.delay.saturating_sub(since(now, entry.updated));
        (!left.is_zero()).then_some(left)
    }

    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

/// A delay as messages show it: `10s`, `2m40s`, `5m0s`.
pub(crate) fn text(delay: Duration) -> String {
    match delay.as_secs() {
        seconds if seconds < 60 => format!("{seconds}s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn delays_double_to_five_minutes_and_are_forgotten_after_ten() {
        let mut backoffs = Backoffs::default();
        let mut now = 0;
        let mut delays = vec![];
        for _ in 0..8 {
            // It fails the moment it is started.
            let waited = backoffs.wait("c", at(now), at(now)).map_or(0, |(left, _)| left.as_secs());
            delays.push(waited);
            let failed = at(now);
            now += i64::try_from(waited).unwrap();
            assert_eq!(backoffs.wait("c", failed, at(now)), None, "after the wait");
            backoffs.next("c", failed, at(now));
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        let ended = at(now + 601);
        assert_eq!(backoffs.wait("c", ended, ended), None, "it ran for ten minutes");
        backoffs.next("c", ended, ended);
        assert_eq!(backoffs.wait("c", ended, ended), Some((FIRST, FIRST)));
        assert_eq!(
            (text(Duration::from_secs(160)), text(FIRST), text(MAX)),
            ("2m40s".into(), "10s".into(), "5m0s".into())
        );
    }
}
