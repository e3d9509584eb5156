//! The one thread that orders and writes commits.
//!
//! It writes as soon as it is idle. What arrives while it waits for the disk makes up the next batch, so the busier
//! the store, the larger the batches; there is no timer.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use sdk_api::Clock;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::frame::{FrameWriter, Record};
use super::segment::{Layout, Segment};
use crate::index::{Change, Index};
use crate::stage::{Stage, committed};
use crate::{Commit, Committed, Error};

/// How many bytes a batch takes before it is written, 8 MiB: what arrives later waits for the next one.
const BATCH_BYTES_MAX: usize = 8 << 20;

pub(crate) enum Message {
    Commit(Commit, oneshot::Sender<Result<Committed, Error>>),
    Close(oneshot::Sender<()>),
}

pub(crate) struct Writer {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub dir: PathBuf,
    pub layout: Layout,
    pub index: Arc<Index>,
    pub segment: Segment,
    /// The revision of the next write.
    pub next: u64,
    pub checkpoints: Checkpoints,
    /// Why nothing can be written any more.
    /// Why nothing can be written any more, once that is so. Health checks read it.
    pub broken: Arc<OnceLock<String>>,
    /// Held as long as files may be written.
    pub _lock: Box<dyn Any + Send + Sync>,
}

/// When checkpoints are due, and the one that is being written.
pub(crate) struct Checkpoints {
    pub bytes_min: u64,
    pub background: bool,
    /// Bytes of log since the newest checkpoint was begun.
    pub log_bytes: u64,
    /// The size of the newest checkpoint.
    pub size: Arc<AtomicU64>,
    pub busy: Arc<AtomicBool>,
    pub stop: Arc<AtomicBool>,
    pub thread: Option<JoinHandle<()>>,
}

type Reply = oneshot::Sender<Result<Committed, Error>>;

impl Writer {
    /// Runs until the store is closed or dropped.
    pub fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut frame = FrameWriter::new();
        let mut closing = None;
        while closing.is_none()
            && let Some(message) = inbox.blocking_recv()
        {
            closing = self.batch(message, &mut inbox, &mut frame);
            if self.broken.get().is_none() && closing.is_none() && self.checkpoints.is_due() {
                self.checkpoint();
            }
        }
        inbox.close();
        self.checkpoints.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.checkpoints.thread.take() {
            // Its failure is logged where it happens.
            let _ = thread.join();
        }
        drop(self);
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// Writes what waits as one batch. Gives who asked to close.
    fn batch(
        &mut self,
        first: Message,
        inbox: &mut mpsc::Receiver<Message>,
        frame: &mut FrameWriter,
    ) -> Option<oneshot::Sender<()>> {
        let index = self.index.clone();
        let mut stage = Stage::new(&index, self.next, self.clock.now());
        let mut replies: Vec<(Reply, Result<Committed, Error>)> = Vec::new();
        let mut closing = None;
        let mut message = Some(first);
        frame.clear();
        while let Some(now) = message {
            match now {
                Message::Close(done) => {
                    closing = Some(done);
                    break;
                }
                Message::Commit(_, reply) if self.broken.get().is_some() => replies.push((reply, self.refuse())),
                Message::Commit(commit, reply) => {
                    // Failures wait for the disk too: they show the state of a commit before them in the batch.
                    let outcome = stage.add(commit).map(|range| {
                        let changes = &stage.changes()[range];
                        changes.iter().for_each(|change| frame.push(&record(change)));
                        committed(changes)
                    });
                    replies.push((reply, outcome));
                }
            }
            message = if frame.bytes.len() < BATCH_BYTES_MAX { inbox.try_recv().ok() } else { None };
        }
        let changes = stage.into_changes();
        if !changes.is_empty() {
            let count = changes.len() as u64;
            match self.append(frame) {
                Ok(()) => {
                    self.next += count;
                    self.index.apply(changes);
                }
                Err(failure) => self.fail(&failure),
            }
        }
        for (reply, outcome) in replies {
            let outcome = if self.broken.get().is_some() { self.refuse() } else { outcome };
            // Whoever has gone away is not owed an answer.
            let _ = reply.send(outcome);
        }
        closing
    }

    fn append(&mut self, frame: &mut FrameWriter) -> io::Result<()> {
        let bytes = frame.bytes.len() as u64;
        if self.segment.is_full_for(bytes, self.layout) {
            self.rotate()?;
        }
        self.segment.append(frame, self.next, self.layout)?;
        self.checkpoints.log_bytes += bytes;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.segment = Segment::create(&self.disk, &self.dir, self.layout, self.segment.number + 1, self.next)?;
        Ok(())
    }

    /// After a failed write nobody knows what the disk holds, and a failed sync must not be tried again: Linux marks
    /// the pages clean all the same.
    fn fail(&mut self, failure: &io::Error) {
        error!(error = %failure, dir = %self.dir.display(), "Cannot write the log; the store takes no more writes.");
        // The first reason stays: what follows is its consequence.
        let _ = self.broken.set(format!("writing the log failed ({failure}); restart once the disk is well"));
    }

    fn refuse(&self) -> Result<Committed, Error> {
        Err(Error::Unavailable { why: self.broken.get().cloned().unwrap_or_default() })
    }

    /// Begins a checkpoint of what has been applied.
    fn checkpoint(&mut self) {
        if !self.segment.is_empty()
            && let Err(failure) = self.rotate()
        {
            return self.fail(&failure);
        }
        self.checkpoints.log_bytes = 0;
        let checkpoint = Checkpoint {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            index: self.index.clone(),
            revision: self.index.pin(),
            segment: self.segment.number,
            stop: self.checkpoints.stop.clone(),
        };
        self.checkpoints.start(checkpoint);
    }
}

impl Checkpoints {
    /// Due when the log has outgrown both its minimum and half the state: so neither a start nor the disk is burdened
    /// by more than a part of what the store holds.
    fn is_due(&self) -> bool {
        !self.busy.load(Ordering::Acquire)
            && self.log_bytes >= self.bytes_min.max(self.size.load(Ordering::Relaxed) / 2)
    }

    fn start(&mut self, checkpoint: Checkpoint) {
        let (size, busy) = (self.size.clone(), self.busy.clone());
        busy.store(true, Ordering::Release);
        let work = move || {
            let revision = checkpoint.revision;
            match checkpoint.write() {
                Ok(Some(bytes)) => {
                    size.store(bytes, Ordering::Relaxed);
                    info!(revision, bytes, "Wrote a checkpoint.");
                }
                Ok(None) => {}
                Err(failure) => warn!(revision, error = %failure, "Cannot write a checkpoint; the log goes on."),
            }
            // Before the next one may begin and pin the index again.
            drop(checkpoint);
            busy.store(false, Ordering::Release);
        };
        if !self.background {
            return work();
        }
        match std::thread::Builder::new().name("store-checkpoint".into()).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
            Err(failure) => {
                warn!(error = %failure, "Cannot start the checkpoint's thread; the log goes on.");
                self.busy.store(false, Ordering::Release);
            }
        }
    }
}

fn record(change: &Change) -> Record<'_> {
    let event = &change.event;
    let key = event.object.key();
    Record {
        kind: event.kind,
        revision: event.revision(),
        time: event.time,
        hole: change.made.as_ref().map_or(0, |version| version.hole),
        resource: key.resource.as_str(),
        namespace: &key.namespace,
        name: &key.name,
        author: &event.author,
        raw: event.object.raw(),
    }
}
