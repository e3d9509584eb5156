//! Fair queuing within one priority level: who waits where, and whose turn it is. No clock and no I/O.
//!
//! Each queue has a virtual time, in seat-seconds, at which its next request would start if all queues were served at
//! once, each as fast as the others; the queue whose oldest request would be done first is served. Source: KEP-1040.

use std::collections::VecDeque;
use std::time::Duration;

use super::demand::{Demand, Integrator};
use super::shuffle::Hand;

/// How long a request is taken to last until it is known. Source: `estimatedServiceDuration` of the API server.
const GUESS: Duration = Duration::from_millis(3);

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// While it is worked on.
    pub seats: usize,
    /// After that, for as long as its consequences last.
    pub last_seats: usize,
    pub last_time: Duration,
}

impl Work {
    pub const ONE: Self = Self { seats: 1, last_seats: 0, last_time: Duration::ZERO };

    pub fn seats_max(&self) -> usize {
        self.seats.max(self.last_seats)
    }

    fn seat_seconds(&self) -> f64 {
        self.seats_max() as f64 * GUESS.as_secs_f64() + self.last_seats as f64 * self.last_time.as_secs_f64()
    }
}

/// What happens to requests that find no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// There is no limit.
    Exempt,
    Reject,
    Queue {
        queues: usize,
        hand: usize,
        length_max: usize,
    },
}

/// Why a request is refused; the words are those of the metric `rejected_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
    Cancelled,
}

impl Refusal {
    pub fn word(self) -> &'static str {
        match self {
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A request that holds seats.
#[derive(Debug)]
pub struct Running {
    /// `None` where there are no queues.
    queue: Option<usize>,
    work: Work,
    seats: usize,
    since: Duration,
}

impl Running {
    /// How long its consequences last.
    pub fn last_time(&self) -> Option<Duration> {
        (self.work.last_seats > 0 && !self.work.last_time.is_zero()).then_some(self.work.last_time)
    }

    pub fn seats(&self) -> usize {
        self.seats
    }

    pub fn since(&self) -> Duration {
        self.since
    }
}

/// What became of a request that arrived.
#[derive(Debug)]
pub enum Arrival {
    Runs(Running),
    Waits { queue: usize, ticket: u64 },
    Refused(Refusal),
}

/// How busy a level is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub active_queues: usize,
    /// Requests.
    pub running: usize,
    pub waiting: usize,
    /// Seats.
    pub limit: usize,
}

struct Waiting<W> {
    ticket: u64,
    work: Work,
    /// The virtual time of its arrival.
    arrived: f64,
    wake: W,
}

struct Queue<W> {
    waiting: VecDeque<Waiting<W>>,
    running: usize,
    /// Of those that wait, in seat-seconds.
    work: f64,
    /// The virtual time at which its next request starts.
    next_start: f64,
}

impl<W> Queue<W> {
    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    /// Nobody starts before they have arrived, however little the queue has used.
    fn bound(&mut self) {
        if let Some(oldest) = self.waiting.front() {
            self.next_start = self.next_start.max(oldest.arrived);
        }
    }
}

/// The queues of one priority level. `W` wakes who waits.
pub struct Queues<W> {
    overflow: Overflow,
    /// In seats.
    limit: usize,
    queues: Vec<Queue<W>>,
    /// Queues with requests that wait or run.
    active: usize,
    running: usize,
    seats_running: usize,
    waiting: usize,
    seats_waiting: usize,
    /// In seat-seconds.
    virtual_time: f64,
    /// When the virtual time was brought up to date.
    now: Duration,
    tickets: u64,
    /// The queue that was served last.
    served: usize,
    demand: Integrator,
}

impl<W> Queues<W> {
    pub fn new(now: Duration, overflow: Overflow, limit: usize) -> Self {
        let mut new = Self {
            overflow,
            limit,
            queues: Vec::new(),
            active: 0,
            running: 0,
            seats_running: 0,
            waiting: 0,
            seats_waiting: 0,
            virtual_time: 0.0,
            now,
            tickets: 0,
            served: 0,
            demand: Integrator::default(),
        };
        new.demand.set(now, 0);
        new.configure(now, overflow);
        new
    }

    /// Queues that are no longer dealt empty themselves.
    pub fn configure(&mut self, now: Duration, overflow: Overflow) {
        self.pass(now);
        self.overflow = overflow;
        if let Overflow::Queue { queues, .. } = overflow {
            let new = || Queue { waiting: VecDeque::new(), running: 0, work: 0.0, next_start: 0.0 };
            let count = self.queues.len().max(queues);
            self.queues.resize_with(count, new);
        }
    }

    /// Call `next` afterwards: there may be room for those who wait.
    pub fn set_limit(&mut self, now: Duration, limit: usize) {
        self.pass(now);
        self.limit = limit;
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn load(&self) -> Load {
        Load { active_queues: self.active, running: self.running, waiting: self.waiting, limit: self.limit }
    }

    /// The demand since the last call.
    pub fn take_demand(&mut self, now: Duration) -> Demand {
        self.demand.take(now)
    }

    /// A request of a flow. If it waits, call `next`: its turn may come before that of others.
    pub fn arrive(&mut self, now: Duration, flow: u64, work: Work, wake: impl FnOnce() -> W) -> Arrival {
        self.pass(now);
        let (hand, length_max) = match self.overflow {
            Overflow::Exempt => return Arrival::Runs(self.start(None, work)),
            Overflow::Reject if self.has_room(&work) => return Arrival::Runs(self.start(None, work)),
            Overflow::Reject => return Arrival::Refused(Refusal::ConcurrencyLimit),
            Overflow::Queue { queues, hand, length_max } => (Hand::deal(flow, queues, hand), length_max),
        };
        self.tickets += 1;
        let at = self.shortest(hand.cards());
        let (starts_at_once, virtual_time) = (self.waiting == 0 && self.has_room(&work), self.virtual_time);
        let queue = &mut self.queues[at];
        if !starts_at_once && queue.waiting.len() >= length_max {
            return Arrival::Refused(Refusal::QueueFull);
        }
        if queue.is_idle() {
            self.active += 1;
            queue.next_start = virtual_time;
        }
        if starts_at_once {
            queue.next_start = queue.next_start.max(virtual_time) + work.seat_seconds();
            return Arrival::Runs(self.start(Some(at), work));
        }
        queue.work += work.seat_seconds();
        queue.waiting.push_back(Waiting { ticket: self.tickets, work, arrived: virtual_time, wake: wake() });
        queue.bound();
        self.waiting += 1;
        self.seats_waiting += work.seats_max();
        self.tell();
        Arrival::Waits { queue: at, ticket: self.tickets }
    }

    /// The next whose turn it is, if there is room. Call it until there is none.
    pub fn next(&mut self, now: Duration) -> Option<(W, Running)> {
        if self.waiting == 0 {
            return None;
        }
        self.pass(now);
        let count = self.queues.len();
        let mut best: Option<(usize, f64)> = None;
        for step in 1..=count {
            let at = (self.served + step) % count;
            let queue = &self.queues[at];
            let Some(oldest) = queue.waiting.front() else { continue };
            let done = queue.next_start + oldest.work.seat_seconds();
            if best.is_none_or(|(_, earliest)| done < earliest) {
                best = Some((at, done));
            }
        }
        let (at, _) = best?;
        // Who is next is not passed by narrower ones, or a wide request would never run.
        let work = self.queues[at].waiting.front()?.work;
        if !self.has_room(&work) {
            return None;
        }
        let waiting = self.take(at, 0)?;
        let queue = &mut self.queues[at];
        queue.next_start += work.seat_seconds();
        queue.bound();
        self.served = at;
        Some((waiting.wake, self.start(Some(at), work)))
    }

    /// A request gives up waiting. Says whether it still waited.
    pub fn leave(&mut self, now: Duration, queue: usize, ticket: u64) -> bool {
        self.pass(now);
        let Some(at) = self.queues[queue].waiting.iter().position(|waiting| waiting.ticket == ticket) else {
            return false;
        };
        self.take(queue, at);
        self.queues[queue].bound();
        if self.queues[queue].is_idle() {
            self.active -= 1;
        }
        self.tell();
        true
    }

    /// The work is done, its consequences are not: from here on they alone take seats.
    pub fn linger(&mut self, now: Duration, running: &mut Running) {
        self.pass(now);
        self.account(running);
        self.seats_running -= running.seats;
        running.seats = running.work.last_seats;
        self.seats_running += running.seats;
        self.tell();
    }

    /// A request is over.
    pub fn finish(&mut self, now: Duration, running: &mut Running) {
        self.pass(now);
        self.account(running);
        self.running -= 1;
        self.seats_running -= running.seats;
        if let Some(queue) = running.queue {
            self.queues[queue].running -= 1;
            if self.queues[queue].is_idle() {
                self.active -= 1;
            }
        }
        self.tell();
    }

    fn start(&mut self, queue: Option<usize>, work: Work) -> Running {
        self.running += 1;
        self.seats_running += work.seats_max();
        if let Some(queue) = queue {
            self.queues[queue].running += 1;
        }
        self.tell();
        Running { queue, work, seats: work.seats_max(), since: self.now }
    }

    fn take(&mut self, queue: usize, at: usize) -> Option<Waiting<W>> {
        let waiting = self.queues[queue].waiting.remove(at)?;
        let left = self.queues[queue].work - waiting.work.seat_seconds();
        self.queues[queue].work = if self.queues[queue].waiting.is_empty() { 0.0 } else { left };
        self.waiting -= 1;
        self.seats_waiting -= waiting.work.seats_max();
        Some(waiting)
    }

    /// Charges the queue for how long the work really took. Once.
    fn account(&mut self, running: &mut Running) {
        let Some(at) = running.queue.filter(|_| running.work.seats > 0) else { return };
        let took = self.now.saturating_sub(running.since).as_secs_f64();
        let queue = &mut self.queues[at];
        queue.next_start += (took - GUESS.as_secs_f64()) * running.work.seats_max() as f64;
        queue.bound();
        running.work.seats = 0;
    }

    /// What is wider than the whole level runs alone.
    fn has_room(&self, work: &Work) -> bool {
        let seats = work.seats_max();
        if seats > self.limit { self.running == 0 } else { self.seats_running + seats <= self.limit }
    }

    /// The queue of a hand with the least work waiting; the deal's order does not count.
    fn shortest(&self, hand: &[u32]) -> usize {
        let first = self.tickets as usize % hand.len();
        let cards = (0..hand.len()).map(|step| hand[(first + step) % hand.len()] as usize);
        let mut best = (hand[first] as usize, f64::MAX);
        for at in cards {
            if self.queues[at].work < best.1 {
                best = (at, self.queues[at].work);
            }
        }
        best.0
    }

    /// Virtual time passes as fast as each active queue is served.
    fn pass(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.now).as_secs_f64();
        self.now = self.now.max(now);
        if self.active > 0 {
            let seats = (self.seats_running + self.seats_waiting).min(self.limit);
            self.virtual_time += seconds * seats as f64 / self.active as f64;
        }
    }

    fn tell(&mut self) {
        self.demand.set(self.now, self.seats_running + self.seats_waiting);
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
