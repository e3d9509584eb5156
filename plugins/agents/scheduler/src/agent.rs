//! The scheduler as a worker: watches, decides, has it carried out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sdk_api::{Clock, Status};
use sdk_client::Subject;
use sdk_controller::{Inbox, Informers};
use sdk_plugin::{Agent, Context};
use tokio::task::JoinSet;
use tracing::info;

use crate::act::Hands;
use crate::core::{Core, Decision};
use crate::plan::Planner;
use crate::plugins;
use crate::pod::Pod;

/// Changes taken in between two looks at the queue.
const CHANGES_BATCH: usize = 512;

/// Cycles between two looks at what happened meanwhile.
const CYCLES_BATCH: usize = 64;

/// How the scheduler works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pods it is for: those with this `spec.schedulerName`. Events name it as their source.
    pub scheduler_name: String,
    /// Decides among equally good nodes; a run with the same seed and the same changes decides alike.
    pub seed: u64,
    /// Bindings and status writes under way at once, 1 to 4096, default 256. The store commits what comes together
    /// together. While that many are under way no further pod is decided on.
    pub writes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { scheduler_name: "default-scheduler".into(), seed: 0, writes_max: 256 }
    }
}

/// Gives every pod a node.
pub struct Scheduler {
    settings: Settings,
}

impl Scheduler {
    /// Does nothing until it is run.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

/// How a write ended.
enum Done {
    Bound(Pod, Result<(), Status>),
    Told(Pod, Result<(), Status>),
}

#[async_trait]
impl Agent for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:kube-scheduler", &["system:authenticated"])
    }

    fn is_single(&self) -> bool {
        true
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        let Context { client, clock, stop, .. } = context;
        let settings = &self.settings;
        let planner = Planner::new(plugins::filters(), plugins::scores(), settings.seed);
        let mut core = Core::new(&settings.scheduler_name, planner, settings.seed);
        let informers = Informers::new(client.clone(), clock.clone());
        let inbox = Arc::new(Inbox::default());
        let watched = core.watched().all().map(|resource| informers.open(resource));
        // Deciding before everything is known would put pods where there is no room.
        if stop.run_until_cancelled(informers.synced()).await.is_none() {
            return Ok(());
        }
        for informer in &watched {
            inbox.subscribe(informer);
        }
        let hands = Hands::new(client, clock.clone(), &settings.scheduler_name);
        let work = work(&mut core, &inbox, &hands, clock, settings.writes_max.clamp(1, 4096));
        stop.run_until_cancelled(work).await;
        info!("The scheduler stopped.");
        Ok(())
    }
}

/// The loop. Dropping it ends the writes under way; what they did is seen at the next start.
async fn work(core: &mut Core, inbox: &Inbox, hands: &Hands, clock: Arc<dyn Clock>, writes_max: usize) {
    let mut writes: JoinSet<Done> = JoinSet::new();
    loop {
        let mut busy = false;
        while let Some(done) = writes.try_join_next() {
            settle(core, done, clock.monotonic());
        }
        for (key, object) in inbox.take(CHANGES_BATCH) {
            busy = true;
            core.apply(&key, object.as_deref(), clock.monotonic());
        }
        for _ in 0..CYCLES_BATCH {
            if writes.len() >= writes_max {
                break;
            }
            let Some(decision) = core.decide(clock.monotonic()) else { break };
            busy = true;
            let hands = hands.clone();
            match decision {
                Decision::Bind { pod, node } => writes.spawn(async move {
                    let result = hands.bind(&pod, &node).await;
                    Done::Bound(pod, result)
                }),
                Decision::Pend { pod, message, room } => writes.spawn(async move {
                    let result = hands.pend(&pod, &message, room.as_ref()).await;
                    Done::Told(pod, result)
                }),
            };
        }
        if busy && writes.len() < writes_max {
            // Others get a turn, and what they did is taken in before the next cycles.
            tokio::task::yield_now().await;
            continue;
        }
        let wake = core.next_wake().map(|at| at.saturating_sub(clock.monotonic()));
        tokio::select! {
            () = inbox.arrival() => {}
            Some(done) = writes.join_next() => settle(core, done, clock.monotonic()),
            () = sleep(&*clock, wake) => {}
        }
    }
}

fn settle(core: &mut Core, done: Result<Done, tokio::task::JoinError>, now: Duration) {
    match done {
        Ok(Done::Bound(pod, result)) => core.bound(&pod, &result, now),
        Ok(Done::Told(_, Ok(()))) => {}
        Ok(Done::Told(pod, Err(_))) => core.no_room(&pod, now),
        Err(error) => tracing::error!(%error, "A write of the scheduler ended abnormally."),
    }
}

async fn sleep(clock: &dyn Clock, duration: Option<Duration>) {
    match duration {
        Some(duration) => clock.sleep(duration).await,
        None => std::future::pending().await,
    }
}
