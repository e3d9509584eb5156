//! Watchers that do not read: they are cut off, so that what they hold comes free. Nobody else is on their connection.
//!
//! A watch keeps no queue: one that is not read stands still, and costs its place in the history and what its connection
//! has buffered. But as long as it stands it is never asked for more, so it cannot end by itself; its connection is
//! closed from outside. No timer runs while every watch is read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sdk_api::Clock;
use tokio_util::sync::CancellationToken;

/// Not waiting for the client.
const READING: u64 = u64::MAX;

/// Looks after all watches of a server.
#[derive(Clone)]
pub struct Watchdog {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    /// How long a client may leave what it was sent unread.
    patience: Duration,
    streams: Mutex<Vec<Weak<Stream>>>,
    /// Whether a look is planned.
    is_awake: AtomicBool,
}

/// One watch.
struct Stream {
    /// When it was sent something that it has not taken yet, in milliseconds of the monotonic clock.
    since: AtomicU64,
    connection: CancellationToken,
}

/// What a watch tells the watchdog; dropping it is the end of the watch.
pub struct Guard {
    watchdog: Watchdog,
    stream: Arc<Stream>,
}

impl Watchdog {
    pub fn new(clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let (streams, is_awake) = (Mutex::default(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { clock, patience, streams, is_awake }) }
    }

    /// Guards a watch; `connection` closes what it is on.
    pub fn guard(&self, connection: CancellationToken) -> Guard {
        let stream = Arc::new(Stream { since: AtomicU64::new(READING), connection });
        let mut streams = self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended go when the list would grow.
        if streams.len() == streams.capacity() {
            streams.retain(|stream| stream.strong_count() > 0);
        }
        streams.push(Arc::downgrade(&stream));
        Guard { watchdog: self.clone(), stream }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.shared.clock.monotonic().as_millis()).unwrap_or(READING - 1)
    }

    /// Looks again as long as somebody has something to read.
    fn wake(&self) {
        let is_awake = &self.shared.is_awake;
        if is_awake.load(Ordering::SeqCst) || is_awake.swap(true, Ordering::SeqCst) {
            return;
        }
        let watchdog = self.clone();
        tokio::spawn(async move {
            loop {
                watchdog.shared.clock.sleep(watchdog.shared.patience).await;
                if !watchdog.look() {
                    return;
                }
            }
        });
    }

    /// Cuts off whoever has not read for too long. Says whether to look again.
    fn look(&self) -> bool {
        let now = self.now();
        let patience = u64::try_from(self.shared.patience.as_millis()).unwrap_or(READING);
        // Before looking: who is sent something while we look plans the next look.
        self.shared.is_awake.store(false, Ordering::SeqCst);
        let mut streams = self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waits = false;
        streams.retain(|stream| {
            let Some(stream) = stream.upgrade() else { return false };
            let since = stream.since.load(Ordering::SeqCst);
            if since == READING {
                return true;
            }
            if now.saturating_sub(since) < patience {
                waits = true;
                return true;
            }
            tracing::info!("A watcher does not read; its connection is closed.");
            stream.connection.cancel();
            false
        });
        waits && !self.shared.is_awake.swap(true, Ordering::SeqCst)
    }
}

impl Guard {
    /// Something was sent.
    pub fn sent(&self) {
        self.stream.since.store(self.watchdog.now(), Ordering::SeqCst);
        self.watchdog.wake();
    }

    /// The client's side has taken it and wants more.
    pub fn taken(&self) {
        self.stream.since.store(READING, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::{ManualClock, settle};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_hurts_nobody() {
        let clock = ManualClock::new();
        let watchdog = Watchdog::new(clock.clone(), PATIENCE);
        let connections: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
        let guards: Vec<_> = connections.iter().map(|connection| watchdog.guard(connection.clone())).collect();
        let cut = || connections.iter().map(CancellationToken::is_cancelled).collect::<Vec<_>>();
        settle().await;
        assert_eq!(clock.sleepers(), 0, "nothing is sent, nobody is woken");
        guards[0].sent();
        guards[1].sent();
        guards[1].taken();
        clock.run_for(PATIENCE / 2).await;
        guards[2].sent();
        clock.run_for(PATIENCE / 2).await;
        assert_eq!(cut(), [true, false, false]);
        guards[2].taken();
        clock.run_for(PATIENCE).await;
        assert_eq!(cut(), [true, false, false], "it has read in time");
        settle().await;
        assert_eq!(clock.sleepers(), 0, "all is read, nobody is woken");
        guards[1].sent();
        drop(guards);
        clock.run_for(PATIENCE).await;
        assert_eq!(cut(), [true, false, false], "a watch that has ended is nobody's business");
    }
}
