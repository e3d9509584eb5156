//! Follows a selected part of a collection: the present state first, then every change, across broken watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sdk_api::{Clock, GroupResource, Key, Object, Status};
use sdk_client::{Client, WatchEvent, WatchOptions};

/// Pause after the first failed watch; it doubles up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a reflector tells.
pub(crate) enum Change {
    /// New or changed.
    Put(Arc<Object>),
    /// Deleted, or no longer selected. The last state known.
    Gone(Arc<Object>),
    /// The present state has been told in full; told again after each new list.
    Synced,
}

/// What to follow.
#[derive(Clone)]
pub(crate) struct Selection {
    pub(crate) resource: GroupResource,
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) field_selector: String,
}

/// Runs for ever; drop it to end it.
pub(crate) async fn follow(client: Client, clock: Arc<dyn Clock>, selection: Selection, mut tell: impl FnMut(Change)) {
    let mut known: HashMap<Key, Arc<Object>> = HashMap::new();
    let mut revision = None;
    let mut pause = PAUSE;
    loop {
        match follow_once(&client, &selection, &mut known, &mut revision, &mut tell, &mut pause).await {
            Ok(()) => {}
            Err(status) => {
                if status.is_expired() {
                    revision = None;
                    continue;
                }
                tracing::debug!(resource = %selection.resource, %status, "A watch of the kubelet failed.");
            }
        }
        clock.sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn follow_once(
    client: &Client,
    selection: &Selection,
    known: &mut HashMap<Key, Arc<Object>>,
    revision: &mut Option<u64>,
    tell: &mut impl FnMut(Change),
    pause: &mut Duration,
) -> Result<(), Status> {
    let options = WatchOptions {
        field_selector: selection.field_selector.clone(),
        resource_version: *revision,
        ..WatchOptions::default()
    };
    // While the present state is being sent, what has been seen of it: whatever else was known is gone.
    let mut listing: Option<HashMap<Key, ()>> = revision.is_none().then(HashMap::new);
    let mut events = client.watch(&selection.resource, &selection.namespace, options).await?;
    while let Some(event) = events.next().await {
        *pause = PAUSE;
        match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                if let Some(seen) = &mut listing {
                    seen.insert(object.key().clone(), ());
                } else {
                    *revision = Some(object.revision());
                }
                known.insert(object.key().clone(), object.clone());
                tell(Change::Put(object));
            }
            WatchEvent::Deleted(object) => {
                if listing.is_none() {
                    *revision = Some(object.revision());
                }
                known.remove(object.key());
                tell(Change::Gone(object));
            }
            WatchEvent::Bookmark { revision: at, initial_end } => {
                if let Some(seen) = listing.take_if(|_| initial_end) {
                    let gone: Vec<Key> = known.keys().filter(|key| !seen.contains_key(*key)).cloned().collect();
                    gone.iter().filter_map(|key| known.remove(key)).for_each(|object| tell(Change::Gone(object)));
                    tell(Change::Synced);
                }
                if listing.is_none() {
                    *revision = Some(at);
                }
            }
        }
    }
    Ok(())
}
