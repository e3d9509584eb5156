//! `LogStore`: the embedded store. An append-only log with group commit, checkpoints, and recovery.
//!
//! Reads come from the index in memory. Commits go to one thread (`writer.rs`), which syncs them and only then applies
//! them to the index, so nobody reads what a crash could take back.

mod checkpoint;
mod disk;
mod error;
mod fault;
mod frame;
mod names;
mod recover;
mod scan;
mod segment;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use sdk_api::{Clock, GroupResource, Key, Object};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{OpenError, Recovery, Torn};
pub use fault::FaultDisk;

use crate::index::Index;
use crate::{Commit, Committed, Error, Event, Floor, History, IndexBy, Limits, ListQuery, Page, Store};
use names::LOCK_FILE;
use segment::Layout;
use writer::{Checkpoints, Message, Writer};

/// How many commits may wait for the writer before `commit` waits to hand over its own.
const WAITING_MAX: usize = 4_096;

/// Where and how a log store keeps its data.
#[derive(Clone)]
pub struct Options {
    /// The data directory, made if it is not there. One store at a time.
    pub dir: PathBuf,
    /// How much history is kept.
    pub limits: Limits,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    /// How large one file of the log grows, default 64 MiB.
    pub segment_bytes: u64,
    /// How far ahead of the log its file is filled with zeros, default 1 MiB; a write into them needs one flush.
    pub ahead_bytes: u64,
    /// How much log there is at least before a checkpoint takes its place, default 64 MiB. A large state waits until
    /// the log has half its size.
    pub checkpoint_bytes: u64,
    /// Whether checkpoints are written beside the commits, the default. A simulation says no, so that all operations
    /// on its disk come in one order.
    pub background: bool,
}

impl Options {
    /// The defaults, on the machine's disk.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: dir.into(),
            limits: Limits::default(),
            disk: Arc::new(RealDisk),
            clock,
            segment_bytes: 64 << 20,
            ahead_bytes: 1 << 20,
            checkpoint_bytes: 64 << 20,
            background: true,
        }
    }
}

/// The embedded store.
///
/// Dropping it closes it, waiting for what the writer has in hand.
pub struct LogStore {
    index: Arc<Index>,
    /// `None` only while it is dropped.
    inbox: Option<mpsc::Sender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    broken: Arc<OnceLock<String>>,
}

impl LogStore {
    /// Opens a data directory and recovers what is in it. Blocks for as long as that takes: reading the checkpoint
    /// and the log.
    pub fn open(options: Options) -> Result<(Self, Recovery), OpenError> {
        let Options { dir, limits, disk, clock, .. } = options;
        let start = clock.monotonic();
        disk.create_dir(&dir).map_err(OpenError::io("make the data directory", &dir))?;
        let lock_path = dir.join(LOCK_FILE);
        let lock = disk.lock(&lock_path, &std::process::id().to_string()).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse { dir: dir.clone(), holder: holder(&*disk, &lock_path) },
            _ => OpenError::io("lock", &lock_path)(error),
        })?;
        let layout = Layout { segment_bytes: options.segment_bytes, ahead_bytes: options.ahead_bytes };
        let recovered = recover::recover(&disk, &dir, layout, || Index::new(clock.clone(), limits))?;
        let mut report = recovered.report;
        report.took = clock.monotonic().saturating_sub(start);
        tell(&dir, &report);

        let index = Arc::new(recovered.index);
        let broken = Arc::new(OnceLock::new());
        let writer = Writer {
            disk,
            clock,
            layout,
            index: index.clone(),
            segment: recovered.segment,
            next: recovered.next,
            checkpoints: Checkpoints {
                bytes_min: options.checkpoint_bytes,
                background: options.background,
                log_bytes: recovered.log_bytes,
                size: Arc::new(AtomicU64::new(recovered.checkpoint_bytes)),
                busy: Arc::new(AtomicBool::new(false)),
                stop: Arc::new(AtomicBool::new(false)),
                thread: None,
            },
            broken: broken.clone(),
            _lock: lock,
            dir: dir.clone(),
        };
        let (inbox, messages) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(messages))
            .map_err(OpenError::io("start the writer of", &dir))?;
        Ok((Self { index, inbox: Some(inbox), writer: Mutex::new(Some(thread)), broken }, report))
    }
}

/// Who has the lock, as it wrote into it.
fn holder(disk: &dyn Disk, path: &std::path::Path) -> Option<String> {
    let mut bytes = [0; 32];
    let count = disk.open(path).ok()?.read_at(0, &mut bytes).ok()?;
    let text = std::str::from_utf8(&bytes[..count]).ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn tell(dir: &std::path::Path, report: &Recovery) {
    for skipped in &report.skipped {
        warn!(why = skipped, "Skipped a damaged checkpoint; an older one and the log took its place.");
    }
    if let Some(torn) = &report.torn {
        let Torn { file, offset, bytes, why } = torn;
        warn!(file = %file.display(), offset, bytes, why, "Cut off the end of the log, which a crash left half written.");
    }
    let Recovery { revision, objects, replayed, took, .. } = report;
    info!(dir = %dir.display(), revision, objects, replayed, ?took, "Opened the store.");
}

fn closed() -> Error {
    Error::Unavailable { why: "the store is closed".into() }
}

#[async_trait]
impl Store for LogStore {
    fn revision(&self) -> u64 {
        self.index.revision()
    }

    async fn barrier(&self) -> Result<u64, Error> {
        Ok(self.index.revision())
    }

    async fn reach(&self, revision: u64, wait: Duration) -> Result<(), Error> {
        self.index.reach(revision, wait).await
    }

    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.index.get(key)
    }

    fn list(&self, query: &ListQuery) -> Result<Page, Error> {
        self.index.list(query)
    }

    fn select(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        by: &IndexBy,
        values: &[String],
    ) -> Option<(u64, Vec<Arc<Object>>)> {
        self.index.select(resource, namespace, by, values)
    }

    fn count(&self, resource: &GroupResource) -> usize {
        self.index.count(resource)
    }

    /// A commit that was handed over is written even if its caller goes away.
    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        let inbox = self.inbox.as_ref().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        inbox.send(Message::Commit(commit, reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    fn events(&self, resource: &GroupResource, after: u64, max: usize) -> Result<(Vec<Arc<Event>>, u64), Error> {
        self.index.events(resource, after, max)
    }

    fn changes(&self, resource: &GroupResource) -> watch::Receiver<u64> {
        self.index.changes(resource)
    }

    fn history(&self, key: &Key) -> Vec<History> {
        self.index.history(key)
    }

    fn floor(&self) -> Floor {
        self.index.floor()
    }

    fn compact(&self, revision: u64) {
        self.index.compact(revision);
    }

    fn health(&self) -> Result<(), String> {
        self.broken.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    async fn close(&self) {
        let Some(inbox) = &self.inbox else { return };
        let (done, closed) = oneshot::channel();
        if inbox.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.inbox = None;
        let thread = self.writer.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!("The store's writer had panicked.");
        }
    }
}
