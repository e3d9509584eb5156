//! Requests from the network: from path, query and body to an operation, and back to a response.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use kernel_registry::{ApplyPatch, Caller, Change, Input, PatchFormat, Warnings};
use kernel_wire::{ContentType, Identity, Offer, PatchType, accepts_gzip, decode, decode_object, negotiate, protobuf};
use sdk_api::{GroupVersionKind, Status};
use sdk_client::Subject;
use sdk_plugin::{Kind, Served};
use serde_json::Value;

use crate::body::Body;
use crate::options::{self, Query};
use crate::respond::{IncludeObject, Wish, respond};
use crate::server::ApiServer;
use crate::spine::Arrived;
use crate::verbs::{self, Operation, body_kind, connect, manager, not_allowed, paths, watch};

pub fn header<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// How the client wants its answer.
pub fn wish(arrived: &Arrived, offer: &Offer) -> Result<Wish, Status> {
    let query = Query(&arrived.query);
    let mut media_type = negotiate(header(&arrived.headers, &header::ACCEPT), offer)?;
    media_type.pretty |= query.flag("pretty");
    let gzip = accepts_gzip(header(&arrived.headers, &header::ACCEPT_ENCODING));
    Ok(Wish { media_type, gzip, include: IncludeObject::parse(query.get("includeObject"))? })
}

/// Answers a request whose user may make it.
pub async fn run(
    server: &Arc<ApiServer>,
    user: &Subject,
    arrived: Arrived,
    warnings: &Warnings,
) -> Result<Response<Body>, Status> {
    if !arrived.info.is_resource {
        return paths::run(server, &arrived);
    }
    let kind = verbs::kind_of(server, &arrived.info)?;
    if let Some(words) = &kind.deprecated {
        warnings.add(words.to_string());
    }
    if let Some(Served::Connect(what)) = kind.subresource(&arrived.info.subresource) {
        return connect::run(server, user, &kind, *what, arrived).await;
    }
    if arrived.info.verb == "watch" {
        return watch::run(server, &kind, &arrived).await;
    }
    let info = arrived.info.clone();
    let offer = match protobuf::speaks(&kind.gvk) {
        false => &Offer::CUSTOM_OBJECTS,
        true if kind.answer.is_some() => &Offer::ANSWERS,
        true => &Offer::OBJECTS,
    };
    let wish = wish(&arrived, offer)?;
    let field_validation = options::field_validation(Query(&arrived.query), info.verb)?;
    let user_agent = header(&arrived.headers, &header::USER_AGENT).unwrap_or_default();
    let manager = match info.verb {
        "create" | "update" | "patch" => {
            manager::of_request(Query(&arrived.query), user_agent, options::options_of(info.verb))?
        }
        _ => String::new(),
    };
    let (operation, dry_run) = operation(server, &kind, arrived).await?;
    let caller = Caller { user, warnings, dry_run, field_validation, manager: &manager };
    let outcome = verbs::run(server, &caller, &info, &kind, operation).await?;
    Ok(respond(&kind, outcome, &wish, server.clock().now()))
}

/// What is asked for, and whether it is a dry run.
async fn operation(server: &ApiServer, kind: &Kind, arrived: Arrived) -> Result<(Operation, bool), Status> {
    let Arrived { info, query, headers, body, .. } = arrived;
    let query = Query(&query);
    let read = async || body.read(server.settings.body_bytes_max).await;
    let gvk = body_kind(kind, &info.subresource);
    let content_type = header(&headers, &header::CONTENT_TYPE);
    let operation = match info.verb {
        "get" => Operation::Get { revision: options::list(Query(&only(query, "resourceVersion")))?.revision },
        "list" => Operation::List(options::list(query)?),
        "create" => Operation::Create(object(server, &read().await?, content_type, &gvk)?),
        "update" => Operation::Update(Change::Replace(object(server, &read().await?, content_type, &gvk)?)),
        "patch" => {
            let strategic = protobuf::speaks(&kind.gvk);
            Operation::Update(Change::Patch(patch(read().await?, content_type, query, strategic)?))
        }
        "delete" | "deletecollection" => {
            let bytes = read().await?;
            let body = delete_options(&bytes, content_type)?;
            let (request, dry_run) = options::delete(query, body.as_ref())?;
            let operation = match info.verb {
                "delete" => Operation::Delete(request),
                _ => Operation::DeleteCollection(options::list(query)?, request),
            };
            return Ok((operation, dry_run));
        }
        _ => return Err(not_allowed()),
    };
    Ok((operation, options::dry_run(query, info.verb)?))
}

fn only(query: Query<'_>, name: &str) -> Vec<(String, String)> {
    query.0.iter().filter(|(key, _)| key == name).cloned().collect()
}

fn object(
    server: &ApiServer,
    bytes: &Bytes,
    content_type: Option<&str>,
    gvk: &GroupVersionKind,
) -> Result<Input, Status> {
    let encoding = match protobuf::speaks(gvk) {
        true => ContentType::of_body(content_type)?,
        false => ContentType::of_custom_body(content_type)?,
    };
    let decoded = decode_object(bytes, encoding, gvk).map_err(|error| error.status(&gvk.kind, bytes))?;
    let identity = Identity::of(&decoded.value, gvk, bytes)?;
    if server.registry.table().by_kind(&identity.gvk).is_none() {
        identity.expect(gvk)?;
    }
    Ok(Input { tree: decoded.value, duplicates: decoded.duplicates })
}

fn patch(bytes: Bytes, content_type: Option<&str>, query: Query<'_>, strategic: bool) -> Result<PatchFormat, Status> {
    let (encoding, kind) = ContentType::of_patch(content_type, strategic)?;
    let force = options::force(query, kind == PatchType::Apply)?;
    let tree = || decode(&bytes, encoding).map(|decoded| decoded.value).map_err(|error| error.patch_status());
    match kind {
        PatchType::Json => Ok(PatchFormat::Json(bytes)),
        PatchType::Merge => Ok(PatchFormat::Merge(tree()?)),
        PatchType::StrategicMerge => Ok(PatchFormat::Strategic(tree()?)),
        PatchType::Apply => Ok(PatchFormat::Apply(configuration(&bytes, force)?)),
    }
}

/// The configuration of an apply: YAML, which JSON is too.
fn configuration(bytes: &[u8], force: bool) -> Result<ApplyPatch, Status> {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    let as_json = is_json.then(|| decode(bytes, ContentType::Json).ok()).flatten();
    let decoded = as_json.map_or_else(|| decode(bytes, ContentType::Yaml), Ok);
    let decoded = decoded.map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    Ok(ApplyPatch { config: decoded.value, force, duplicates: decoded.duplicates })
}

/// The options in the body of a deletion, if it has one.
fn delete_options(bytes: &Bytes, content_type: Option<&str>) -> Result<Option<Value>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let options = GroupVersionKind::new("", "v1", "DeleteOptions");
    let decoded = decode_object(bytes, ContentType::of_body(content_type)?, &options)
        .map_err(|error| error.status(&options.kind, bytes))?;
    Ok(decoded.value.is_object().then_some(decoded.value))
}
