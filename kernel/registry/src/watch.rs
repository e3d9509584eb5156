//! Watching a collection in the version that a kind serves.

use std::sync::Arc;

use kernel_watch::{Filter, Item, Start, Watch, WatchError};
use sdk_api::{Object, Status};
use sdk_plugin::Kind;
use tokio::sync::watch::Receiver;

use crate::options::WatchRequest;
use crate::read::{check_fields, scope, selector};
use crate::registry::{Registry, presented, store_status};
use crate::table::KindTable;

/// One thing a watch tells.
#[derive(Clone, Debug)]
pub enum WatchItem {
    Added(Arc<Object>),
    Modified(Arc<Object>),
    Deleted(Arc<Object>),
    /// The present state has been told.
    InitialEnd(u64),
    /// The kind is not served any more, or otherwise than the watch needs. Nothing more comes.
    End,
}

/// An open watch.
pub struct Watching {
    registry: Arc<Registry>,
    kind: Arc<Kind>,
    inner: Watch,
    /// Rows may change under a watch.
    table: Receiver<Arc<KindTable>>,
    /// Whether the selection depends on fields of the row.
    by_fields: bool,
}

impl Watching {
    /// The next thing to tell. After an error nothing more comes. Cancel safe.
    pub async fn next(&mut self) -> Result<WatchItem, Status> {
        let item = loop {
            tokio::select! {
                // What happened before the row went is told first.
                biased;
                item = self.inner.next() => break item.map_err(watch_status)?,
                changed = self.table.changed() => {
                    if changed.is_err() || !self.follow() {
                        return Ok(WatchItem::End);
                    }
                }
            }
        };
        let present = |object: &Arc<Object>| self.registry.present(&self.kind, object);
        Ok(match item {
            Item::Added(object) => WatchItem::Added(present(&object)),
            Item::Modified(object) => WatchItem::Modified(present(&object)),
            Item::Deleted(object) => WatchItem::Deleted(present(&object)),
            Item::InitialEnd(revision) => WatchItem::InitialEnd(revision),
        })
    }

    /// Goes on with the row that serves the kind now. Says whether it can.
    fn follow(&mut self) -> bool {
        let table = self.table.borrow_and_update().clone();
        let gvk = &self.kind.gvk;
        let Some(row) = table.by_path(&gvk.group, &gvk.version, &self.kind.plural) else { return false };
        let same = Arc::ptr_eq(row, &self.kind);
        self.kind = row.clone();
        same || !self.by_fields
    }

    /// Whether something can be told at once.
    pub fn has_ready(&self) -> bool {
        self.inner.has_ready()
    }

    /// A revision for a bookmark, if nothing waits to be told.
    pub fn bookmark(&mut self) -> Result<Option<u64>, Status> {
        let revision = self.inner.advance().map_err(watch_status)?;
        Ok((!self.inner.has_ready()).then_some(revision))
    }
}

fn watch_status(error: WatchError) -> Status {
    match error {
        WatchError::Expired { .. } => Status::expired(error.to_string()),
        WatchError::Store(error) => store_status(error),
    }
}

impl Registry {
    /// Opens a watch; `namespace` is empty for all. An expired revision is told by the stream, as upstream does.
    pub async fn watch(
        self: &Arc<Self>,
        kind: &Arc<Kind>,
        namespace: &str,
        request: &WatchRequest,
    ) -> Result<Watching, Status> {
        check_fields(kind, &request.fields)?;
        let start = if request.initial_events {
            self.settle(request.revision).await?;
            Start::Present
        } else {
            // Without a revision the watch starts at what is acknowledged now. A revision ahead of the store opens too:
            // the cursor stands there and tells only what comes after.
            match request.revision {
                Some(revision) if revision > 0 => Start::After(revision),
                _ => Start::After(self.store.barrier().await.map_err(store_status)?),
            }
        };
        let table = self.table_changes();
        let selects = selector(kind, request.labels.clone(), request.fields.clone());
        let (row, hub) = (kind.clone(), self.hub(kind));
        // Selectors speak of what is shown, not of what is stored.
        let selects = move |stored: &Object| match presented(&row, &hub, stored) {
            None => selects(stored),
            Some(shown) => selects(&shown),
        };
        let filter = Filter {
            namespace: scope(kind, namespace, &request.fields),
            name: request.fields.required("metadata.name").map(Into::into),
            selects: (!request.labels.is_everything() || !request.fields.is_everything())
                .then(|| Arc::new(selects) as _),
        };
        let resource = self.hub(kind).group_resource();
        let inner = Watch::open(self.store.clone(), resource, filter, start).map_err(watch_status)?;
        let of_metadata = |field: &str| matches!(field, "metadata.name" | "metadata.namespace");
        let by_fields = request.fields.0.iter().any(|term| !of_metadata(&term.field));
        Ok(Watching { registry: self.clone(), kind: kind.clone(), inner, table, by_fields })
    }
}
