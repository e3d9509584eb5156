//! Runs controllers: changes become keys, keys become plans, plans become writes.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use sdk_api::{Clock, GroupResource, Key, Object};
use sdk_client::{Client, Clients, Subject};
use sdk_plugin::{Cache, DynController, Failure, Plan, View, Watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span};

use crate::act::{Acted, Actor, Barrier, End, report};
use crate::cache::InformerCache;
use crate::catalogue::Catalogue;
use crate::informer::{Handler, Informer, Informers};
use crate::queue::WorkQueue;
use crate::recorder::EventRecorder;

/// Keys of one controller that are planned at the same time.
const WORKERS: usize = 8;

/// What controllers run on.
#[derive(Clone)]
pub struct Harness {
    /// Gives each controller the client of its own identity.
    pub clients: Arc<dyn Clients>,
    /// Shared by all controllers, and by whoever else in the process wants to read.
    pub informers: Informers,
    pub clock: Arc<dyn Clock>,
    pub catalogue: Arc<dyn Catalogue>,
}

/// Who a controller is: `{name}-controller`, or the name itself where upstream's says what it is.
pub fn identity(name: &str) -> String {
    let is_whole = ["-controller", "-collector", "-publisher"].iter().any(|end| name.ends_with(end));
    if is_whole { name.to_owned() } else { format!("{name}-controller") }
}

/// Runs controllers until `stop`, on informers of their own. See [`Harness::run`].
pub async fn run_controllers(
    controllers: Vec<Arc<dyn DynController>>,
    clients: Arc<dyn Clients>,
    informer_client: Client,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    catalogue: Arc<dyn Catalogue>,
) {
    let informers = Informers::new(informer_client, clock.clone());
    Harness { clients, informers: informers.clone(), clock, catalogue }.run(controllers, stop).await;
    informers.stop();
}

/// One controller at work.
struct Runner {
    controller: Arc<dyn DynController>,
    client: Client,
    recorder: EventRecorder,
    queue: WorkQueue,
    cache: InformerCache,
    informers: Informers,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// How the last plan of a key failed. As many as keys wait for a retry.
    failed: Mutex<HashMap<Key, Failure>>,
}

impl Harness {
    /// Runs controllers until `stop`; then each finishes the plan it is at, and its events are written.
    ///
    /// A controller starts once the caches of all collections it names are filled; with `Watch::everything` that is every
    /// collection served at the start. Kinds that appear later join as their caches fill.
    pub async fn run(self, controllers: Vec<Arc<dyn DynController>>, stop: CancellationToken) {
        let mut running = JoinSet::new();
        for controller in controllers {
            let (harness, stop) = (self.clone(), stop.clone());
            let span = info_span!("controller", name = controller.name());
            running.spawn(async move { harness.run_one(controller, stop).await }.instrument(span));
        }
        while let Some(ended) = running.join_next().await {
            if let Err(problem) = ended {
                error!(error = %problem, "A controller ended with a panic.");
            }
        }
    }

    async fn run_one(self, controller: Arc<dyn DynController>, stop: CancellationToken) {
        let name = identity(controller.name());
        let client = self.clients.client(&Subject::service_account("kube-system", &name));
        let runner = Arc::new(Runner {
            recorder: EventRecorder::new(client.clone(), &name, "", self.clock.clone()),
            queue: WorkQueue::new(self.clock.clone()),
            cache: InformerCache::new(self.informers.clone(), self.catalogue.clone()),
            informers: self.informers.clone(),
            clock: self.clock.clone(),
            stop: stop.clone(),
            failed: Mutex::default(),
            controller,
            client,
        });
        let watches = runner.controller.watches();
        let (everything, named): (Vec<_>, Vec<_>) = watches.into_iter().partition(|watch| watch.resource.is_none());
        let filled = async {
            if !everything.is_empty() {
                let all: Vec<_> = self.catalogue.resources().iter().map(|of| self.informers.open(of)).collect();
                join_all(all.iter().map(|informer| informer.synced())).await;
            }
            runner.subscribe(named).await;
        };
        if stop.run_until_cancelled(filled).await.is_none() {
            return;
        }
        info!("The controller starts.");
        let mut tasks = JoinSet::new();
        for _ in 0..WORKERS {
            let runner = runner.clone();
            tasks.spawn(async move { runner.work().await }.in_current_span());
        }
        let timers = runner.clone();
        tasks.spawn(async move { timers.queue.run_timers().await });
        if !everything.is_empty() {
            let (follower, catalogue) = (runner.clone(), self.catalogue.clone());
            tasks.spawn(async move {
                let stop = follower.stop.clone();
                stop.run_until_cancelled(follower.follow_everything(everything, catalogue)).await;
            });
        }
        stop.cancelled().await;
        runner.queue.close();
        while tasks.join_next().await.is_some() {}
        runner.recorder.flush().await;
        debug!("The controller has stopped.");
    }
}

impl Runner {
    /// Opens the collections that the controller names, waits until they are filled, and listens.
    async fn subscribe(self: &Arc<Self>, named: Vec<Watch>) {
        let own = self.controller.resource();
        let mut opened: Vec<(Arc<Informer>, Option<Watch>)> = Vec::new();
        opened.extend(own.map(|resource| (self.informers.open(&resource), None)));
        for watch in named {
            let resource = watch.resource.clone().expect("the caller kept those that name none");
            opened.push((self.informers.open(&resource), Some(watch)));
        }
        join_all(opened.iter().map(|(informer, _)| informer.synced())).await;
        for (informer, watch) in opened {
            informer.subscribe(self.handler(watch));
        }
    }

    /// Adds the keys that a change concerns. Without a watch: the object's own.
    fn handler(self: &Arc<Self>, watch: Option<Watch>) -> Handler {
        let runner = Arc::downgrade(self);
        Arc::new(move |old, new| {
            let Some(runner) = runner.upgrade() else { return };
            for object in [old, new].into_iter().flatten() {
                match &watch {
                    None => runner.queue.add(object.key().clone()),
                    Some(watch) => runner.add_keys(watch, object),
                }
            }
        })
    }

    fn add_keys(&self, watch: &Watch, object: &Arc<Object>) {
        let view = View { now: self.clock.now(), cache: &self.cache };
        match catch_unwind(AssertUnwindSafe(|| (watch.keys)(&view, object))) {
            Ok(keys) => keys.into_iter().for_each(|key| self.queue.add(key)),
            Err(_) => error!(key = %object.key(), controller = self.controller.name(), "Finding the keys panicked."),
        }
    }

    /// Listens to every collection there is, and to those that come.
    async fn follow_everything(self: &Arc<Self>, watches: Vec<Watch>, catalogue: Arc<dyn Catalogue>) {
        let mut known: HashMap<GroupResource, Arc<Informer>> = HashMap::new();
        let mut joining = JoinSet::new();
        loop {
            let changed = catalogue.changed();
            let served: HashSet<_> = catalogue.resources().into_iter().collect();
            for (_, informer) in known.extract_if(|resource, _| !served.contains(resource)) {
                self.informers.close(&informer);
            }
            for resource in served {
                // Another one than before where the kind went and came while nobody looked.
                let informer = self.informers.open(&resource);
                if known.get(&resource).is_some_and(|known| Arc::ptr_eq(known, &informer)) {
                    continue;
                }
                known.insert(resource, informer.clone());
                let handlers: Vec<_> = watches.iter().map(|watch| self.handler(Some(watch.clone()))).collect();
                joining.spawn(async move {
                    informer.synced().await;
                    for handler in handlers {
                        informer.subscribe(handler);
                    }
                });
            }
            changed.await;
            while joining.try_join_next().is_some() {}
        }
    }

    async fn work(self: &Arc<Self>) {
        while let Some(key) = self.queue.next().await {
            let span = info_span!("plan", controller = self.controller.name(), %key);
            let barriers = self.process(&key).instrument(span).await;
            let waits = self.pending(barriers);
            if waits.is_empty() {
                self.queue.done(&key);
                continue;
            }
            // The key stays as being processed until its writes are seen; the worker goes on.
            let runner = self.clone();
            tokio::spawn(async move {
                let stop = runner.stop.clone();
                stop.run_until_cancelled(async { runner.seen(waits).await }).await;
                runner.queue.done(&key);
            });
        }
    }

    /// Plans a key and sends the writes. Returns what must be seen before it is planned again.
    async fn process(&self, key: &Key) -> Vec<Barrier> {
        let Some(mut plan) = self.plan(key) else {
            self.queue.retry(key.clone());
            return Vec::new();
        };
        let (again_in, retry) = (plan.again_in, plan.retry.take());
        let Acted { end, barriers } = self.act(plan).await;
        self.remember(key, &end);
        match (&end, retry) {
            (End::Done, None) => {
                self.queue.forget(key);
                self.queue.schedule(key.clone(), again_in);
            }
            (End::Done, Some(why)) => {
                let pause = self.queue.retry(key.clone());
                debug!(why, ?pause, "Planning again later.");
            }
            (_, _) => {
                report(&end, self.queue.failures(key));
                self.queue.retry(key.clone());
            }
        }
        barriers
    }

    fn remember(&self, key: &Key, end: &End) {
        let mut failed = self.failed.lock().expect("no panic under this lock");
        match end {
            End::Done => drop(failed.remove(key)),
            End::Stale(_) => {}
            End::Failed(failure) => drop(failed.insert(key.clone(), failure.clone())),
        }
    }

    /// `None` if the plan panicked.
    fn plan(&self, key: &Key) -> Option<Plan> {
        let failure = self.failed.lock().expect("no panic under this lock").get(key).cloned();
        let cache = self.cache.after(failure);
        let view = View { now: self.clock.now(), cache: &cache };
        let object = self.cache.get(key);
        let plan = catch_unwind(AssertUnwindSafe(|| self.controller.plan(&view, key, object.as_ref())));
        plan.inspect_err(|_| error!(%key, controller = self.controller.name(), "Planning panicked.")).ok()
    }

    async fn act(&self, plan: Plan) -> Acted {
        if plan.writes.is_empty() {
            return Acted { end: End::Done, barriers: Vec::new() };
        }
        debug!(writes = plan.writes.len(), "Acting.");
        let uid_of = |key: &Key| self.cache.get(key).map(|object| object.uid().to_owned());
        let actor = Actor { client: &self.client, recorder: &self.recorder, uid_of: &uid_of, barriers: Vec::new() };
        actor.act(plan).await
    }

    /// The barriers of collections that somebody watches; what nobody watches no plan reads.
    fn pending(&self, barriers: Vec<Barrier>) -> Vec<(Arc<Informer>, Barrier)> {
        let with_informer = barriers.into_iter().filter_map(|barrier| {
            let resource = match &barrier {
                Barrier::Passed { resource, .. } => resource,
                Barrier::LetGo { key, .. } => &key.resource,
            };
            Some((self.informers.opened(resource)?, barrier))
        });
        with_informer.collect()
    }

    async fn seen(&self, waits: Vec<(Arc<Informer>, Barrier)>) {
        for (informer, barrier) in waits {
            match barrier {
                Barrier::Passed { revision, .. } => informer.passed(revision).await,
                Barrier::LetGo { key, uid } => informer.let_go(&key, &uid).await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
