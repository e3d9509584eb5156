//! The cursor: where a watch stands in the events of its collection.

use std::collections::VecDeque;
use std::sync::Arc;

use kernel_store::{Error, ListQuery, Store};
use sdk_api::{GroupResource, Object};
use tokio::sync::watch;

use crate::filter::Filter;

/// How many events a cursor takes from the store at once.
const BATCH_EVENTS: usize = 256;

/// One thing a watch tells.
#[derive(Clone, Debug)]
pub enum Item {
    Added(Arc<Object>),
    Modified(Arc<Object>),
    /// The last state, with the revision of the deletion.
    Deleted(Arc<Object>),
    /// The present state has been told in full; everything after has a revision above this one.
    InitialEnd(u64),
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// After this revision.
    After(u64),
    /// With the present state, then what happens.
    Present,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The history needed is gone: the reader was too slow or started too far back.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired { asked: u64, oldest: u64 },
    #[error(transparent)]
    Store(Error),
}

impl From<Error> for WatchError {
    fn from(error: Error) -> Self {
        match error {
            Error::Compacted { asked, oldest } => Self::Expired { asked, oldest },
            other => Self::Store(other),
        }
    }
}

/// A watch on one collection.
pub struct Watch {
    store: Arc<dyn Store>,
    resource: GroupResource,
    filter: Filter,
    /// Everything up to here has been told or did not concern the watch.
    position: u64,
    changes: watch::Receiver<u64>,
    ready: VecDeque<Item>,
}

impl Watch {
    /// Opens a watch. An expired start is told by the first `next`, as upstream does, not here.
    pub fn open(
        store: Arc<dyn Store>,
        resource: GroupResource,
        filter: Filter,
        start: Start,
    ) -> Result<Self, WatchError> {
        // Subscribed before the snapshot: what is committed in between is told twice to `changes`, never missed.
        let changes = store.changes(&resource);
        let mut ready = VecDeque::new();
        let position = match start {
            Start::After(revision) => revision,
            Start::Present => {
                let query = ListQuery {
                    resource: resource.clone(),
                    namespace: filter.namespace.clone(),
                    at: None,
                    after: None,
                    limit: 0,
                };
                let page = store.list(&query)?;
                ready.extend(page.objects.into_iter().filter(|o| filter.matches(o)).map(Item::Added));
                ready.push_back(Item::InitialEnd(page.revision));
                page.revision
            }
        };
        Ok(Self { store, resource, filter, position, changes, ready })
    }

    /// The revision up to which everything has been told; a bookmark may carry it when nothing is ready.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves on over what does not concern this watch, so that a bookmark is as new as the store.
    pub fn advance(&mut self) -> Result<u64, WatchError> {
        while self.ready.is_empty() && self.take()? {}
        Ok(self.position)
    }

    /// Whether something can be told at once.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next thing to tell. Cancel safe.
    pub async fn next(&mut self) -> Result<Item, WatchError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            self.changes.borrow_and_update();
            if self.take()? {
                continue;
            }
            if self.changes.changed().await.is_err() {
                return Err(WatchError::Store(Error::Unavailable { why: "the store is closed".into() }));
            }
        }
    }

    /// Takes the next batch of events; says whether there may be more.
    fn take(&mut self) -> Result<bool, WatchError> {
        let (events, complete) = match self.store.events(&self.resource, self.position, BATCH_EVENTS) {
            // A start ahead of the store: the watch stands there until the store has passed it.
            Err(Error::Future { .. }) => return Ok(false),
            answer => answer?,
        };
        let full = events.len() >= BATCH_EVENTS;
        self.ready.extend(events.iter().filter_map(|event| self.filter.see(event)));
        let reached = if full { events.last().map_or(complete, |event| event.revision()) } else { complete };
        self.position = self.position.max(reached);
        Ok(full || !self.ready.is_empty())
    }
}
