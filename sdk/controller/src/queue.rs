//! The work queue: each key at most once, one worker at a time on a key, retries that wait longer and longer.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sdk_api::{Clock, Key};
use tokio::sync::Notify;

/// The first pause after a failure. Source: client-go's default controller rate limiter.
const BACKOFF_MIN: Duration = Duration::from_millis(5);

/// The longest pause between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(1000);

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    /// Waits in `ready`, or came while being processed.
    dirty: HashSet<Key>,
    processing: HashSet<Key>,
    failures: HashMap<Key, u32>,
    /// By deadline. A key has one at most.
    timers: BTreeSet<(Duration, Key)>,
    deadline: HashMap<Key, Duration>,
    is_closed: bool,
}

/// A queue of keys. Its size is bounded by the number of objects, since a key stands in it once.
pub struct WorkQueue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    work: Notify,
    timer: Notify,
}

impl WorkQueue {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), work: Notify::new(), timer: Notify::new() }
    }

    /// Wants a key to be processed. One that is being processed comes again afterwards.
    pub fn add(&self, key: Key) {
        let mut state = self.state();
        if self.push(&mut state, key) {
            self.work.notify_one();
        }
    }

    fn push(&self, state: &mut State, key: Key) -> bool {
        if state.is_closed || !state.dirty.insert(key.clone()) || state.processing.contains(&key) {
            return false;
        }
        state.ready.push_back(key);
        true
    }

    /// Wants a key to be processed after a time, instead of what was wished so before. `None` takes the wish back.
    pub fn schedule(&self, key: Key, after: Option<Duration>) {
        let Some(after) = after else {
            let mut state = self.state();
            if let Some(deadline) = state.deadline.remove(&key) {
                state.timers.remove(&(deadline, key));
                // Or it would sleep for nobody.
                self.timer.notify_one();
            }
            return;
        };
        if after.is_zero() {
            return self.add(key);
        }
        let deadline = self.clock.monotonic().saturating_add(after);
        let mut state = self.state();
        if let Some(before) = state.deadline.insert(key.clone(), deadline) {
            state.timers.remove(&(before, key.clone()));
        }
        state.timers.insert((deadline, key));
        self.timer.notify_one();
    }

    /// Wants a key that failed to be processed after a pause that doubles with each failure. Returns the pause.
    pub fn retry(&self, key: Key) -> Duration {
        let pause = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_default();
            let pause = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
            *failures = (*failures + 1).min(31);
            pause
        };
        self.schedule(key, Some(pause));
        pause
    }

    /// The key went well: the next failure is its first again.
    pub fn forget(&self, key: &Key) {
        self.state().failures.remove(key);
    }

    /// How often a key failed since it last went well.
    pub fn failures(&self, key: &Key) -> u32 {
        self.state().failures.get(key).copied().unwrap_or(0)
    }

    /// The next key, which is then being processed until [`done`](Self::done). `None` once the queue is closed.
    pub async fn next(&self) -> Option<Key> {
        loop {
            let work = self.work.notified();
            {
                let mut state = self.state();
                if state.is_closed {
                    return None;
                }
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.processing.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.work.notify_one();
                    }
                    return Some(key);
                }
            }
            work.await;
        }
    }

    /// Ends the processing of a key.
    pub fn done(&self, key: &Key) {
        let mut state = self.state();
        state.processing.remove(key);
        if !state.is_closed && state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            self.work.notify_one();
        }
    }

    /// Moves keys whose time has come into the queue, until it is closed. Sleeps only while some key has a time.
    pub async fn run_timers(&self) {
        loop {
            let changed = self.timer.notified();
            let next = {
                let mut state = self.state();
                if state.is_closed {
                    return;
                }
                let now = self.clock.monotonic();
                while let Some((deadline, key)) = state.timers.first().cloned().filter(|(deadline, _)| *deadline <= now)
                {
                    state.timers.remove(&(deadline, key.clone()));
                    state.deadline.remove(&key);
                    if self.push(&mut state, key) {
                        self.work.notify_one();
                    }
                }
                state.timers.first().map(|(deadline, _)| deadline.saturating_sub(now))
            };
            match next {
                None => changed.await,
                Some(left) => {
                    let sleep = self.clock.sleep(left);
                    futures::pin_mut!(changed);
                    futures::future::select(sleep, changed).await;
                }
            }
        }
    }

    /// No key comes out any more; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.ready.clear();
        state.timers.clear();
        state.deadline.clear();
        drop(state);
        self.work.notify_waiters();
        self.work.notify_one();
        self.timer.notify_waiters();
        self.timer.notify_one();
    }

    /// How many keys wait to be processed now.
    pub fn depth(&self) -> usize {
        self.state().ready.len()
    }

    /// Nothing waits, and nothing is being processed. Keys that wait for a time do not count.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.ready.is_empty() && state.processing.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::GroupResource;
    use sdk_testkit::{ManualClock, settle};

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(&GroupResource::new("", "pods"), "n", name)
    }

    fn queue() -> (Arc<ManualClock>, Arc<WorkQueue>) {
        let clock = ManualClock::new();
        let queue = Arc::new(WorkQueue::new(clock.clone()));
        let timers = queue.clone();
        tokio::spawn(async move { timers.run_timers().await });
        (clock, queue)
    }

    #[tokio::test]
    async fn a_key_stands_once_and_is_processed_by_one() {
        let (_, queue) = queue();
        for _ in 0..3 {
            queue.add(key("a"));
        }
        queue.add(key("b"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("b")));
        assert_eq!(queue.depth(), 0, "a is being processed");
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        queue.done(&key("b"));
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn failures_wait_longer_and_longer() {
        let (clock, queue) = queue();
        let pauses: Vec<_> = (0..20).map(|_| queue.retry(key("a"))).collect();
        assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
        assert_eq!(pauses[19], BACKOFF_MAX);
        queue.forget(&key("a"));
        assert_eq!(queue.retry(key("a")), BACKOFF_MIN);
        clock.run_for(BACKOFF_MIN).await;
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test]
    async fn the_newest_wish_counts() {
        let (clock, queue) = queue();
        queue.schedule(key("a"), Some(Duration::from_secs(1)));
        queue.schedule(key("b"), Some(Duration::from_secs(2)));
        queue.schedule(key("a"), Some(Duration::from_secs(3)));
        clock.run_for(Duration::from_secs(2)).await;
        assert_eq!((queue.depth(), queue.next().await), (1, Some(key("b"))));
        queue.schedule(key("a"), None);
        settle().await;
        assert_eq!(clock.sleepers(), 0);
        clock.run_for(Duration::from_secs(9)).await;
        assert_eq!((queue.depth(), clock.sleepers()), (0, 0));
    }

    #[tokio::test]
    async fn closing_sends_all_workers_home() {
        let (clock, queue) = queue();
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        queue.schedule(key("a"), Some(Duration::from_secs(1)));
        settle().await;
        queue.close();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), None);
        }
        settle().await;
        assert_eq!(clock.sleepers(), 0);
    }
}
