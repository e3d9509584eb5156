//! The API in process: the same steps and verbs as over the network, with shared objects instead of bytes.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use http::HeaderMap;
use kernel_registry::{
    Caller, Change, DeleteRequest, FieldValidation, ListRequest, PatchFormat, Warnings, WatchItem, WatchRequest,
};
use sdk_api::{FieldSelector, LabelSelector, Object, Status};
use sdk_client::{
    Client, Clients, DeleteOptions, ListOptions, ObjectList, Patch, PatchKind, Request, Subject, Target, Transport,
    Verb, WatchEvent, WatchOptions, WatchStream,
};
use sdk_plugin::Kind;

use crate::info::RequestInfo;
use crate::respond::Outcome;
use crate::server::ApiServer;
use crate::spine::pass;
use crate::steps::audit;
use crate::steps::flow::{Classified, Listing};
use crate::verbs::{self, Operation, scope_of};

/// Makes clients of this server for any identity.
#[derive(Clone)]
pub struct LocalClients {
    server: Arc<ApiServer>,
}

impl LocalClients {
    pub fn new(server: Arc<ApiServer>) -> Self {
        Self { server }
    }
}

impl Clients for LocalClients {
    fn client(&self, subject: &Subject) -> Client {
        Client::new(Arc::new(LocalTransport { server: self.server.clone(), subject: subject.clone() }))
    }
}

struct LocalTransport {
    server: Arc<ApiServer>,
    subject: Subject,
}

impl LocalTransport {
    fn kind(&self, target: &Target) -> Result<Arc<Kind>, Status> {
        let table = self.server.registry().table();
        let by_version =
            |version: &String| table.by_path(target.resource.group(), version, target.resource.resource()).cloned();
        let unversioned = || {
            let answered = || table.rows().iter().find(|kind| kind.group_resource() == target.resource).cloned();
            table.stored(&target.resource).cloned().or_else(answered)
        };
        target.version.as_ref().map_or_else(unversioned, by_version).ok_or_else(Status::no_such_path)
    }

    fn info(kind: &Kind, target: &Target, verb: &'static str) -> RequestInfo {
        let gvk = &kind.gvk;
        let mut path = if gvk.group.is_empty() {
            format!("/api/{}", gvk.version)
        } else {
            format!("/apis/{}/{}", gvk.group, gvk.version)
        };
        if !target.namespace.is_empty() {
            path += &format!("/namespaces/{}", target.namespace);
        }
        path += &format!("/{}", kind.plural);
        for part in [&target.name, &target.subresource].into_iter().filter(|part| !part.is_empty()) {
            path += &format!("/{part}");
        }
        RequestInfo {
            is_resource: true,
            path,
            verb,
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            namespace: if gvk.group.is_empty() && kind.plural == "namespaces" {
                target.name.clone()
            } else {
                target.namespace.clone()
            },
            resource: kind.plural.to_string(),
            subresource: target.subresource.clone(),
            name: target.name.clone(),
            rest: String::new(),
        }
    }

    async fn run(&self, target: &Target, verb: &'static str, operation: Operation) -> Result<Outcome, Status> {
        let kind = self.kind(target)?;
        let info = Self::info(&kind, target, verb);
        let entry = audit::Entry::open(&self.server, self.server.registry().new_uid());
        let headers = HeaderMap::new();
        let (about, listing, classified) = (&info, listing_of(&operation), Classified::default());
        let work = pass(
            &self.server,
            self.subject.clone(),
            about,
            &headers,
            (listing, &classified),
            entry,
            |user| async move {
                let warnings = Warnings::default();
                let manager = verbs::manager::of_subject(&user);
                let caller = Caller {
                    user: &user,
                    warnings: &warnings,
                    dry_run: false,
                    field_validation: FieldValidation::Ignore,
                    manager: &manager,
                };
                let outcome = verbs::run(&self.server, &caller, about, &kind, operation).await?;
                Ok((200, outcome))
            },
        );
        // Boxed: the future of a write is large, and callers nest.
        Box::pin(work).await
    }
}

fn listing_of(operation: &Operation) -> Listing {
    let (Operation::List(list) | Operation::DeleteCollection(list, _)) = operation else { return Listing::default() };
    let selects = !list.labels.is_everything() || !list.fields.is_everything();
    Listing { limit: list.limit, selects, initial_events: false }
}

fn selectors(labels: &str, fields: &str) -> Result<(LabelSelector, FieldSelector), Status> {
    let labels = LabelSelector::parse(labels).map_err(Status::bad_request)?;
    let fields = FieldSelector::parse(fields).map_err(Status::bad_request)?;
    Ok((labels, fields))
}

fn list_request(options: ListOptions) -> Result<ListRequest, Status> {
    let (labels, fields) = selectors(&options.label_selector, &options.field_selector)?;
    Ok(ListRequest {
        labels,
        fields,
        limit: options.limit,
        continue_token: options.continue_token,
        revision: options.resource_version,
        revision_match: None,
    })
}

fn delete_request(options: DeleteOptions) -> DeleteRequest {
    DeleteRequest {
        grace_period_seconds: options.grace_period_seconds,
        uid: options.uid,
        revision: options.resource_version,
        propagation: options.propagation,
    }
}

fn patch_format(patch: Patch) -> PatchFormat {
    match patch.kind {
        PatchKind::Json => PatchFormat::Json(patch.body.to_string().into()),
        PatchKind::Merge => PatchFormat::Merge(patch.body),
        PatchKind::Strategic => PatchFormat::Strategic(patch.body),
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn call(&self, request: Request) -> Result<Option<Arc<Object>>, Status> {
        let missing = || Status::bad_request("the request brings no body");
        let (verb, operation) = match request.verb {
            Verb::Get => ("get", Operation::Get { revision: None }),
            Verb::List => ("list", Operation::List(list_request(request.list)?)),
            Verb::Create => ("create", Operation::Create(request.body.ok_or_else(missing)?.into())),
            Verb::Update => ("update", Operation::Update(Change::Replace(request.body.ok_or_else(missing)?.into()))),
            Verb::Patch => {
                ("patch", Operation::Update(Change::Patch(patch_format(request.patch.ok_or_else(missing)?))))
            }
            Verb::Delete => ("delete", Operation::Delete(delete_request(request.delete))),
            Verb::DeleteCollection => {
                let operation =
                    Operation::DeleteCollection(list_request(request.list)?, delete_request(request.delete));
                ("deletecollection", operation)
            }
        };
        match self.run(&request.target, verb, operation).await? {
            Outcome::Object { object, .. } => Ok(Some(object)),
            Outcome::Document { document, .. } if document["kind"] == "Status" => Ok(None),
            Outcome::Document { document, .. } => {
                Ok(Some(Arc::new(Object::from_tree(&request.target.resource, document))))
            }
            Outcome::Page(_) => Ok(None),
        }
    }

    async fn list(&self, target: Target, options: ListOptions) -> Result<ObjectList, Status> {
        match self.run(&target, "list", Operation::List(list_request(options)?)).await? {
            Outcome::Page(page) => {
                Ok(ObjectList { objects: page.objects, revision: page.revision, continue_token: page.continue_token })
            }
            _ => Err(Status::internal("a list answered no page")),
        }
    }

    async fn watch(&self, target: Target, options: WatchOptions) -> Result<WatchStream, Status> {
        let kind = self.kind(&target)?;
        let info = Self::info(&kind, &target, "watch");
        let (labels, fields) = selectors(&options.label_selector, &options.field_selector)?;
        let request = WatchRequest {
            labels,
            fields,
            revision: options.resource_version,
            initial_events: options.resource_version.is_none(),
        };
        let entry = audit::Entry::open(&self.server, self.server.registry().new_uid());
        let headers = HeaderMap::new();
        let server = self.server.clone();
        let scope = scope_of(&kind, &info).to_owned();
        let listing = Listing { initial_events: request.initial_events, ..Listing::default() };
        let classified = Classified::default();
        let watching = pass(
            &self.server,
            self.subject.clone(),
            &info,
            &headers,
            (listing, &classified),
            entry,
            |_user| async move { Ok((200, server.registry().watch(&kind, &scope, &request).await?)) },
        )
        .await?;
        let stop = self.server.stop.clone();
        let events = stream::unfold(Some((watching, stop)), |state| async move {
            let (mut watching, stop) = state?;
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                item = watching.next() => item,
            };
            match item {
                Ok(item) => event(item).map(|event| (Ok(event), Some((watching, stop)))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(events.boxed())
    }
}

/// `None` ends the stream.
fn event(item: WatchItem) -> Option<WatchEvent> {
    Some(match item {
        WatchItem::Added(object) => WatchEvent::Added(object),
        WatchItem::Modified(object) => WatchEvent::Modified(object),
        WatchItem::Deleted(object) => WatchEvent::Deleted(object),
        WatchItem::InitialEnd(revision) => WatchEvent::Bookmark { revision, initial_end: true },
        WatchItem::End => return None,
    })
}
