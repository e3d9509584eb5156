//! Objects that expire: kinds whose row names a `ttl`, such as events, lose objects that nobody has written for so long.
//!
//! One task a kind follows its writes, and sleeps until the oldest is due; where there is none, it sleeps until somebody
//! writes one. As upstream, whose store drops them, neither admission nor finalizers are asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kernel_store::Error;
use kernel_watch::{Filter, Item, Start, Watch, WatchError};
use sdk_api::{Key, Object, Status};
use sdk_client::Subject;
use sdk_plugin::Kind;

use crate::options::{Caller, FieldValidation, Warnings};
use crate::registry::{Registry, store_status};

/// How many deletions are under way at once, so that the store can commit them together.
const AT_ONCE_MAX: usize = 256;

/// A write, and when it is due.
struct Due {
    at: Timestamp,
    key: Key,
    revision: u64,
}

impl Registry {
    /// Drops expired objects of all kinds that have a `ttl`, until it is dropped itself. Ends where there are none.
    pub async fn expire(self: Arc<Self>) -> Result<(), Status> {
        let kinds: Vec<_> = self.table().collections().filter(|kind| kind.ttl.is_some()).cloned().collect();
        let each = kinds.into_iter().map(|kind| self.clone().expire_kind(kind));
        futures::future::try_join_all(each).await.map(drop)
    }

    async fn expire_kind(self: Arc<Self>, kind: Arc<Kind>) -> Result<(), Status> {
        let ttl = SignedDuration::try_from(kind.ttl.unwrap_or(Duration::MAX)).unwrap_or(SignedDuration::MAX);
        loop {
            match self.follow(&kind, ttl).await {
                // The history needed is gone: what is there is looked at anew.
                WatchError::Expired { .. } => tracing::debug!(kind = %kind.gvk.kind, "Looks for expired objects anew."),
                WatchError::Store(error) => return Err(store_status(error)),
            }
        }
    }

    async fn follow(&self, kind: &Arc<Kind>, ttl: SignedDuration) -> WatchError {
        let opened = Watch::open(self.store.clone(), kind.group_resource(), Filter::default(), Start::Present);
        let mut watch = match opened {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        let mut present = Vec::new();
        // The last to be written are the last to go.
        let mut dues: VecDeque<Due> = VecDeque::new();
        let mut is_sorted = false;
        loop {
            let now = self.clock.now();
            let next = dues.front().filter(|_| is_sorted);
            if next.is_some_and(|due| due.at <= now) {
                let due: Vec<Due> = (0..AT_ONCE_MAX).map_while(|_| dues.pop_front_if(|due| due.at <= now)).collect();
                if let Err(error) = self.drop_all(kind, due).await {
                    return WatchError::Store(error);
                }
                continue;
            }
            let left = next.map(|due| due.at.duration_since(now)).and_then(|left| Duration::try_from(left).ok());
            let item = tokio::select! {
                biased;
                item = watch.next() => item,
                () = self.clock.sleep(left.unwrap_or_default()), if left.is_some() => continue,
            };
            match item {
                Ok(Item::Added(object)) if !is_sorted => present.push(self.due(&object, self.written(&object), ttl)),
                Ok(Item::InitialEnd(_)) => {
                    present.sort_by_key(|due| due.at);
                    dues.extend(present.drain(..));
                    is_sorted = true;
                }
                Ok(Item::Added(object) | Item::Modified(object)) => dues.push_back(self.due(&object, now, ttl)),
                Ok(Item::Deleted(_)) => {}
                Err(error) => return error,
            }
        }
    }

    fn due(&self, object: &Object, written: Timestamp, ttl: SignedDuration) -> Due {
        let at = written.checked_add(ttl).unwrap_or(Timestamp::MAX);
        Due { at, key: object.key().clone(), revision: object.revision() }
    }

    /// When an object was written last, as far as the store remembers.
    fn written(&self, object: &Object) -> Timestamp {
        let newest = self.store.history(object.key()).into_iter().next();
        newest.map_or_else(|| self.clock.now(), |newest| newest.event.time)
    }

    /// Deletes those that nobody has written since.
    async fn drop_all(&self, kind: &Arc<Kind>, due: Vec<Due>) -> Result<(), Error> {
        let (user, warnings) = (Subject::new("system:apiserver", &[]), Warnings::default());
        let caller = Caller {
            user: &user,
            warnings: &warnings,
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            manager: "",
        };
        let stale = due
            .into_iter()
            .filter_map(|due| self.store.get(&due.key).filter(|object| object.revision() == due.revision));
        let deletions = stale.map(|object| {
            let caller = &caller;
            async move { self.commit_delete(caller, kind, &object, None).await }
        });
        let mut deletions = futures::stream::iter(deletions).buffer_unordered(AT_ONCE_MAX);
        while let Some(done) = deletions.next().await {
            match done {
                Ok(_) | Err(Error::Precondition { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
