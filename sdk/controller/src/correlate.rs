//! Which events are worth a write: repeated ones are counted, similar ones combined, floods cut off.
//!
//! The limits are those of client-go's event correlator, so that `kubectl describe` reads the same.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use sdk_api::Timestamp;
use sdk_plugin::{EventNote, EventType};
use serde_json::Value;

/// How many objects, reasons and messages are remembered.
const REMEMBERED_MAX: usize = 4096;

/// Events about one object that may come at once.
const BURST: f64 = 25.0;

/// One more event about an object is allowed after this.
const REFILL: Duration = Duration::from_secs(300);

/// Events that differ only in their message, before they are combined.
const SIMILAR_MAX: usize = 10;

/// Similar events further apart than this are not counted together.
const SIMILAR_WINDOW: Duration = Duration::from_secs(600);

/// A map that forgets what was used longest ago.
struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    turn: u64,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    fn new() -> Self {
        Self { entries: HashMap::new(), turn: 0 }
    }

    fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.turn += 1;
        if self.entries.len() >= REMEMBERED_MAX && !self.entries.contains_key(&key) {
            // A quarter at a time, so that the search for the oldest is rare.
            let mut turns: Vec<u64> = self.entries.values().map(|(turn, _)| *turn).collect();
            turns.sort_unstable();
            let keep_from = turns[turns.len() / 4];
            self.entries.retain(|_, (turn, _)| *turn > keep_from);
        }
        let turn = self.turn;
        let entry = self.entries.entry(key).or_insert_with(|| (turn, make()));
        entry.0 = turn;
        &mut entry.1
    }
}

/// What an event is about, as far as events of one recorder may differ.
#[derive(Clone, PartialEq, Eq, Hash)]
struct About {
    object: [String; 6],
    is_warning: bool,
    reason: String,
}

fn object_of(regarding: &Value) -> [String; 6] {
    ["apiVersion", "kind", "namespace", "name", "uid", "fieldPath"]
        .map(|field| regarding[field].as_str().unwrap_or_default().to_owned())
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

struct Similar {
    messages: BTreeSet<String>,
    at: Duration,
}

/// An event that was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged {
    pub name: String,
    pub count: u32,
    pub first: Timestamp,
}

/// What to write for an event.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// The message, perhaps of the combination.
    pub message: String,
    /// The event as it was written last; `None` writes a new one.
    pub before: Option<Logged>,
    key: EventKey,
}

type EventKey = (usize, String);

/// Remembers what was written.
pub(crate) struct Correlator {
    floods: Recent<[String; 6], Bucket>,
    similar: Recent<About, (usize, Similar)>,
    logged: Recent<EventKey, Option<Logged>>,
    next: usize,
}

impl Correlator {
    pub fn new() -> Self {
        Self { floods: Recent::new(), similar: Recent::new(), logged: Recent::new(), next: 0 }
    }

    /// Decides on an event at a moment of monotonic time. `None`: one too many, drop it.
    pub fn judge(&mut self, note: &EventNote, now: Duration) -> Option<Verdict> {
        let object = object_of(&note.regarding);
        let bucket = self.floods.entry(object.clone(), || Bucket { tokens: BURST, at: now });
        let gained = now.saturating_sub(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(BURST);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return None;
        }
        bucket.tokens -= 1.0;

        let about = About { object, is_warning: note.kind == EventType::Warning, reason: note.reason.clone() };
        let next = &mut self.next;
        let (number, similar) = self.similar.entry(about, || {
            *next += 1;
            (*next, Similar { messages: BTreeSet::new(), at: now })
        });
        if now.saturating_sub(similar.at) > SIMILAR_WINDOW {
            similar.messages.clear();
        }
        similar.at = now;
        similar.messages.insert(note.message.clone());
        let (message, key) = if similar.messages.len() < SIMILAR_MAX {
            (note.message.clone(), (*number, note.message.clone()))
        } else {
            similar.messages.pop_first();
            (format!("(combined from similar events): {}", note.message), (*number, String::new()))
        };
        let before = self.logged.entry(key.clone(), || None).clone();
        Some(Verdict { message, before, key })
    }

    /// Remembers how an event was written.
    pub fn wrote(&mut self, verdict: Verdict, logged: Logged) {
        *self.logged.entry(verdict.key, || None) = Some(logged);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn note(name: &str, message: &str) -> EventNote {
        EventNote {
            regarding: json!({"kind": "Pod", "namespace": "n", "name": name, "uid": name}),
            kind: EventType::Warning,
            reason: "BackOff".into(),
            message: message.into(),
        }
    }

    fn logged(count: u32) -> Logged {
        Logged { name: format!("e{count}"), count, first: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_same_event_is_found_again() {
        let mut correlator = Correlator::new();
        let first = correlator.judge(&note("a", "x"), Duration::ZERO).unwrap();
        assert_eq!((first.before.as_ref(), first.message.as_str()), (None, "x"));
        correlator.wrote(first, logged(1));
        let second = correlator.judge(&note("a", "x"), Duration::ZERO).unwrap();
        assert_eq!(second.before, Some(logged(1)));
        let other = correlator.judge(&note("b", "x"), Duration::ZERO).unwrap();
        assert_eq!(other.before, None);
    }

    #[test]
    fn similar_events_are_combined_from_the_tenth() {
        let mut correlator = Correlator::new();
        for n in 0..9 {
            let verdict = correlator.judge(&note("a", &format!("m{n}")), Duration::ZERO).unwrap();
            assert!(!verdict.message.starts_with("(combined"), "{n}");
        }
        let combined = correlator.judge(&note("a", "m9"), Duration::ZERO).unwrap();
        assert_eq!(combined.message, "(combined from similar events): m9");
        correlator.wrote(combined, logged(1));
        let again = correlator.judge(&note("a", "m10"), Duration::ZERO).unwrap();
        assert_eq!(again.before, Some(logged(1)));
        let later = correlator.judge(&note("a", "m11"), SIMILAR_WINDOW * 2).unwrap();
        assert_eq!(later.message, "m11");
    }

    #[test]
    fn floods_are_cut_off_by_object() {
        let mut correlator = Correlator::new();
        let passed = (0..40).filter(|_| correlator.judge(&note("a", "x"), Duration::ZERO).is_some()).count();
        assert_eq!(passed, 25);
        assert!(correlator.judge(&note("b", "x"), Duration::ZERO).is_some());
        assert!(correlator.judge(&note("a", "x"), REFILL).is_some());
        assert!(correlator.judge(&note("a", "x"), REFILL).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::new();
        for n in 0..REMEMBERED_MAX * 2 {
            recent.entry(n, || n);
        }
        assert!(recent.entries.len() <= REMEMBERED_MAX);
        assert!(recent.entries.contains_key(&(REMEMBERED_MAX * 2 - 1)));
    }
}
