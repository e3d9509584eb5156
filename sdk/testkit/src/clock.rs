//! A clock that only moves when the test says so.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use sdk_api::Clock;

use crate::wait::settle;

/// 2026-01-01T00:00:00Z, where a new clock stands.
const START_SECOND: i64 = 1_767_225_600;

#[derive(Default)]
struct State {
    elapsed: Duration,
    /// How far the wall clock was set off against the monotonic one.
    skew: SignedDuration,
    /// By deadline, then by order of arrival, so that sleepers wake in one order only.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    next: u64,
}

/// A [`Clock`] for tests. It starts at 2026-01-01T00:00:00Z.
#[derive(Default)]
pub struct ManualClock {
    state: Mutex<State>,
}

impl ManualClock {
    pub fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::default()
    }

    /// Moves the time and wakes whoever is due, in the order of deadlines. The woken run when the test awaits.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.elapsed += by;
        let next = (state.elapsed + Duration::from_nanos(1), 0);
        let later = state.sleepers.split_off(&next);
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        for sender in due.into_values() {
            // A sleeper that was dropped does not hear it.
            let _ = sender.send(());
        }
    }

    /// Moves the time from deadline to deadline, and lets everybody run after each: what a stretch of real time does.
    pub async fn run_for(&self, by: Duration) {
        let end = self.monotonic() + by;
        settle().await;
        while let Some(deadline) = self.next_wake().filter(|deadline| *deadline <= end) {
            self.advance(deadline.saturating_sub(self.monotonic()));
            settle().await;
        }
        self.advance(end.saturating_sub(self.monotonic()));
        settle().await;
    }

    /// Sets the wall clock off, forward or backward, without letting time pass.
    pub fn jump(&self, by: SignedDuration) {
        let mut state = self.lock();
        state.skew += by;
    }

    /// When the next sleeper is due, in the clock's monotonic time; `None` if nobody sleeps.
    pub fn next_wake(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.sleepers.retain(|_, sender| !sender.is_canceled());
        state.sleepers.keys().next().map(|(deadline, _)| *deadline)
    }

    /// How many sleep: zero says that nothing polls.
    pub fn sleepers(&self) -> usize {
        let mut state = self.lock();
        state.sleepers.retain(|_, sender| !sender.is_canceled());
        state.sleepers.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the clock")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let state = self.lock();
        let start = Timestamp::from_second(START_SECOND).expect("the start is a valid time");
        start + SignedDuration::try_from(state.elapsed).expect("tests do not run for ages") + state.skew
    }

    fn monotonic(&self) -> Duration {
        self.lock().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return Box::pin(futures::future::ready(()));
        }
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let place = (state.elapsed.saturating_add(duration), state.next);
        state.next += 1;
        state.sleepers.insert(place, sender);
        drop(state);
        Box::pin(async move {
            // A clock that is gone never wakes anybody.
            if receiver.await.is_err() {
                futures::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_deadlines() {
        let clock = ManualClock::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for (name, seconds) in [("late", 3), ("early", 1), ("middle", 2), ("never", 99)] {
            let (sleep, order) = (clock.sleep(Duration::from_secs(seconds)), order.clone());
            tokio::spawn(async move {
                sleep.await;
                order.lock().unwrap().push(name);
            });
        }
        assert_eq!(clock.next_wake(), Some(Duration::from_secs(1)));
        clock.run_for(Duration::from_secs(3)).await;
        assert_eq!(*order.lock().unwrap(), ["early", "middle", "late"]);
        assert_eq!((clock.sleepers(), clock.monotonic()), (1, Duration::from_secs(3)));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:03Z");
    }

    #[tokio::test]
    async fn the_wall_clock_jumps_alone() {
        let clock = ManualClock::new();
        clock.jump(SignedDuration::from_secs(-10));
        assert_eq!(clock.now().to_string(), "2025-12-31T23:59:50Z");
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }
}
