//! The verbs: one operation on one kind, whoever asked for it and however it came.

pub mod backing;
pub mod connect;
pub mod forward;
pub mod frames;
pub mod made_up;
pub mod manager;
pub mod network;
pub mod openapi;
pub mod paths;
pub mod proxy;
pub mod rewrite;
pub mod watch;

use std::sync::Arc;

use kernel_registry::{Caller, Change, DeleteRequest, Input, ListRequest, PatchFormat};
use sdk_api::{GroupVersionKind, Reason, Status};
use sdk_plugin::{Call, Kind, Served};

use crate::info::RequestInfo;
use crate::respond::{Outcome, success};
use crate::server::ApiServer;
use crate::steps::authorize;

/// What is to be done.
pub enum Operation {
    Get { revision: Option<u64> },
    List(ListRequest),
    Create(Input),
    Update(Change),
    Delete(DeleteRequest),
    DeleteCollection(ListRequest, DeleteRequest),
}

/// The row that a request is about.
pub fn kind_of(server: &ApiServer, info: &RequestInfo) -> Result<Arc<Kind>, Status> {
    let table = server.registry.table();
    let kind = table.by_path(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
    if !info.subresource.is_empty() && kind.subresource(&info.subresource).is_none() {
        return Err(Status::no_such_path());
    }
    let needs_namespace = kind.is_namespaced() && info.namespace.is_empty() && !matches!(info.verb, "list" | "watch");
    if needs_namespace || (!kind.is_namespaced() && !info.namespace.is_empty() && info.resource != "namespaces") {
        return Err(Status::no_such_path());
    }
    Ok(kind.clone())
}

pub fn not_allowed() -> Status {
    Status::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}

/// The kind of the body that a request brings.
pub fn body_kind(kind: &Kind, subresource: &str) -> GroupVersionKind {
    match kind.subresource(subresource) {
        Some(Served::Part(part)) => part.kind().unwrap_or_else(|| kind.gvk.clone()),
        Some(Served::Scale(_)) => GroupVersionKind::new("autoscaling", "v1", "Scale"),
        Some(Served::Action(action)) => action.kind(),
        Some(Served::Connect(_)) | None => kind.gvk.clone(),
    }
}

/// Does it.
pub async fn run(
    server: &Arc<ApiServer>,
    caller: &Caller<'_>,
    info: &RequestInfo,
    kind: &Arc<Kind>,
    operation: Operation,
) -> Result<Outcome, Status> {
    let registry = &server.registry;
    let (namespace, name, subresource) = (scope_of(kind, info), info.name.as_str(), info.subresource.as_str());
    // A collection cannot be replaced or patched.
    let is_of_one = matches!(info.verb, "update" | "patch");
    if (subresource.is_empty() && !kind.verbs.contains(&info.verb)) || (is_of_one && name.is_empty()) {
        return Err(not_allowed());
    }
    match operation {
        Operation::Get { .. } if kind.answer.is_some() => {
            let object = made_up::get(server, caller, kind, &info.name).await?;
            Ok(Outcome::Object { code: 200, object })
        }
        Operation::List(request) if kind.answer.is_some() => {
            Ok(Outcome::Page(made_up::list(server, caller, kind, &request).await?))
        }
        Operation::Get { revision } => {
            let object = registry.get(kind, namespace, name, subresource, revision).await?;
            Ok(Outcome::Object { code: 200, object })
        }
        Operation::List(request) => Ok(Outcome::Page(registry.list(kind, namespace, &request).await?)),
        Operation::Create(input) => create(server, caller, info, kind, input).await,
        Operation::Update(change) => {
            let creates = matches!(&change, Change::Patch(PatchFormat::Apply(_)));
            if creates && subresource.is_empty() && !registry.exists(kind, namespace, name).await? {
                let info = RequestInfo { verb: "create", ..info.clone() };
                authorize::authorize(server, caller.user, &info).await?;
            }
            let updated = registry.update(caller, kind, (namespace, name, subresource), change).await?;
            Ok(Outcome::Object { code: if updated.created { 201 } else { 200 }, object: updated.object })
        }
        Operation::Delete(request) => {
            if !subresource.is_empty() {
                return Err(not_allowed());
            }
            let deletion = registry.delete(caller, kind, namespace, name, &request).await?;
            if deletion.gone && kind.delete_answers_status {
                return Ok(Outcome::Document { code: 200, document: success(&deletion.object, kind) });
            }
            Ok(Outcome::Object { code: 200, object: deletion.object })
        }
        Operation::DeleteCollection(list, request) => {
            let (revision, objects) = registry.delete_collection(caller, kind, namespace, &list, &request).await?;
            let page =
                kernel_registry::ObjectPage { revision, objects, continue_token: String::new(), remaining: None };
            Ok(Outcome::Page(page))
        }
    }
}

/// The namespace of a request; empty for cluster-scoped kinds, of which `namespaces` names one in its path.
pub fn scope_of<'a>(kind: &Kind, info: &'a RequestInfo) -> &'a str {
    if kind.is_namespaced() { &info.namespace } else { "" }
}

async fn create(
    server: &Arc<ApiServer>,
    caller: &Caller<'_>,
    info: &RequestInfo,
    kind: &Arc<Kind>,
    input: Input,
) -> Result<Outcome, Status> {
    let (registry, namespace) = (&server.registry, scope_of(kind, info));
    let backing = backing::Backing { server, caller, subresource: &info.subresource };
    let call = |body| Call { user: caller.user, namespace, body, dry_run: caller.dry_run, server: &backing };
    if info.subresource.is_empty() {
        if !info.name.is_empty() {
            return Err(not_allowed());
        }
        let Some(answer) = &kind.answer else {
            let object = registry.create(caller, kind, namespace, input).await?;
            return Ok(Outcome::Object { code: 201, object });
        };
        let body = registry.decode(caller, &kind.gvk, &kind.gvk.kind, input)?;
        return Ok(Outcome::Document { code: 201, document: answer.create(call(body)).await? });
    }
    let Some(Served::Action(action)) = kind.subresource(&info.subresource) else { return Err(not_allowed()) };
    let gvk = action.kind();
    let body = registry.decode(caller, &gvk, &gvk.kind, input)?;
    let parent = registry.get(kind, namespace, &info.name, "", None).await?;
    Ok(Outcome::Document { code: 201, document: action.run(call(body), parent).await? })
}
