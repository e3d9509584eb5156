//! A clock that tests move.

use std::time::Duration;

use futures::future::BoxFuture;
use sdk_api::{Clock, Timestamp};
use tokio::sync::watch;

/// A clock that stands still until it is moved.
pub struct ManualClock {
    passed: watch::Sender<Duration>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { passed: watch::Sender::new(Duration::ZERO) }
    }
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        self.passed.send_modify(|passed| *passed += time);
    }

    /// How many sleep on this clock.
    pub fn sleepers(&self) -> usize {
        self.passed.receiver_count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_800_000_000).expect("within range");
        start + jiff::SignedDuration::try_from(*self.passed.borrow()).expect("tests do not take aeons")
    }

    fn monotonic(&self) -> Duration {
        *self.passed.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Before it counts as a sleeper, or a test that waits for sleepers could move the clock in between.
        let end = self.monotonic() + duration;
        let mut passed = self.passed.subscribe();
        Box::pin(async move {
            if passed.wait_for(|now| *now >= end).await.is_err() {
                // The clock is gone and will never get there.
                std::future::pending::<()>().await;
            }
        })
    }
}
