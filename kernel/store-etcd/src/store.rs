//! `EtcdStore`: the store contract over etcd, for several servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kernel_store::index::Index;
use kernel_store::{Commit, Committed, Event, Floor, History, IndexBy, Limits, ListQuery, Page, Store};
use sdk_api::{Clock, GroupResource, Key, Object};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::info;

use crate::address::Address;
use crate::barrier::{self, Question};
use crate::compactor::Compactor;
use crate::connection::Connection;
use crate::error::reason;
use crate::feed::Feed;
use crate::layout::Layout;
use crate::load::{self, Snapshot, load, tip};
use crate::pending::Pending;
use crate::proto::{self, RangeRequest, RangeResponse, WatchCreateRequest};
use crate::{Error, commit};

/// How many revisions a start reads again to have their events. Further behind, it begins with the newest state.
const REPLAY_MAX: u64 = 100_000;
/// How often a start tries when compactions overtake it.
const LOADS_MAX: usize = 5;
/// How long a start waits to be told how far etcd was compacted; it can do without.
const COMPACTED_WAIT: Duration = Duration::from_secs(5);

/// How to open an etcd store.
pub struct Options {
    pub address: Address,
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    /// Tells this server's commits from others': random.
    pub instance: u64,
    /// How often etcd is compacted, if by us: `limits.history_age` unless said otherwise.
    pub compaction: Option<Duration>,
}

impl Options {
    /// The usual limits.
    pub fn new(address: Address, clock: Arc<dyn Clock>, instance: u64) -> Self {
        let limits = Limits::default();
        Self { address, limits, clock, instance, compaction: Some(limits.history_age) }
    }
}

/// What the parts of the store share.
pub(crate) struct Shared {
    pub connection: Connection,
    pub layout: Layout,
    pub index: Index,
    pub clock: Arc<dyn Clock>,
    pub pending: Pending,
    pub closed: CancellationToken,
    /// Told when the watch seems to hang.
    pub suspect: Notify,
    state: Mutex<State>,
}

enum State {
    Well,
    /// Reads are old, and writes may fail, until the watch is back.
    Cut(String),
    /// For good.
    GivenUp(String),
}

impl Shared {
    pub fn set_health(&self, health: Result<(), String>) {
        let mut state = self.state.lock().expect("nothing panics under this lock");
        *state = match (&*state, health) {
            (State::GivenUp(why), _) => State::GivenUp(why.clone()),
            (_, Ok(())) => State::Well,
            (_, Err(why)) => State::Cut(why),
        };
    }

    pub fn give_up(&self, why: String) {
        *self.state.lock().expect("nothing panics under this lock") = State::GivenUp(why);
    }

    fn health(&self) -> Result<(), String> {
        match &*self.state.lock().expect("nothing panics under this lock") {
            State::Well => Ok(()),
            State::Cut(why) | State::GivenUp(why) => Err(why.clone()),
        }
    }

    /// Whether it makes sense to ask etcd.
    pub fn usable(&self) -> Result<(), kernel_store::Error> {
        let unavailable = |why: &str| Err(kernel_store::Error::Unavailable { why: why.into() });
        if self.closed.is_cancelled() {
            return unavailable("the store is closed");
        }
        match &*self.state.lock().expect("nothing panics under this lock") {
            State::GivenUp(why) => unavailable(why),
            State::Well | State::Cut(_) => Ok(()),
        }
    }
}

/// A store in etcd.
///
/// Dropping it closes it.
pub struct EtcdStore {
    shared: Arc<Shared>,
    questions: mpsc::Sender<Question>,
    tasks: Mutex<JoinSet<()>>,
}

impl EtcdStore {
    /// Connects, reads the state and watches from there. Returns when reads are consistent; must be called within a tokio
    /// runtime. Without an answer it fails after 10 s.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let Options { address, limits, clock, instance, compaction } = options;
        if let Some(tls) = &address.tls {
            tls.config()?;
        }
        let silent = |why: String| Error::Silent { endpoints: address.endpoints(), why };
        let shared = Arc::new(Shared {
            connection: Connection::new(&address),
            layout: Layout::new(&address.prefix),
            index: Index::new(clock.clone(), limits),
            clock,
            pending: Pending::new(instance),
            closed: CancellationToken::new(),
            suspect: Notify::new(),
            state: Mutex::new(State::Cut("not watching yet".into())),
        });
        let state = first_state(&shared).await.map_err(|status| silent(reason(&status)))?;
        let (from, objects) = (state.revision, state.versions.len());
        let mut tasks = JoinSet::new();
        tasks.spawn(Feed::new(shared.clone(), state).run());
        let (questions, asked) = mpsc::channel(barrier::WAITING_MAX);
        tasks.spawn(barrier::run(shared.clone(), asked));
        if let Some(interval) = compaction {
            tasks.spawn(Compactor::default().run(shared.clone(), interval));
        }
        let store = Self { shared, questions, tasks: Mutex::new(tasks) };
        let revision = store.barrier().await.map_err(|error| silent(error.to_string()))?;
        info!(
            endpoints = address.endpoints(),
            prefix = address.prefix,
            from,
            revision,
            objects,
            "Opened the store in etcd."
        );
        Ok(store)
    }
}

/// The state at the oldest revision that etcd still has, so that watches of before a restart can go on; or the newest, if
/// that is too far back.
async fn first_state(shared: &Shared) -> Result<Snapshot, Status> {
    let mut tries = 0;
    loop {
        tries += 1;
        let now = tip(&shared.connection, &shared.layout).await?.revision;
        let oldest = compacted(shared).await?;
        let at = oldest.filter(|oldest| now.saturating_sub(*oldest) <= REPLAY_MAX);
        match load(&shared.connection, &shared.layout, &*shared.clock, &shared.index, at).await {
            Err(status) if load::is_compacted(&status) && tries < LOADS_MAX => {}
            answer => return answer,
        }
    }
}

/// The revision to which etcd was compacted; `None` if it never was.
///
/// That the first revision is gone says a read; which one is the oldest says only a watch that begins too early.
async fn compacted(shared: &Shared) -> Result<Option<u64>, Status> {
    let key = shared.layout.last_commit.clone();
    let first = RangeRequest { key: key.clone(), revision: 1, keys_only: true, ..RangeRequest::default() };
    match shared.connection.read::<_, RangeResponse>(proto::RANGE, first).await {
        Ok(_) => return Ok(None),
        Err(status) if load::is_compacted(&status) => {}
        Err(status) => return Err(status),
    }
    let create = WatchCreateRequest { key, start_revision: 1, ..WatchCreateRequest::default() };
    let mut stream = shared.connection.watch(create).await.map_err(|(status, _)| status)?.0;
    let told = async {
        while let Some(response) = stream.message().await? {
            if response.canceled {
                return Ok((response.compact_revision > 0).then(|| load::unsigned(response.compact_revision)));
            }
        }
        Ok(None)
    };
    tokio::time::timeout(COMPACTED_WAIT, told).await.unwrap_or(Ok(None))
}

#[async_trait]
impl Store for EtcdStore {
    fn revision(&self) -> u64 {
        self.shared.index.revision()
    }

    async fn barrier(&self) -> Result<u64, kernel_store::Error> {
        barrier::wait(&self.shared, &self.questions).await
    }

    async fn reach(&self, revision: u64, wait: Duration) -> Result<(), kernel_store::Error> {
        self.shared.index.reach(revision, wait).await
    }

    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.shared.index.get(key)
    }

    fn list(&self, query: &ListQuery) -> Result<Page, kernel_store::Error> {
        self.shared.index.list(query)
    }

    fn select(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        by: &IndexBy,
        values: &[String],
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        self.shared.index.select(resource, namespace, by, values)
    }

    fn count(&self, resource: &GroupResource) -> usize {
        self.shared.index.count(resource)
    }

    /// A commit that was sent is written even if its caller goes away. If etcd does not say whether it is, that is
    /// `Error::Unavailable`: it is never sent twice.
    async fn commit(&self, commit: Commit) -> Result<Committed, kernel_store::Error> {
        commit::commit(&self.shared, commit).await
    }

    fn events(
        &self,
        resource: &GroupResource,
        after: u64,
        max: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), kernel_store::Error> {
        self.shared.index.events(resource, after, max)
    }

    fn changes(&self, resource: &GroupResource) -> watch::Receiver<u64> {
        self.shared.index.changes(resource)
    }

    fn history(&self, key: &Key) -> Vec<History> {
        self.shared.index.history(key)
    }

    fn floor(&self) -> Floor {
        self.shared.index.floor()
    }

    /// Of this server's own history; etcd's goes by age.
    fn compact(&self, revision: u64) {
        self.shared.index.compact(revision);
    }

    fn commit_writes_max(&self) -> usize {
        1
    }

    fn health(&self) -> Result<(), String> {
        self.shared.health()
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        self.tasks.lock().expect("nothing panics under this lock").abort_all();
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}
