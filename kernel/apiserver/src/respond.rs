//! Answers: objects, lists, tables and partial metadata, in the format that was agreed on.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use kernel_registry::{ObjectPage, table_header, table_row};
use kernel_wire::{
    Format, GZIP_BYTES_MIN, ListHead, MediaType, Transform, WireError, gzip, list_chunks, render, render_list,
};
use sdk_api::{Object, Status, Timestamp};
use sdk_plugin::Kind;
use serde_json::{Value, json};

use crate::body::{Body, streamed, whole};

/// What a verb found or did.
pub enum Outcome {
    /// One object, with the HTTP status to say it with.
    Object {
        code: u16,
        object: Arc<Object>,
    },
    /// A document that is no stored object.
    Document {
        code: u16,
        document: Value,
    },
    Page(ObjectPage),
}

/// How the client wants its answer.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub media_type: MediaType,
    pub gzip: bool,
    /// How much of the object a Table row carries.
    pub include: IncludeObject,
}

/// Source: the `includeObject` parameter of Tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    pub fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "includeObject: unknown value {other:?}, one of \"None\", \"Metadata\", \"Object\" is supported"
            ))),
        }
    }
}

fn is_table(transform: Option<Transform>) -> bool {
    transform.is_some_and(|transform| transform.kind == "Table")
}

/// A table of objects. `with_header` is false for later events of a watch.
pub fn table(kind: &Kind, objects: &[Arc<Object>], include: IncludeObject, now: Timestamp, with_header: bool) -> Value {
    let row = |object: &Arc<Object>| {
        let mut row = json!({"cells": table_row(kind, object, now)});
        match include {
            IncludeObject::None => {}
            IncludeObject::Metadata => row["object"] = partial(object),
            IncludeObject::Object => row["object"] = Value::clone(&object.document()),
        }
        row
    };
    let header = if with_header { table_header(kind) } else { Vec::new() };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": header, "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

/// The metadata of an object alone.
pub fn partial(object: &Object) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.document()["metadata"]})
}

/// The shape that the client asked for, of one object: JSON bytes.
pub fn shaped(kind: &Kind, object: &Arc<Object>, wish: &Wish, now: Timestamp, with_header: bool) -> Bytes {
    match wish.media_type.transform {
        None => object.raw().clone(),
        Some(transform) => {
            let mut document = if is_table(Some(transform)) {
                let mut table = table(kind, std::slice::from_ref(object), wish.include, now, with_header);
                table["metadata"]["resourceVersion"] = object.revision().to_string().into();
                table
            } else {
                partial(object)
            };
            document["apiVersion"] = format!("{}/{}", transform.group, transform.version).into();
            document.to_string().into()
        }
    }
}

fn shaped_page(kind: &Kind, page: &ObjectPage, wish: &Wish, now: Timestamp) -> Result<Bytes, WireError> {
    let revision = page.revision.to_string();
    let Some(transform) = wish.media_type.transform else {
        let api_version = kind.gvk.group_version().to_string();
        let head = ListHead {
            api_version: &api_version,
            kind: &kind.list_kind,
            resource_version: &revision,
            continue_token: &page.continue_token,
            remaining: page.remaining.map(|count| count as u64),
        };
        return render_list(&head, page.objects.iter().map(|object| object.raw()), &wish.media_type);
    };
    let mut metadata = json!({"resourceVersion": revision});
    if !page.continue_token.is_empty() {
        metadata["continue"] = page.continue_token.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    let mut document = if is_table(Some(transform)) {
        table(kind, &page.objects, wish.include, now, true)
    } else {
        let items: Vec<_> = page.objects.iter().map(|object| partial(object)).collect();
        json!({"kind": "PartialObjectMetadataList", "items": items})
    };
    document["apiVersion"] = format!("{}/{}", transform.group, transform.version).into();
    document["metadata"] = metadata;
    render(document.to_string().into(), &wish.media_type)
}

/// The response to an outcome.
pub fn respond(kind: &Kind, outcome: Outcome, wish: &Wish, now: Timestamp) -> Response<Body> {
    if let Some(refused) = wrong_shape(&outcome, wish) {
        return failure(&refused);
    }
    match outcome {
        Outcome::Object { code, object } => answer(code, shaped(kind, &object, wish, now, true), wish),
        Outcome::Document { code, document } => answer(code, document.to_string().into(), wish),
        Outcome::Page(page) if goes_in_chunks(&page, wish) => chunked(kind, page, wish),
        Outcome::Page(page) => written(200, shaped_page(kind, &page, wish, now), wish),
    }
}

/// Metadata alone is asked for under other names of one object and of many. Source: `asPartialObjectMetadata`.
fn wrong_shape(outcome: &Outcome, wish: &Wish) -> Option<Status> {
    let (asked, words) = match (wish.media_type.transform?.kind, outcome) {
        (asked @ "PartialObjectMetadata", Outcome::Page(_)) => (asked, "is a list"),
        (asked @ "PartialObjectMetadataList", Outcome::Object { .. }) => (asked, "is not a list"),
        _ => return None,
    };
    Some(Status::not_acceptable(format!("you requested {asked}, but the requested object {words}")))
}

/// Long lists of plain JSON are sent while they are put together.
fn goes_in_chunks(page: &ObjectPage, wish: &Wish) -> bool {
    let media_type = &wish.media_type;
    let plain = media_type.format == Format::Json && media_type.transform.is_none() && !media_type.pretty;
    // Stops as soon as it knows: the objects of a long list are not in the processor's cache.
    let mut bytes = page.objects.iter().scan(0, |bytes, object| {
        *bytes += object.raw().len();
        Some(*bytes)
    });
    plain && !wish.gzip && bytes.any(|bytes| bytes >= GZIP_BYTES_MIN)
}

fn chunked(kind: &Kind, page: ObjectPage, wish: &Wish) -> Response<Body> {
    let (api_version, revision) = (kind.gvk.group_version().to_string(), page.revision.to_string());
    let head = ListHead {
        api_version: &api_version,
        kind: &kind.list_kind,
        resource_version: &revision,
        continue_token: &page.continue_token,
        remaining: page.remaining.map(|count| count as u64),
    };
    struct Raw(Arc<Object>);
    impl AsRef<[u8]> for Raw {
        fn as_ref(&self) -> &[u8] {
            self.0.raw()
        }
    }
    let items = page.objects.into_iter().map(Raw);
    let chunks = futures::stream::iter(list_chunks(&head, items));
    headed(200, streamed(chunks), wish)
}

/// JSON bytes in the agreed format.
pub fn answer(code: u16, json: Bytes, wish: &Wish) -> Response<Body> {
    written(code, render(json, &wish.media_type), wish)
}

/// Bytes in the agreed format.
fn written(code: u16, bytes: Result<Bytes, WireError>, wish: &Wish) -> Response<Body> {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(%error, "An answer could not be rendered.");
            return failure(&Status::internal("the answer could not be rendered"));
        }
    };
    let packs = wish.gzip && bytes.len() >= GZIP_BYTES_MIN;
    let mut response = headed(code, whole(if packs { gzip(&bytes) } else { bytes }), wish);
    if packs {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A response with the headers of every answer in an agreed format.
fn headed(code: u16, body: Body, wish: &Wish) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_str(&wish.media_type.to_string());
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/json")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// The response to a failure: always JSON, which every client reads.
pub fn failure(status: &Status) -> Response<Body> {
    let mut response = Response::new(whole(status.to_json().to_string()));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Some(seconds) = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|seconds| *seconds > 0) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Plain text, as health and metrics answer.
pub fn text(code: u16, content_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The `Status` of a success, as deletions of most kinds answer.
pub fn success(object: &Object, kind: &Kind) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": object.name(), "group": kind.gvk.group, "kind": kind.plural, "uid": object.uid()},
    })
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
