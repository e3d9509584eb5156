//! The event recorder: tells users what happened, and never holds up who tells it.

use std::sync::Arc;
use std::time::Duration;

use sdk_api::k8s_openapi::api::core::v1::Event;
use sdk_api::time::rfc3339;
use sdk_api::{Clock, GroupResource, Key, Object, Reason, Status, Timestamp};
use sdk_client::{Client, Patch};
use sdk_plugin::{EventNote, EventType};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use crate::correlate::{Correlator, Logged};

/// Events that wait to be written; further ones are dropped.
const WAITING_MAX: usize = 1000;

/// How often a write is tried while the server is away, and the pause between. Source: client-go's event broadcaster.
const TRIES_MAX: u32 = 12;
const PAUSE: Duration = Duration::from_secs(10);

/// How far names run ahead of the time, in nanoseconds, while events of one moment come.
const STAMP_STEPS_MAX: i128 = 100_000;

enum Message {
    Note(EventNote, Timestamp),
    Flush(oneshot::Sender<()>),
}

/// Records Events about objects, as `v1` Event. Clones share the queue; it ends with the last of them.
#[derive(Clone)]
pub struct EventRecorder {
    sender: mpsc::Sender<Message>,
    clock: Arc<dyn Clock>,
}

impl EventRecorder {
    /// `component` is who reports (`replicaset-controller`, `kubelet`), `host` where it runs; may be empty. Must be
    /// called within a tokio runtime.
    pub fn new(client: Client, component: &str, host: &str, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            client,
            component: component.into(),
            host: host.into(),
            clock: clock.clone(),
            correlator: Correlator::new(),
            last_stamp: 0,
        };
        tokio::spawn(writer.run(receiver));
        Self { sender, clock }
    }

    /// Records an event; `regarding` is an ObjectReference, see [`regarding`]. Returns at once.
    pub fn record(&self, regarding: Value, kind: EventType, reason: &str, message: impl Into<String>) {
        self.note(EventNote { regarding, kind, reason: reason.into(), message: message.into() });
    }

    /// Records an event that a plan wants.
    pub fn note(&self, note: EventNote) {
        self.note_at(note, self.clock.now());
    }

    /// Records an event of a moment that has passed: clients show events in the order of their times, and what followed
    /// from this one may have been recorded already.
    pub fn note_at(&self, note: EventNote, at: Timestamp) {
        if self.sender.try_send(Message::Note(note, at)).is_err() {
            warn!(waiting = WAITING_MAX, "Dropped an event, too many wait.");
        }
    }

    /// Resolves once every event recorded so far has been written, or dropped.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

/// The reference of an object, for an event about it.
pub fn regarding(object: &Object) -> Value {
    let mut reference = json!({
        "apiVersion": object.api_version(), "kind": object.kind(), "name": object.name(), "uid": object.uid(),
        "resourceVersion": object.revision().to_string(),
    });
    if !object.namespace().is_empty() {
        reference["namespace"] = object.namespace().into();
    }
    reference
}

struct Writer {
    client: Client,
    component: String,
    host: String,
    clock: Arc<dyn Clock>,
    correlator: Correlator,
    last_stamp: i128,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Note(note, at) => self.write(note, at).await,
                // Who asked may have gone.
                Message::Flush(done) => drop(done.send(())),
            }
        }
    }

    async fn write(&mut self, note: EventNote, now: Timestamp) {
        let Some(verdict) = self.correlator.judge(&note, self.clock.monotonic()) else {
            debug!(reason = note.reason, "Dropped an event, its object has too many.");
            return;
        };
        for attempt in 1..=TRIES_MAX {
            let result = match &verdict.before {
                None => self.create(&note, &verdict.message, 1, now, now).await,
                Some(before) => match self.count_up(&note, before, &verdict.message, now).await {
                    // It expired meanwhile.
                    Err(status) if status.is_not_found() => {
                        self.create(&note, &verdict.message, before.count + 1, before.first, now).await
                    }
                    other => other,
                },
            };
            match result {
                Ok(logged) => return self.correlator.wrote(verdict, logged),
                Err(status) if is_passing(&status) && attempt < TRIES_MAX => self.clock.sleep(PAUSE).await,
                Err(status) => {
                    debug!(error = %status, reason = note.reason, "Cannot write an event, dropped it.");
                    return;
                }
            }
        }
    }

    async fn create(
        &mut self,
        note: &EventNote,
        message: &str,
        count: u32,
        first: Timestamp,
        now: Timestamp,
    ) -> Result<Logged, Status> {
        let namespace = namespace_of(&note.regarding);
        let regarded = note.regarding["name"].as_str().unwrap_or_default();
        // Two events of one moment must not share a name. Lists are in the order of names, so one of a clearly earlier
        // moment keeps its own.
        let ahead = self.last_stamp - now.as_nanosecond();
        let stamp = if (0..STAMP_STEPS_MAX).contains(&ahead) { self.last_stamp + 1 } else { now.as_nanosecond() };
        self.last_stamp = stamp;
        let name = format!("{regarded}.{stamp:x}");
        let mut source = json!({"component": self.component});
        if !self.host.is_empty() {
            source["host"] = self.host.as_str().into();
        }
        let body = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": note.regarding, "reason": note.reason, "message": message, "source": source,
            "firstTimestamp": rfc3339(first), "lastTimestamp": rfc3339(now), "count": count, "eventTime": null,
            "type": match note.kind { EventType::Normal => "Normal", EventType::Warning => "Warning" },
            "reportingComponent": self.component, "reportingInstance": self.host,
        });
        self.client.create(&GroupResource::of::<Event>(), namespace, body).await?;
        Ok(Logged { name, count, first })
    }

    async fn count_up(
        &self,
        note: &EventNote,
        before: &Logged,
        message: &str,
        now: Timestamp,
    ) -> Result<Logged, Status> {
        let key = Key::of::<Event>(namespace_of(&note.regarding), &before.name);
        let count = before.count + 1;
        let body = json!({"count": count, "lastTimestamp": rfc3339(now), "message": message});
        self.client.patch(&key, "", Patch::merge(body)).await?;
        Ok(Logged { name: before.name.clone(), count, first: before.first })
    }
}

/// Events about what lives in no namespace go to `default`.
fn namespace_of(regarding: &Value) -> &str {
    regarding["namespace"].as_str().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

/// Whether another try may go better.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.reason,
        Reason::ServiceUnavailable | Reason::Timeout | Reason::ServerTimeout | Reason::TooManyRequests
    )
}

#[cfg(test)]
mod tests {
    use sdk_client::Verb;
    use sdk_testkit::{Build, FakeApi, ManualClock, settle};

    use super::*;

    fn world() -> (Arc<ManualClock>, FakeApi, EventRecorder, GroupResource) {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        let recorder = EventRecorder::new(api.admin(), "kubelet", "node-1", clock.clone());
        (clock, api, recorder, GroupResource::of::<Event>())
    }

    #[tokio::test]
    async fn repeated_events_are_counted() {
        let (clock, api, recorder, events) = world();
        let pod = Build::pod("n", "p").object();
        for _ in 0..3 {
            recorder.record(regarding(&pod), EventType::Warning, "BackOff", "Back-off restarting failed container");
            recorder.flush().await;
            clock.advance(Duration::from_secs(1));
        }
        let all = api.objects(&events, "n");
        assert_eq!(all.len(), 1);
        let event: Arc<Event> = all[0].typed().unwrap();
        assert_eq!((event.count, event.reason.as_deref()), (Some(3), Some("BackOff")));
        assert_eq!(event.involved_object.uid.as_deref(), Some("uid-p"));
        let tree = all[0].tree();
        assert_eq!(tree["lastTimestamp"], "2026-01-01T00:00:02Z");
        assert_eq!(tree["firstTimestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(tree["source"], json!({"component": "kubelet", "host": "node-1"}));
        assert_eq!(tree["reportingComponent"], "kubelet");
    }

    #[tokio::test]
    async fn events_have_the_time_at_which_they_happened() {
        let (clock, api, recorder, events) = world();
        let pod = Build::pod("n", "p").object();
        let earlier = clock.now();
        clock.advance(Duration::from_secs(5));
        recorder.record(regarding(&pod), EventType::Normal, "Pulling", "");
        let scheduled = EventNote {
            regarding: regarding(&pod),
            kind: EventType::Normal,
            reason: "Scheduled".into(),
            message: "".into(),
        };
        recorder.note_at(scheduled, earlier);
        // Written late.
        clock.advance(Duration::from_secs(60));
        recorder.flush().await;
        let told: Vec<_> = api
            .objects(&events, "n")
            .iter()
            .map(|event| (event.tree()["reason"].clone(), event.tree()["lastTimestamp"].clone()))
            .collect();
        assert!(told.contains(&("Pulling".into(), "2026-01-01T00:00:05Z".into())), "{told:?}");
        assert!(told.contains(&("Scheduled".into(), "2026-01-01T00:00:00Z".into())), "{told:?}");
    }

    #[tokio::test]
    async fn an_expired_event_is_written_again() {
        let (_, api, recorder, events) = world();
        let node = Build::node("x").object();
        recorder.record(regarding(&node), EventType::Normal, "Starting", "");
        recorder.flush().await;
        api.remove(api.objects(&events, "default")[0].key());
        recorder.record(regarding(&node), EventType::Normal, "Starting", "");
        recorder.flush().await;
        assert_eq!(api.objects(&events, "default")[0].tree()["count"], 2);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_waited_for_and_a_refusal_is_not() {
        let (clock, api, recorder, events) = world();
        let pod = Build::pod("n", "p").object();
        api.fail_next(Verb::Create, &events, Status::unavailable("away"));
        api.fail_next(Verb::Create, &events, Status::forbidden(&events, "", "no"));
        recorder.record(regarding(&pod), EventType::Normal, "A", "first");
        settle().await;
        assert_eq!(clock.sleepers(), 1);
        clock.advance(PAUSE);
        recorder.record(regarding(&pod), EventType::Normal, "A", "second");
        recorder.flush().await;
        let all = api.objects(&events, "n");
        assert_eq!(all.len(), 1, "the first was refused");
        assert_eq!(all[0].tree()["message"], "second");
    }

    #[tokio::test]
    async fn two_events_of_one_moment_have_two_names() {
        let (_, api, recorder, events) = world();
        let pod = Build::pod("n", "p").object();
        recorder.record(regarding(&pod), EventType::Normal, "A", "one");
        recorder.record(regarding(&pod), EventType::Normal, "A", "two");
        recorder.flush().await;
        assert_eq!(api.objects(&events, "n").len(), 2);
    }
}
