//! The sink: a bounded queue, and a thread that empties it into the file.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use async_trait::async_trait;
use sdk_api::{Clock, Timestamp};
use sdk_plugin::{AuditEvent, AuditSink};
use tokio::sync::{mpsc, oneshot};

use crate::file::{LogFile, Rotation};

/// How many events may wait for the disk by default; more are dropped and counted.
pub const QUEUED_EVENTS_MAX: usize = 10_000;
/// How many events are written at once.
const BATCH_EVENTS_MAX: usize = 400;

/// Where and how audit events are written.
#[derive(Clone, Debug)]
pub struct Settings {
    pub path: PathBuf,
    pub rotation: Rotation,
    /// How many events may wait; 0 is [`QUEUED_EVENTS_MAX`].
    pub queued_events_max: usize,
}

enum Message {
    Event(AuditEvent),
    /// Answered once everything before it is on the disk.
    Flush(oneshot::Sender<()>),
}

#[derive(Default)]
struct Counts {
    dropped: AtomicU64,
    written: AtomicU64,
}

/// Writes audit events to a file. Its thread starts with the first event and ends, after what is queued, when the last
/// handle is dropped.
pub struct AuditLog {
    settings: Settings,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    queue: OnceLock<mpsc::Sender<Message>>,
}

impl AuditLog {
    /// Opens nothing yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, counts: Arc::default(), queue: OnceLock::new() }
    }

    /// Events that found no place in the queue, or could not be written.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Events in the file.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    fn queue(&self) -> &mpsc::Sender<Message> {
        self.queue.get_or_init(|| {
            let limit = match self.settings.queued_events_max {
                0 => QUEUED_EVENTS_MAX,
                limit => limit,
            };
            let (sender, receiver) = mpsc::channel(limit);
            let writer = Writer {
                settings: self.settings.clone(),
                clock: self.clock.clone(),
                counts: self.counts.clone(),
                file: None,
                is_broken: false,
            };
            let spawned = thread::Builder::new().name("audit-log".into()).spawn(move || writer.run(receiver));
            if let Err(error) = spawned {
                // The receiver is gone, so every event will be counted as dropped.
                tracing::error!(%error, "Cannot start the thread that writes audit events.");
            }
            sender
        })
    }
}

#[async_trait]
impl AuditSink for AuditLog {
    fn name(&self) -> &'static str {
        "log"
    }

    fn record(&self, event: AuditEvent) {
        if self.queue().try_send(Message::Event(event)).is_err() {
            let dropped = self.counts.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // The first, and then ever more rarely: the log must not drown with the disk.
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "Audit events are dropped, since the disk does not keep up.");
            }
        }
    }

    async fn flush(&self) {
        let Some(queue) = self.queue.get() else { return };
        let (done, wait) = oneshot::channel();
        if queue.send(Message::Flush(done)).await.is_ok() {
            // The thread answers, or has ended; either way there is nothing more to wait for.
            let _ = wait.await;
        }
    }
}

/// The thread's side.
struct Writer {
    settings: Settings,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    file: Option<LogFile>,
    /// Whether the last write failed, so that the log says so once.
    is_broken: bool,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH_EVENTS_MAX);
        while queue.blocking_recv_many(&mut batch, BATCH_EVENTS_MAX) > 0 {
            let (mut lines, mut events, mut waiting) = (Vec::new(), 0, Vec::new());
            for message in batch.drain(..) {
                match message {
                    Message::Event(event) => {
                        lines.extend_from_slice(&event.json);
                        lines.push(b'\n');
                        events += 1;
                    }
                    Message::Flush(done) => waiting.push(done),
                }
            }
            self.write(&lines, events);
            if !waiting.is_empty() {
                self.sync();
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
        self.sync();
    }

    fn write(&mut self, lines: &[u8], events: u64) {
        if lines.is_empty() {
            return;
        }
        let now = self.clock.now();
        match self.try_write(lines, now) {
            Ok(()) => {
                self.counts.written.fetch_add(events, Ordering::Relaxed);
                self.is_broken = false;
            }
            Err(error) => {
                self.counts.dropped.fetch_add(events, Ordering::Relaxed);
                // Opened anew for the next batch: somebody may have made room or moved the folder back.
                self.file = None;
                if !std::mem::replace(&mut self.is_broken, true) {
                    let path = self.settings.path.display();
                    tracing::error!(%path, %error, "Cannot write audit events.");
                }
            }
        }
    }

    fn try_write(&mut self, lines: &[u8], now: Timestamp) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(LogFile::open(&self.settings.path, self.settings.rotation)?),
        };
        file.write(lines, now)
    }

    fn sync(&self) {
        if let Some(Err(error)) = self.file.as_ref().map(LogFile::sync) {
            tracing::error!(%error, "Audit events may not be on the disk yet.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sdk_api::SystemClock;
    use serde_json::json;

    use super::*;

    fn log(path: PathBuf, queued_events_max: usize) -> AuditLog {
        let settings = Settings { path, rotation: Rotation::default(), queued_events_max };
        AuditLog::new(settings, Arc::new(SystemClock::default()))
    }

    fn event(number: usize) -> AuditEvent {
        AuditEvent { json: json!({"kind": "Event", "auditID": number, "text": "a\nb"}).to_string().into() }
    }

    #[tokio::test]
    async fn each_event_is_a_line_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path().join("audit.log"), 0);
        for number in 0..1000 {
            log.record(event(number));
        }
        log.flush().await;
        let text = fs::read_to_string(folder.path().join("audit.log")).unwrap();
        let numbers: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["auditID"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert_eq!((log.written(), log.dropped()), (1000, 0));
    }

    #[tokio::test]
    async fn every_event_is_written_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path().join("audit.log"), 1);
        for number in 0..2000 {
            log.record(event(number));
        }
        log.flush().await;
        let lines = fs::read_to_string(folder.path().join("audit.log")).unwrap().lines().count();
        assert_eq!(lines as u64, log.written());
        assert_eq!(log.written() + log.dropped(), 2000);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_drops_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("file");
        fs::write(&in_the_way, "").unwrap();
        let log = log(in_the_way.join("audit.log"), 0);
        log.record(event(1));
        log.flush().await;
        assert_eq!((log.written(), log.dropped()), (0, 1));
        fs::remove_file(&in_the_way).unwrap();
        log.record(event(2));
        log.flush().await;
        assert_eq!((log.written(), log.dropped()), (1, 1));
    }

    #[tokio::test]
    async fn nothing_to_flush_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path().join("audit.log"), 0).flush().await;
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
