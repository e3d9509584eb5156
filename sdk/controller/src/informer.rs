//! Shared informers: one list and one watch for each collection, however many ask.
//!
//! An informer resumes where its watch ended. Where that is no longer kept (410) it lists again and tells the
//! difference, so that no change is missed. It sleeps only between failures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use futures::StreamExt;
use sdk_api::{Clock, GroupResource, Key, Object, Status};
use sdk_client::{Client, ListOptions, WatchEvent, WatchOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::store::Store;

/// The first pause after a failed list or watch; each further one doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Pauses from here on are worth a warning: before, whoever serves may just be starting or stopping.
const PAUSE_WARN: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Hears of every change with the state before and after: `None` before an object exists and after it is gone.
///
/// Called one at a time for each collection, in order. It must return soon and may not subscribe to the same informer.
pub type Handler = Arc<dyn Fn(Option<&Arc<Object>>, Option<&Arc<Object>>) + Send + Sync>;

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    is_synced: bool,
    revision: u64,
}

/// One collection, kept up to date.
pub struct Informer {
    resource: GroupResource,
    store: RwLock<Store>,
    handlers: RwLock<Vec<Handler>>,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
}

impl Informer {
    pub fn resource(&self) -> &GroupResource {
        &self.resource
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.read().get(namespace, name).cloned()
    }

    /// In the byte order of `namespace/name`; `namespace` empty is all.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.read().list(namespace)
    }

    /// Objects that name `uid` as an owner.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        self.read().owned_by(uid)
    }

    /// Objects of a namespace that nobody controls. The first call makes an index.
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<Object>> {
        if let Some(orphans) = self.read().orphans(namespace) {
            return orphans;
        }
        let mut store = self.store.write().expect("the store does not panic");
        store.index_orphans();
        store.orphans(namespace).unwrap_or_default()
    }

    /// Whether the first list has arrived.
    pub fn is_synced(&self) -> bool {
        self.progress.borrow().is_synced
    }

    /// Resolves once the first list has arrived. As every wait here it ends too when the informer is stopped.
    pub async fn synced(&self) {
        self.wait(|progress| progress.is_synced).await;
    }

    /// The cache contains everything that happened in its collection up to this revision.
    pub fn revision(&self) -> u64 {
        self.progress.borrow().revision
    }

    /// Resolves once the cache contains what happened in its collection up to `revision`.
    pub async fn passed(&self, revision: u64) {
        self.wait(|progress| progress.revision >= revision).await;
    }

    /// Resolves once the object of this uid is no longer here, or is being deleted.
    pub async fn let_go(&self, key: &Key, uid: &str) {
        self.wait(|_| {
            let store = self.read();
            let object = store.get(&key.namespace, &key.name).filter(|object| object.uid() == uid);
            object.is_none_or(|object| object.meta().is_deleting())
        })
        .await;
    }

    /// Adds a handler: it hears of the present state first, as additions, and then of every change.
    pub fn subscribe(&self, handler: Handler) {
        // Changes are told under the same lock, so none falls between the present state and the list of handlers.
        let mut handlers = self.handlers.write().expect("handlers do not panic");
        let present = self.list("");
        for object in &present {
            handler(None, Some(object));
        }
        handlers.push(handler);
    }

    async fn wait(&self, done: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        // Once stopped nothing comes any more: whoever waits goes on with what is there.
        let _ = self.stop.run_until_cancelled(progress.wait_for(|progress| done(progress))).await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Store> {
        self.store.read().expect("the store does not panic")
    }

    /// Takes in one state (or, with `None`, the absence of one) and tells the handlers.
    fn apply(&self, key: &Key, new: Option<Arc<Object>>, last: Option<Arc<Object>>) {
        let handlers = self.handlers.read().expect("handlers do not panic");
        let old = {
            let mut store = self.store.write().expect("the store does not panic");
            match &new {
                Some(new) => {
                    if store.get(&key.namespace, &key.name).is_some_and(|have| have.revision() >= new.revision()) {
                        return;
                    }
                    store.put(new.clone())
                }
                None => match store.remove(key) {
                    None => return,
                    known => last.or(known),
                },
            }
        };
        for handler in handlers.iter() {
            handler(old.as_ref(), new.as_ref());
        }
    }

    fn advance(&self, revision: u64) {
        self.progress.send_modify(|progress| progress.revision = progress.revision.max(revision));
    }

    /// Makes the cache what a list says, telling the difference.
    fn replace(&self, objects: Vec<Arc<Object>>, revision: u64) {
        let present: std::collections::HashSet<Key> = objects.iter().map(|object| object.key().clone()).collect();
        for gone in self.list("").into_iter().filter(|object| !present.contains(object.key())) {
            self.apply(gone.key(), None, None);
        }
        for object in objects {
            let key = object.key().clone();
            self.apply(&key, Some(object), None);
        }
        self.progress.send_modify(|progress| *progress = Progress { is_synced: true, revision });
    }

    /// Lists, watches, and goes on until stopped.
    async fn run(&self, client: Client, clock: Arc<dyn Clock>) {
        let mut needs_list = true;
        let mut pause = PAUSE_MIN;
        // Watches in a row that expired before they told anything.
        let mut barren = 0;
        loop {
            let outcome = if needs_list {
                self.list_all(&client).await
            } else {
                self.follow(&client, || (pause, barren) = (PAUSE_MIN, 0)).await
            };
            match outcome {
                Ok(()) => {
                    needs_list = false;
                    continue;
                }
                Err(status) if status.is_expired() && !needs_list => {
                    debug!(resource = %self.resource, "The watch's revision is no longer kept, listing again.");
                    needs_list = true;
                    barren += 1;
                    if barren == 1 {
                        continue;
                    }
                }
                Err(status) if status.is_not_found() && needs_list => {
                    // Nobody serves the collection (any more), so nothing is in it.
                    let revision = self.revision();
                    self.replace(Vec::new(), revision);
                    debug!(resource = %self.resource, "The collection is not served.");
                }
                Err(status) if pause < PAUSE_WARN => {
                    debug!(resource = %self.resource, error = %status, "Cannot read the collection, trying again.");
                }
                Err(status) => {
                    warn!(resource = %self.resource, error = %status, ?pause, "Cannot read the collection.");
                }
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn list_all(&self, client: &Client) -> Result<(), Status> {
        let list = client.list(&self.resource, "", ListOptions::default()).await?;
        self.replace(list.objects, list.revision);
        Ok(())
    }

    /// Follows a watch to its end. A watch that told nothing counts as a failure, or it would be opened in a circle.
    async fn follow(&self, client: &Client, mut on_event: impl FnMut()) -> Result<(), Status> {
        let options = WatchOptions { resource_version: Some(self.revision()), ..WatchOptions::default() };
        let mut events = client.watch(&self.resource, "", options).await?;
        let mut heard = false;
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let (key, revision) = (object.key().clone(), object.revision());
                    self.apply(&key, Some(object), None);
                    self.advance(revision);
                }
                WatchEvent::Deleted(object) => {
                    let (key, revision) = (object.key().clone(), object.revision());
                    self.apply(&key, None, Some(object));
                    self.advance(revision);
                }
                WatchEvent::Bookmark { revision, .. } => self.advance(revision),
            }
            heard = true;
            on_event();
        }
        if heard { Ok(()) } else { Err(Status::unavailable("the watch ended without an event")) }
    }
}

struct Shared {
    client: Client,
    clock: Arc<dyn Clock>,
    informers: Mutex<HashMap<GroupResource, Arc<Informer>>>,
    stop: CancellationToken,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The informers of a process. Clones share them; the last one to go stops them.
#[derive(Clone)]
pub struct Informers {
    shared: Arc<Shared>,
}

impl Informers {
    /// `client` reads every collection that will be asked for.
    pub fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        let stop = CancellationToken::new();
        Self { shared: Arc::new(Shared { client, clock, informers: Mutex::default(), stop }) }
    }

    /// The informer of a collection; starts it if nobody asked before. Must be called within a tokio runtime.
    pub fn open(&self, resource: &GroupResource) -> Arc<Informer> {
        let mut informers = self.shared.informers.lock().expect("no panic under this lock");
        if let Some(informer) = informers.get(resource) {
            return informer.clone();
        }
        let informer = Arc::new(Informer {
            resource: resource.clone(),
            store: RwLock::default(),
            handlers: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
            stop: self.shared.stop.child_token(),
        });
        informers.insert(resource.clone(), informer.clone());
        let (client, clock, running) = (self.shared.client.clone(), self.shared.clock.clone(), informer.clone());
        tokio::spawn(async move {
            let stop = running.stop.clone();
            stop.run_until_cancelled(running.run(client, clock)).await;
        });
        informer
    }

    /// The informer of a collection, if somebody opened it.
    pub fn opened(&self, resource: &GroupResource) -> Option<Arc<Informer>> {
        self.shared.informers.lock().expect("no panic under this lock").get(resource).cloned()
    }

    /// All collections whose first list has arrived, in order of name.
    pub fn synced_resources(&self) -> Vec<GroupResource> {
        let informers = self.shared.informers.lock().expect("no panic under this lock");
        let mut resources: Vec<_> = informers.values().filter(|i| i.is_synced()).map(|i| i.resource.clone()).collect();
        resources.sort();
        resources
    }

    /// Forgets a collection that is no longer served. Where it was closed and opened anew meanwhile, the new informer
    /// stays.
    pub fn close(&self, informer: &Arc<Informer>) {
        let mut informers = self.shared.informers.lock().expect("no panic under this lock");
        if informers.get(&informer.resource).is_some_and(|known| Arc::ptr_eq(known, informer)) {
            informers.remove(&informer.resource);
        }
        informer.stop.cancel();
    }

    /// Resolves once every informer opened so far has its first list.
    pub async fn synced(&self) {
        let all: Vec<_> = {
            let informers = self.shared.informers.lock().expect("no panic under this lock");
            informers.values().cloned().collect()
        };
        for informer in all {
            informer.synced().await;
        }
    }

    /// Stops all watches. The caches stay as they are.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use sdk_api::k8s_openapi::api::core::v1::Pod;
    use sdk_client::Verb;
    use sdk_testkit::{Build, FakeApi, ManualClock, settle, until};

    use super::*;

    type Heard = Arc<Mutex<Vec<String>>>;

    fn listen(informer: &Informer) -> Heard {
        let heard = Heard::default();
        let sink = heard.clone();
        informer.subscribe(Arc::new(move |old, new| {
            let show = |object: Option<&Arc<Object>>| object.map_or("-".into(), |o| o.name().to_owned());
            sink.lock().unwrap().push(format!("{}>{}", show(old), show(new)));
        }));
        heard
    }

    fn world() -> (Arc<ManualClock>, FakeApi, Informers, GroupResource) {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let informers = Informers::new(api.admin(), clock.clone());
        (clock, api, informers, GroupResource::of::<Pod>())
    }

    #[tokio::test]
    async fn one_list_and_one_watch_for_all_who_ask() {
        let (clock, api, informers, pods) = world();
        api.seed(Build::pod("n", "a"));
        let informer = informers.open(&pods);
        assert!(Arc::ptr_eq(&informer, &informers.open(&pods)));
        informers.synced().await;
        let heard = listen(&informer);
        let b = api.seed(Build::pod("n", "b"));
        until("the watch told", || informer.revision() == b.revision()).await;
        api.remove(b.key());
        until("the removal arrived", || informer.list("n").len() == 1).await;
        assert_eq!(*heard.lock().unwrap(), ["->a", "->b", "b>-"]);
        assert_eq!((api.reads(&pods), clock.sleepers()), ((1, 1), 0), "nobody polls");
    }

    #[tokio::test]
    async fn a_watch_that_ends_goes_on_where_it_was() {
        let (_, api, informers, pods) = world();
        let informer = informers.open(&pods);
        informer.synced().await;
        let heard = listen(&informer);
        api.seed(Build::pod("n", "a"));
        until("a arrived", || informer.list("").len() == 1).await;
        api.drop_watches(&pods);
        api.seed(Build::pod("n", "b"));
        until("b arrived", || informer.list("").len() == 2).await;
        assert_eq!(*heard.lock().unwrap(), ["->a", "->b"]);
        assert_eq!(api.reads(&pods), (1, 2));
    }

    #[tokio::test]
    async fn an_expired_watch_lists_again_and_tells_the_difference() {
        let (_, api, informers, pods) = world();
        for name in ["gone", "kept", "changed"] {
            api.seed(Build::pod("n", name));
        }
        let informer = informers.open(&pods);
        informer.synced().await;
        settle().await;
        let heard = listen(&informer);
        heard.lock().unwrap().clear();
        api.freeze(&pods);
        api.remove(&Key::new(&pods, "n", "gone"));
        api.seed(Build::pod("n", "changed").phase("Running"));
        api.seed(Build::pod("n", "new"));
        api.compact(&pods);
        api.thaw(&pods);
        until("the list arrived", || informer.list("").len() == 3 && informer.revision() == api.revision()).await;
        let mut told = heard.lock().unwrap().clone();
        told.sort();
        assert_eq!(told, ["->new", "changed>changed", "gone>-"]);
        assert_eq!(api.reads(&pods).0, 2);
    }

    #[tokio::test]
    async fn failures_are_tried_again_after_a_growing_pause() {
        let (clock, api, informers, pods) = world();
        for _ in 0..2 {
            api.fail_next(Verb::List, &pods, Status::unavailable("starting"));
        }
        let informer = informers.open(&pods);
        settle().await;
        assert_eq!((informer.is_synced(), clock.next_wake()), (false, Some(PAUSE_MIN)));
        clock.advance(PAUSE_MIN);
        settle().await;
        assert_eq!((informer.is_synced(), clock.next_wake()), (false, Some(PAUSE_MIN * 3)));
        clock.advance(PAUSE_MIN * 2);
        settle().await;
        assert!(informer.is_synced());
    }

    #[tokio::test]
    async fn bookmarks_carry_an_idle_collection_forward() {
        let (_, api, informers, pods) = world();
        let informer = informers.open(&pods);
        informer.synced().await;
        settle().await;
        let node = api.seed(Build::node("x"));
        settle().await;
        assert!(informer.revision() < node.revision());
        api.bookmark(&pods);
        informer.passed(node.revision()).await;
    }

    #[tokio::test]
    async fn nobody_waits_for_a_closed_collection() {
        let (_, _, informers, pods) = world();
        let informer = informers.open(&pods);
        informer.synced().await;
        let waiting = tokio::spawn({
            let informer = informer.clone();
            async move { informer.passed(99).await }
        });
        settle().await;
        assert!(!waiting.is_finished());
        informers.close(&informer);
        waiting.await.unwrap();
        assert!(informers.opened(&pods).is_none());
        let again = informers.open(&pods);
        informers.close(&informer);
        assert!(Arc::ptr_eq(&again, &informers.open(&pods)), "the new one stays");
    }

    #[tokio::test]
    async fn a_collection_that_nobody_serves_is_empty() {
        let (clock, api, informers, pods) = world();
        api.fail_next(Verb::List, &pods, Status::no_such_path());
        let informer = informers.open(&pods);
        informer.synced().await;
        api.seed(Build::pod("n", "a"));
        clock.run_for(PAUSE_MAX).await;
        assert_eq!(informer.list("").len(), 1);
    }
}
