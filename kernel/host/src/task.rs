//! The table of background tasks: who owns each, how it stops, and what its failure means.
//!
//! | task | owner | stage | when it fails |
//! | --- | --- | --- | --- |
//! | an agent (scheduler, kubelet, proxy, ...) | its plugin | `Agents` | starts again after a growing pause |
//! | `controllers`: all plan/act controllers | the host | `Controllers` | starts again after a growing pause |
//! | `leader`: contends for a lease, and runs the two above (agents: those that are single) while it holds it; where servers share a store | the host | `Controllers` | starts again after a growing pause |
//! | what the boot crate adds (listeners, compaction, ...) | the boot crate | as it says | as it says |
//!
//! A task stops because its token is cancelled; it then ends by itself. Stages stop in order, so that nobody loses the
//! API server before it has said its last word.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, join_all, select};
use sdk_api::Clock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

/// The pause before a task starts again for the first time; each further one doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A task that ran for this long was well: its next failure counts as the first.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// When a task stops. Those of an earlier stage have ended before the next stage is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Agents,
    Controllers,
    /// What the former talk to: the API server.
    Services,
    /// What everything stands on: the store's housekeeping.
    Kernel,
}

/// What a failure means: an error, or a panic. A task that ends well before it was stopped has simply finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It starts again after a growing pause.
    Restart,
    /// The process cannot go on: [`TaskTable::fatal`] resolves.
    Fatal,
    /// It is logged, nothing more.
    Report,
}

/// Makes the task's future, anew for each start.
pub type Run = Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A row to be added.
#[derive(Clone)]
pub struct Task {
    /// Unique in the table.
    pub name: String,
    /// The plugin or crate it belongs to.
    pub owner: String,
    pub stage: Stage,
    pub on_failure: OnFailure,
    pub run: Run,
}

/// How a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// Failed, and starts again after a pause.
    Pausing,
    /// Ended well, or as it was told.
    Ended,
    Failed,
}

/// A row as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub owner: String,
    pub stage: Stage,
    pub on_failure: OnFailure,
    pub state: State,
    pub restarts: u32,
    pub last_error: Option<String>,
}

struct Entry {
    row: Row,
    stop: CancellationToken,
    ended: Arc<Notify>,
}

/// All background tasks of the process.
#[derive(Clone)]
pub struct TaskTable {
    clock: Arc<dyn Clock>,
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    fatal: watch::Sender<Option<String>>,
}

impl TaskTable {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Arc::default(), fatal: watch::Sender::new(None) }
    }

    /// Starts a task. Must be called within a tokio runtime.
    ///
    /// # Panics
    /// Where a task of this name is in the table: names are the program's own.
    pub fn start(&self, task: Task) {
        let stop = CancellationToken::new();
        let row = Row {
            name: task.name.clone(),
            owner: task.owner.clone(),
            stage: task.stage,
            on_failure: task.on_failure,
            state: State::Running,
            restarts: 0,
            last_error: None,
        };
        let entry = Entry { row, stop: stop.clone(), ended: Arc::default() };
        let before = self.entries().insert(task.name.clone(), entry);
        assert!(before.is_none(), "two tasks are called {}", task.name);
        let span = info_span!("task", name = task.name, owner = task.owner);
        let table = self.clone();
        tokio::spawn(async move { table.supervise(task, stop).await }.instrument(span));
    }

    /// The table as it stands, in order of names.
    pub fn rows(&self) -> Vec<Row> {
        self.entries().values().map(|entry| entry.row.clone()).collect()
    }

    /// Resolves with the error of the first task whose failure is fatal.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        let error = fatal.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        match error {
            Some(error) => error,
            // The sender lives as long as the table.
            None => futures::future::pending().await,
        }
    }

    /// Stops everything, stage by stage. Returns the names of those that did not end within `deadline` altogether.
    pub async fn stop(&self, deadline: Duration) -> Vec<String> {
        let end = self.clock.monotonic() + deadline;
        let stages = [Stage::Agents, Stage::Controllers, Stage::Services, Stage::Kernel];
        for (later, stage) in (0..4).rev().zip(stages) {
            let waits: Vec<_> = {
                let entries = self.entries();
                let of_stage = entries.values().filter(|entry| entry.row.stage == stage);
                of_stage.inspect(|entry| entry.stop.cancel()).map(|entry| entry.row.name.clone()).collect()
            };
            let ended = join_all(waits.iter().map(|name| self.ended(name)));
            // However long the earlier ones take, an eighth of the time is left for each later one.
            let kept = deadline * later / 8;
            let left = end.saturating_sub(self.clock.monotonic() + kept);
            select(Box::pin(ended), self.clock.sleep(left)).await;
        }
        let late = self.rows().into_iter().filter(|row| !is_over(&row.state)).map(|row| row.name);
        late.inspect(|name| warn!(name, "A task did not stop in time.")).collect()
    }

    async fn ended(&self, name: &str) {
        loop {
            let notify = self.entries()[name].ended.clone();
            let notified = notify.notified();
            if is_over(&self.entries()[name].row.state) {
                return;
            }
            notified.await;
        }
    }

    async fn supervise(self, task: Task, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        loop {
            let started = self.clock.monotonic();
            let outcome = AssertUnwindSafe((task.run)(stop.clone())).catch_unwind().await;
            let error = match outcome {
                Ok(Ok(())) => {
                    if !stop.is_cancelled() {
                        info!("The task has finished.");
                    }
                    return self.set(&task.name, State::Ended, None);
                }
                Ok(Err(error)) => error,
                Err(panic) => format!("panicked: {}", text_of(&*panic)),
            };
            if stop.is_cancelled() {
                warn!(error, "The task failed while it stopped.");
                return self.set(&task.name, State::Ended, Some(error));
            }
            match task.on_failure {
                OnFailure::Restart => {}
                OnFailure::Fatal => {
                    error!(error, "The task failed, the process cannot go on without it.");
                    let first = format!("{}: {error}", task.name);
                    self.fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(first).is_none());
                    return self.set(&task.name, State::Failed, Some(error));
                }
                OnFailure::Report => {
                    error!(error, "The task failed.");
                    return self.set(&task.name, State::Failed, Some(error));
                }
            }
            if self.clock.monotonic().saturating_sub(started) >= WELL_AFTER {
                pause = PAUSE_MIN;
            }
            warn!(error, ?pause, "The task failed and starts again.");
            self.set(&task.name, State::Pausing, Some(error));
            let stopped = Box::pin(stop.cancelled());
            if let Either::Left(_) = select(stopped, self.clock.sleep(pause)).await {
                return self.set(&task.name, State::Ended, None);
            }
            pause = (pause * 2).min(PAUSE_MAX);
            self.set(&task.name, State::Running, None);
        }
    }

    fn set(&self, name: &str, state: State, error: Option<String>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else { return };
        if entry.row.state == State::Pausing && state == State::Running {
            entry.row.restarts += 1;
        }
        entry.row.last_error = error.or(entry.row.last_error.take());
        entry.row.state = state;
        if is_over(&entry.row.state) {
            entry.ended.notify_waiters();
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().expect("no panic under this lock, but for a program error in start()")
    }
}

fn is_over(state: &State) -> bool {
    matches!(state, State::Ended | State::Failed)
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sdk_testkit::{ManualClock, settle};

    use super::*;

    fn task(name: &str, stage: Stage, on_failure: OnFailure, run: Run) -> Task {
        Task { name: name.into(), owner: "test".into(), stage, on_failure, run }
    }

    fn failing(starts: &Arc<AtomicU32>) -> Run {
        let starts = starts.clone();
        Arc::new(move |_| {
            let number = starts.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { if number == 1 { panic!("twice") } else { Err("broken".to_owned()) } })
        })
    }

    #[tokio::test]
    async fn a_failed_task_starts_again_after_a_growing_pause() {
        let clock = ManualClock::new();
        let table = TaskTable::new(clock.clone());
        let starts = Arc::new(AtomicU32::new(0));
        table.start(task("a", Stage::Agents, OnFailure::Restart, failing(&starts)));
        settle().await;
        assert_eq!((table.rows()[0].state.clone(), starts.load(Ordering::SeqCst)), (State::Pausing, 1));
        clock.run_for(PAUSE_MIN).await;
        assert_eq!(table.rows()[0].last_error.as_deref(), Some("panicked: twice"));
        clock.run_for(PAUSE_MIN).await;
        assert_eq!(starts.load(Ordering::SeqCst), 2, "the second pause is longer");
        clock.run_for(PAUSE_MIN).await;
        assert_eq!((starts.load(Ordering::SeqCst), table.rows()[0].restarts), (3, 2));
        assert_eq!(table.stop(Duration::from_secs(1)).await, Vec::<String>::new());
        assert_eq!((table.rows()[0].state.clone(), clock.sleepers()), (State::Ended, 0));
    }

    #[tokio::test]
    async fn a_fatal_failure_is_told() {
        let table = TaskTable::new(ManualClock::new());
        let starts = Arc::new(AtomicU32::new(0));
        table.start(task("b", Stage::Services, OnFailure::Report, failing(&starts)));
        settle().await;
        assert!(table.fatal().now_or_never().is_none());
        table.start(task("c", Stage::Services, OnFailure::Fatal, failing(&Arc::new(AtomicU32::new(0)))));
        assert_eq!(table.fatal().await, "c: broken");
        assert_eq!(table.rows()[1].state, State::Failed);
    }

    #[tokio::test]
    async fn stages_stop_in_order_and_late_ones_are_named() {
        let clock = ManualClock::new();
        let table = TaskTable::new(clock.clone());
        let order = Arc::new(Mutex::new(Vec::new()));
        for (name, stage) in [("store", Stage::Kernel), ("api", Stage::Services), ("kubelet", Stage::Agents)] {
            let order = order.clone();
            let run: Run = Arc::new(move |stop| {
                let order = order.clone();
                Box::pin(async move {
                    stop.cancelled().await;
                    order.lock().unwrap().push(name);
                    if name == "api" { futures::future::pending().await } else { Ok(()) }
                })
            });
            table.start(task(name, stage, OnFailure::Restart, run));
        }
        let stopping = tokio::spawn({
            let table = table.clone();
            async move { table.stop(Duration::from_secs(5)).await }
        });
        settle().await;
        assert_eq!(*order.lock().unwrap(), ["kubelet", "api"], "the store waits for the API");
        clock.run_for(Duration::from_secs(4)).await;
        assert_eq!(order.lock().unwrap().len(), 2);
        clock.run_for(Duration::from_secs(1)).await;
        assert_eq!(stopping.await.unwrap(), ["api"]);
        assert_eq!(*order.lock().unwrap(), ["kubelet", "api", "store"]);
    }
}
