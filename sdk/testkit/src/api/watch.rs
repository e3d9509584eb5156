//! Watches on the server in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use sdk_api::{GroupResource, Status};
use sdk_client::{Target, WatchEvent, WatchOptions, WatchStream};

use super::FakeApi;
use super::state::{Change, Selection, State};

/// Where one watch stands.
struct Reader {
    api: FakeApi,
    resource: GroupResource,
    selection: Selection,
    /// Everything up to this revision has been looked at.
    seen: u64,
    ended: u64,
    bookmarks: u64,
    ready: VecDeque<Result<WatchEvent, Status>>,
    is_over: bool,
    wake: tokio::sync::watch::Receiver<u64>,
}

pub(super) fn open(api: &FakeApi, target: Target, options: WatchOptions) -> Result<WatchStream, Status> {
    let selection = Selection::new(&target.namespace, &options.label_selector, &options.field_selector)?;
    let state = api.state();
    let resource = target.resource;
    let mut ready = VecDeque::new();
    let seen = match options.resource_version {
        Some(revision) if revision < state.floor => {
            ready.push_back(Err(Status::expired(format!("too old resource version: {revision} ({})", state.floor))));
            revision
        }
        Some(revision) => revision,
        None => {
            let present = state.list(&resource, "").filter(|object| selection.takes(object));
            ready.extend(present.cloned().map(|object| Ok(WatchEvent::Added(object))));
            ready.push_back(Ok(WatchEvent::Bookmark { revision: state.revision, initial_end: true }));
            state.revision
        }
    };
    let reader = Reader {
        ended: state.ended.get(&resource).map_or(0, |(turn, _)| *turn),
        bookmarks: state.bookmarks.get(&resource).copied().unwrap_or(0),
        api: api.clone(),
        resource,
        selection,
        seen,
        ready,
        is_over: false,
        wake: api.inner.wake.subscribe(),
    };
    drop(state);
    Ok(Box::pin(futures::stream::unfold(reader, |mut reader| async move {
        let item = reader.next().await?;
        Some((item, reader))
    })))
}

impl Reader {
    async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.is_over |= item.is_err();
                return Some(item);
            }
            if self.is_over {
                return None;
            }
            self.wake.mark_unchanged();
            let api = self.api.clone();
            self.read(&api.state());
            if self.ready.is_empty() && !self.is_over && self.wake.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Takes in what happened since.
    fn read(&mut self, state: &State) {
        if state.frozen.contains(&self.resource) {
            return;
        }
        if let Some((turn, how)) = state.ended.get(&self.resource).filter(|(turn, _)| *turn > self.ended) {
            self.ended = *turn;
            self.is_over = true;
            self.ready.extend(how.clone().map(Err));
            return;
        }
        let start = state.history.partition_point(|change| change.revision <= self.seen);
        for change in &state.history[start..] {
            self.seen = change.revision;
            self.ready.extend(self.event(change).map(Ok));
        }
        let bookmarks = state.bookmarks.get(&self.resource).copied().unwrap_or(0);
        if bookmarks > self.bookmarks {
            self.bookmarks = bookmarks;
            self.seen = self.seen.max(state.revision);
            self.ready.push_back(Ok(WatchEvent::Bookmark { revision: state.revision, initial_end: false }));
        }
    }

    /// What a change means to this watch: objects enter and leave the selection.
    fn event(&self, change: &Change) -> Option<WatchEvent> {
        if change.new.key().resource != self.resource {
            return None;
        }
        let before = change.old.as_ref().is_some_and(|old| self.selection.takes(old));
        let after = !change.deleted && self.selection.takes(&change.new);
        let object = Arc::clone(&change.new);
        match (before, after) {
            (false, true) => Some(WatchEvent::Added(object)),
            (true, true) => Some(WatchEvent::Modified(object)),
            (true, false) => Some(WatchEvent::Deleted(object)),
            (false, false) => None,
        }
    }
}
