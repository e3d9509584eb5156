//! Watching a collection in the version that a kind serves.

use std::sync::Arc;

use kernel_watch::{Filter, Item, Start, Watch, WatchError};
use sdk_api::{Object, Status};
use sdk_plugin::Kind;

use crate::options::WatchRequest;
use crate::read::{check_fields, scope, selector};
use crate::registry::{Registry, store_status};

/// One thing a watch tells.
#[derive(Clone, Debug)]
pub enum WatchItem {
    Added(Arc<Object>),
    Modified(Arc<Object>),
    Deleted(Arc<Object>),
    /// The present state has been told.
    InitialEnd(u64),
}

/// An open watch.
pub struct Watching {
    registry: Arc<Registry>,
    kind: Arc<Kind>,
    inner: Watch,
}

impl Watching {
    /// The next thing to tell. After an error nothing more comes. Cancel safe.
    pub async fn next(&mut self) -> Result<WatchItem, Status> {
        let item = self.inner.next().await.map_err(watch_status)?;
        let present = |object: &Arc<Object>| self.registry.present(&self.kind, object);
        Ok(match item {
            Item::Added(object) => WatchItem::Added(present(&object)),
            Item::Modified(object) => WatchItem::Modified(present(&object)),
            Item::Deleted(object) => WatchItem::Deleted(present(&object)),
            Item::InitialEnd(revision) => WatchItem::InitialEnd(revision),
        })
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
        let filter = Filter {
            namespace: scope(kind, namespace, &request.fields),
            name: request.fields.required("metadata.name").map(Into::into),
            selects: (!request.labels.is_everything() || !request.fields.is_everything())
                .then(|| Arc::new(selector(kind, request.labels.clone(), request.fields.clone())) as _),
        };
        let resource = self.table.hub(kind).group_resource();
        let inner = Watch::open(self.store.clone(), resource, filter, start).map_err(watch_status)?;
        Ok(Watching { registry: self.clone(), kind: kind.clone(), inner })
    }
}
