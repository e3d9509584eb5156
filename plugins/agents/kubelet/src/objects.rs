//! ConfigMaps and Secrets that pods of this node refer to: one watch for each, shared, as long as somebody needs it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sdk_api::{Clock, Key, Object, Status};
use sdk_client::Client;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::reflector::{self, Change, Selection};

/// How long a mount waits for the first answer about an object.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Told the uids of pods whose objects changed.
pub(crate) type Listener = Arc<dyn Fn(&[String]) + Send + Sync>;

/// The objects that pods refer to.
pub(crate) struct Objects {
    client: Client,
    clock: Arc<dyn Clock>,
    listener: Listener,
    entries: Mutex<HashMap<Key, Entry>>,
}

struct Entry {
    /// Pods, by uid.
    users: HashSet<String>,
    /// `None` until the first answer; then the object, if there is one.
    latest: watch::Receiver<Option<Option<Arc<Object>>>>,
    task: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Objects {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>, listener: Listener) -> Arc<Self> {
        Arc::new(Self { client, clock, listener, entries: Mutex::default() })
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads an object once.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Arc<Object>>, Status> {
        self.client.find(key).await
    }

    /// The object as the watch shows it; the pod is told when it changes, until `release`.
    pub(crate) async fn follow(self: &Arc<Self>, key: &Key, pod_uid: &str) -> Result<Option<Arc<Object>>, Status> {
        let mut latest = self.subscribe(key, pod_uid);
        let answer = latest.wait_for(Option::is_some);
        tokio::select! {
            answer = answer => match answer {
                Ok(found) => Ok(found.clone().flatten()),
                Err(_) => Err(Status::unavailable(format!("the watch of {key} ended"))),
            },
            () = self.clock.sleep(FIRST_ANSWER) => Err(Status::timeout("timed out waiting for the condition")),
        }
    }

    fn subscribe(self: &Arc<Self>, key: &Key, pod_uid: &str) -> watch::Receiver<Option<Option<Arc<Object>>>> {
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_insert_with(|| {
            let (sender, latest) = watch::channel(None);
            let selection = Selection {
                resource: key.resource.clone(),
                namespace: key.namespace.to_string(),
                field_selector: format!("metadata.name={}", key.name),
            };
            let (objects, key) = (Arc::downgrade(self), key.clone());
            let tell = move |change: Change| take(&objects, &key, &sender, change);
            let task = tokio::spawn(reflector::follow(self.client.clone(), self.clock.clone(), selection, tell));
            Entry { users: HashSet::new(), latest, task: task.abort_handle() }
        });
        entry.users.insert(pod_uid.into());
        entry.latest.clone()
    }

    /// The pod needs nothing any more.
    pub(crate) fn release(&self, pod_uid: &str) {
        self.entries().retain(|_, entry| {
            entry.users.remove(pod_uid);
            !entry.users.is_empty()
        });
    }
}

fn take(objects: &Weak<Objects>, key: &Key, latest: &watch::Sender<Option<Option<Arc<Object>>>>, change: Change) {
    let changed = latest.send_if_modified(|latest| match change {
        Change::Put(object) => {
            let known = latest.as_ref().and_then(|known| known.as_ref()).map(|known| known.revision());
            let newer = known.is_none_or(|known| known < object.revision());
            *latest = Some(Some(object));
            newer
        }
        Change::Gone(_) => latest.replace(None).is_some_and(|known| known.is_some()),
        Change::Synced if latest.is_none() => {
            *latest = Some(None);
            true
        }
        Change::Synced => false,
    });
    let Some(objects) = objects.upgrade().filter(|_| changed) else { return };
    let users: Vec<String> =
        objects.entries().get(key).map(|entry| entry.users.iter().cloned().collect()).unwrap_or_default();
    (objects.listener)(&users);
}
