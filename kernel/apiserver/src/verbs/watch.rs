//! Watch streams: events as the client wants them, bookmarks, and an end that is clean.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use http::{HeaderValue, Response, header};
use kernel_registry::{WatchItem, Watching};
use kernel_wire::{Offer, protobuf, render_frame, watch_frame};
use sdk_api::{Object, Status};
use sdk_plugin::Kind;
use serde_json::json;

use crate::body::{Body, streamed};
use crate::metrics::Counted;
use crate::options::{self, Query};
use crate::respond::{Wish, shaped};
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::stall::Guard;
use crate::steps::flow::Watched;
use crate::verbs::frames::Which;
use crate::verbs::network::wish;
use crate::verbs::{not_allowed, scope_of};

/// How much is put into one chunk while more is ready, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

pub async fn run(server: &Arc<ApiServer>, kind: &Arc<Kind>, arrived: &Arrived) -> Result<Response<Body>, Status> {
    if !kind.verbs.contains(&"watch") || !arrived.info.subresource.is_empty() {
        return Err(not_allowed());
    }
    let query = Query(&arrived.query);
    let offer = if protobuf::speaks(&kind.gvk) { &Offer::WATCH } else { &Offer::CUSTOM_WATCH };
    let wish = wish(arrived, offer)?;
    let (request, bookmarks) = options::watch(query)?;
    let initial_bookmark = bookmarks && query.has("sendInitialEvents");
    let least = server.settings.watch_timeout;
    let timeout = match options::timeout_seconds(query)? {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds),
        // Spread, so that the clients of one server do not all come back at once.
        _ => least + least.mul_f64(fraction(&server.registry.new_uid())),
    };
    let watching = server.registry.watch(kind, scope_of(kind, &arrived.info), &request).await?;
    let state = Telling {
        deadline: server.clock().monotonic() + timeout,
        server: server.clone(),
        kind: kind.clone(),
        watching,
        wish,
        bookmarks,
        initial_bookmark: initial_bookmark || (bookmarks && request.initial_events),
        with_header: true,
        over: false,
        guard: server.watchdog.guard(arrived.connection.clone()),
        _counted: server.metrics.open_stream(),
        _watched: server.watchers.open(
            &arrived.info.group,
            &arrived.info.resource,
            scope_of(kind, &arrived.info),
            &arrived.info.name,
        ),
    };
    let mut response = Response::new(streamed(frames(state)));
    if let Ok(value) = HeaderValue::from_str(&wish.media_type.of_watch()) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// A fraction below one, from the random part of a uid.
fn fraction(uid: &str) -> f64 {
    let digits = u32::from_str_radix(&uid[..8], 16).unwrap_or(0);
    f64::from(digits) / (f64::from(u32::MAX) + 1.0)
}

struct Telling {
    server: Arc<ApiServer>,
    kind: Arc<Kind>,
    watching: Watching,
    wish: Wish,
    deadline: Duration,
    bookmarks: bool,
    /// A bookmark marks the end of the present state.
    initial_bookmark: bool,
    /// Tables say their columns once.
    with_header: bool,
    over: bool,
    guard: Guard,
    _counted: Counted,
    _watched: Watched,
}

fn frames(state: Telling) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(state, |mut state| async move {
        if state.over {
            return None;
        }
        state.guard.taken();
        let chunk = state.chunk().await?;
        state.guard.sent();
        Some((chunk, state))
    })
}

impl Telling {
    /// The next bytes; `None` ends the stream cleanly.
    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            let clock = self.server.clock().clone();
            let left = self.deadline.checked_sub(clock.monotonic()).filter(|left| !left.is_zero())?;
            let every = self.server.settings.bookmark_every;
            let pause = if self.bookmarks { left.min(every) } else { left };
            let next = tokio::select! {
                biased;
                () = self.server.stop.cancelled() => return None,
                item = self.watching.next() => Some(item),
                () = clock.sleep(pause) => None,
            };
            let first = match next {
                None if self.bookmarks => self.bookmark_now(),
                None => None,
                Some(item) => self.tell(item),
            };
            if self.over || !self.watching.has_ready() {
                match first {
                    None if !self.over => continue,
                    last => return last,
                }
            }
            // More is ready: one chunk for all of it.
            let mut out = BytesMut::from(first.unwrap_or_default());
            while !self.over && out.len() < CHUNK_BYTES && self.watching.has_ready() {
                let item = self.watching.next().await;
                out.extend_from_slice(&self.tell(item).unwrap_or_default());
            }
            if self.over || !out.is_empty() {
                return (!out.is_empty()).then(|| out.freeze());
            }
        }
    }

    /// The frame of an item, if it is told at all.
    fn tell(&mut self, item: Result<WatchItem, Status>) -> Option<Bytes> {
        Some(match item {
            Ok(WatchItem::Added(object)) => self.event("ADDED", &object),
            Ok(WatchItem::Modified(object)) => self.event("MODIFIED", &object),
            Ok(WatchItem::Deleted(object)) => self.event("DELETED", &object),
            Ok(WatchItem::InitialEnd(revision)) if self.initial_bookmark => self.bookmark(revision, true),
            Ok(WatchItem::InitialEnd(_)) => return None,
            Ok(WatchItem::End) => {
                self.over = true;
                return None;
            }
            Err(status) => self.end(&status),
        })
    }

    fn event(&mut self, what: &'static str, object: &Arc<Object>) -> Bytes {
        let media_type = self.wish.media_type;
        // Tables differ by their header and by the time.
        let shared = media_type.transform.is_none_or(|transform| transform.kind != "Table").then(|| Which {
            revision: object.revision(),
            event: what,
            kind: self.kind.clone(),
            media_type,
        });
        if let Some(known) = shared.as_ref().and_then(|which| self.server.frames.get(which)) {
            return known;
        }
        let shape = shaped(&self.kind, object, &self.wish, self.server.clock().now(), self.with_header);
        self.with_header = false;
        let frame = self.frame(what, &shape);
        if let Some(which) = shared.filter(|_| !self.over) {
            self.server.frames.put(which, &frame);
        }
        frame
    }

    /// One event in the agreed format; what cannot be written ends the stream instead of being skipped.
    fn frame(&mut self, what: &str, json: &[u8]) -> Bytes {
        render_frame(what, json, &self.wish.media_type).unwrap_or_else(|error| {
            tracing::error!(%error, kind = %self.kind.gvk.kind, "An event could not be written as asked.");
            self.end(&Status::internal("the event could not be written"))
        })
    }

    /// The last event of a stream that failed.
    fn end(&mut self, status: &Status) -> Bytes {
        self.over = true;
        let json = status.to_json().to_string();
        render_frame("ERROR", json.as_bytes(), &self.wish.media_type)
            .unwrap_or_else(|_| watch_frame("ERROR", json.as_bytes()))
    }

    fn bookmark_now(&mut self) -> Option<Bytes> {
        match self.watching.bookmark() {
            Ok(revision) => revision.map(|revision| self.bookmark(revision, false)),
            Err(status) => Some(self.end(&status)),
        }
    }

    fn bookmark(&mut self, revision: u64, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": self.kind.gvk.kind, "apiVersion": self.kind.gvk.group_version().to_string(), "metadata": metadata,
        });
        let object = match self.wish.media_type.transform {
            None => object,
            Some(transform) if transform.kind == "Table" => json!({
                "kind": "Table", "apiVersion": format!("{}/{}", transform.group, transform.version),
                "metadata": metadata_of_table(&object), "columnDefinitions": [],
                "rows": [{"cells": [], "object": object}],
            }),
            Some(transform) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("{}/{}", transform.group, transform.version),
                "metadata": object["metadata"],
            }),
        };
        self.frame("BOOKMARK", object.to_string().as_bytes())
    }
}

fn metadata_of_table(object: &serde_json::Value) -> serde_json::Value {
    json!({"resourceVersion": object["metadata"]["resourceVersion"]})
}
