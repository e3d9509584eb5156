//! A priority level at work: its queues under a lock that is held for moments, and the seats it gives out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdk_api::Clock;
use tokio::sync::oneshot;

use super::demand::Claim;
use super::metrics::{Counts, LevelCounts};
use super::queues::{Arrival, Load, Overflow, Queues, Refusal, Running, Work};

/// What a level gets of the server's seats, and what it was found to want.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    pub nominal: f64,
    pub lower: f64,
    pub upper: f64,
    pub smoothed: f64,
}

/// One priority level.
pub struct Level {
    pub name: String,
    pub counts: LevelCounts,
    pub share: Mutex<Share>,
    pub is_exempt: AtomicBool,
    queues: Mutex<Queues<oneshot::Sender<Seat>>>,
    clock: Arc<dyn Clock>,
}

impl Level {
    pub fn new(name: &str, counts: LevelCounts, clock: Arc<dyn Clock>) -> Self {
        let queues = Queues::new(clock.monotonic(), Overflow::Reject, 0);
        Self {
            name: name.into(),
            counts,
            share: Mutex::default(),
            is_exempt: AtomicBool::new(false),
            queues: Mutex::new(queues),
            clock,
        }
    }

    fn queues(&self) -> MutexGuard<'_, Queues<oneshot::Sender<Seat>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share as it stands.
    pub fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn configure(self: &Arc<Self>, overflow: Overflow) {
        self.is_exempt.store(overflow == Overflow::Exempt, Ordering::Relaxed);
        self.queues().configure(self.clock.monotonic(), overflow);
    }

    pub fn is_exempt(&self) -> bool {
        self.is_exempt.load(Ordering::Relaxed)
    }

    /// Sets how many seats it has now; whoever waits may find one.
    pub fn set_limit(self: &Arc<Self>, seats: usize) {
        self.counts.current_limit.set(i64::try_from(seats).unwrap_or(i64::MAX));
        self.queues().set_limit(self.clock.monotonic(), seats);
        self.serve();
    }

    pub fn limit(&self) -> usize {
        self.queues().limit()
    }

    pub fn load(&self) -> Load {
        self.queues().load()
    }

    /// What it claims, from what was wanted since the last call.
    pub fn claim(&self) -> Claim {
        let demand = self.queues().take_demand(self.clock.monotonic());
        let mut share = self.share();
        share.smoothed = demand.smoothed(share.smoothed);
        let lower = if self.is_exempt() {
            share.lower.max(demand.high)
        } else {
            share.lower.max(share.nominal.min(demand.high))
        };
        self.counts.demand(demand, share.smoothed);
        Claim { lower, upper: share.upper, target: share.smoothed.max(lower) }
    }

    /// A seat for a request of a flow, at once or after a wait of at most `wait_max`. `adjust` is called now and then
    /// while it waits, and says when to call it again.
    pub async fn seat(
        self: &Arc<Self>,
        flow: u64,
        work: Work,
        counts: &Arc<Counts>,
        wait_max: Duration,
        adjust: impl Fn() -> Duration,
    ) -> Result<Seat, Refusal> {
        let start = self.clock.monotonic();
        let mut receiver = None;
        let arrival = self.queues().arrive(start, flow, work, || {
            let (sender, waits) = oneshot::channel();
            receiver = Some(waits);
            sender
        });
        let (queue, ticket) = match arrival {
            Arrival::Runs(running) => {
                counts.waited(Duration::ZERO, true);
                return Ok(Seat::new(self, running, counts));
            }
            Arrival::Refused(why) => {
                counts.rejected(why);
                return Err(why);
            }
            Arrival::Waits { queue, ticket } => (queue, ticket),
        };
        let mut waiting = Place { level: self, counts, queue, ticket, start, work, gave_up: Some(Refusal::Cancelled) };
        counts.enqueued(&work, true);
        self.serve();
        let mut receiver = receiver.expect("who waits was asked for a waker");
        loop {
            let left = wait_max.saturating_sub(self.clock.monotonic().saturating_sub(start));
            if left.is_zero() {
                waiting.gave_up = Some(Refusal::TimeOut);
                return Err(Refusal::TimeOut);
            }
            tokio::select! {
                biased;
                seat = &mut receiver => {
                    waiting.gave_up = None;
                    return seat.map(|seat| seat.counted_as(counts)).map_err(|_| Refusal::Cancelled);
                }
                () = self.clock.sleep(left.min(adjust())) => {}
            }
        }
    }

    /// Gives free seats to those whose turn it is.
    fn serve(self: &Arc<Self>) {
        loop {
            let next = self.queues().next(self.clock.monotonic());
            let Some((wake, running)) = next else { return };
            // Who went away meanwhile gives the seat back by dropping it, outside of the lock.
            let _ = wake.send(Seat { level: self.clone(), running: Some(running), counts: None });
        }
    }
}

/// A place in a queue; leaving it is dropping it.
struct Place<'a> {
    level: &'a Arc<Level>,
    counts: &'a Arc<Counts>,
    queue: usize,
    ticket: u64,
    start: Duration,
    work: Work,
    gave_up: Option<Refusal>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.level.clock.monotonic();
        self.counts.enqueued(&self.work, false);
        self.counts.waited(now.saturating_sub(self.start), self.gave_up.is_none());
        if let Some(why) = self.gave_up {
            self.level.queues().leave(now, self.queue, self.ticket);
            self.counts.rejected(why);
            // Who leaves the front of a queue may have been too wide for the free seats.
            self.level.serve();
        }
    }
}

/// Held while a request is worked on; dropping it gives it to the next.
pub struct Seat {
    level: Arc<Level>,
    running: Option<Running>,
    /// `None` until the request that waited has taken it.
    counts: Option<Arc<Counts>>,
}

impl Seat {
    fn new(level: &Arc<Level>, running: Running, counts: &Arc<Counts>) -> Self {
        Self { level: level.clone(), running: Some(running), counts: None }.counted_as(counts)
    }

    fn counted_as(mut self, counts: &Arc<Counts>) -> Self {
        counts.started(self.running.as_ref().map_or(0, Running::seats));
        self.counts = Some(counts.clone());
        self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let now = self.level.clock.monotonic();
        if let Some(counts) = &self.counts {
            counts.finished(running.seats(), now.saturating_sub(running.since()));
        }
        let level = self.level.clone();
        let lasts = running.last_time().filter(|_| self.counts.is_some() && !level.is_exempt());
        if let (Some(time), Ok(runtime)) = (lasts, tokio::runtime::Handle::try_current()) {
            level.queues().linger(now, &mut running);
            level.serve();
            runtime.spawn(async move {
                level.clock.sleep(time).await;
                level.queues().finish(level.clock.monotonic(), &mut running);
                level.serve();
            });
            return;
        }
        level.queues().finish(now, &mut running);
        level.serve();
    }
}
