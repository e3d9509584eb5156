//! An inbox: the newest state of whatever changed, for workers with a loop of their own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use sdk_api::{Key, Object};
use tokio::sync::Notify;

use crate::informer::{Handler, Informer};

#[derive(Default)]
struct Waiting {
    order: VecDeque<Key>,
    states: HashMap<Key, Option<Arc<Object>>>,
}

/// Collects the changes of informers until a worker takes them. An object that changes again before that waits once, in
/// its first place and with its newest state; so an inbox never holds more than there are objects.
///
/// A name that was deleted and made again in between arrives as one change with another uid.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

impl Inbox {
    /// Hears of an informer's present state, then of its changes.
    pub fn subscribe(self: &Arc<Self>, informer: &Informer) {
        let inbox = self.clone();
        let handler: Handler = Arc::new(move |old, new| {
            if let Some(object) = new.or(old) {
                inbox.put(object.key().clone(), new.cloned());
            }
        });
        informer.subscribe(handler);
    }

    /// Puts in a state, or with `None` that the object is gone.
    pub fn put(&self, key: Key, state: Option<Arc<Object>>) {
        let mut waiting = self.waiting.lock().expect("no panic under this lock");
        if waiting.states.insert(key.clone(), state).is_none() {
            waiting.order.push_back(key);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes up to `max` changes, the ones that wait longest first.
    pub fn take(&self, max: usize) -> Vec<(Key, Option<Arc<Object>>)> {
        let mut waiting = self.waiting.lock().expect("no panic under this lock");
        let count = waiting.order.len().min(max);
        let keys: Vec<Key> = waiting.order.drain(..count).collect();
        let states = keys.into_iter().filter_map(|key| waiting.states.remove(&key).map(|state| (key, state)));
        states.collect()
    }

    /// Resolves when something may have arrived since the last call. For one worker.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;

    use super::*;

    #[test]
    fn changes_wait_once_each_with_their_newest_state() {
        let inbox = Inbox::default();
        let pod = |name: &str| Build::pod("n", name).object();
        let (a, b) = (pod("a"), pod("b"));
        inbox.put(a.key().clone(), Some(a.clone()));
        inbox.put(b.key().clone(), Some(b.clone()));
        inbox.put(a.key().clone(), None);
        let taken = inbox.take(1);
        assert!(taken[0].0 == *a.key() && taken[0].1.is_none() && taken.len() == 1);
        assert_eq!(inbox.take(9).len(), 1);
        assert!(inbox.take(9).is_empty());
    }
}
