//! Reading: one object, and pages of many.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel_store::{Error, ListQuery};
use sdk_api::{FieldSelector, LabelSelector, Object, Status};
use sdk_plugin::{Kind, Served};
use serde::{Deserialize, Serialize};

use crate::managed::shown_in_scale;
use crate::options::{ListRequest, RevisionMatch};
use crate::registry::{Registry, store_status};

/// How long a read waits for a revision that lies ahead. Source: the watch cache's `blockTimeout`.
const REVISION_WAIT: Duration = Duration::from_secs(3);

/// A page of a collection.
#[derive(Clone, Debug)]
pub struct ObjectPage {
    pub revision: u64,
    pub objects: Vec<Arc<Object>>,
    /// Empty on the last page.
    pub continue_token: String,
    /// How many follow, where it is known.
    pub remaining: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: u64,
    resource: String,
    namespace: String,
    name: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Registry {
    /// One object. `revision` as in the query parameter: unset is consistent, 0 is any, N is at least as new as N.
    pub async fn get(
        &self,
        kind: &Arc<Kind>,
        namespace: &str,
        name: &str,
        subresource: &str,
        revision: Option<u64>,
    ) -> Result<Arc<Object>, Status> {
        self.settle(revision).await?;
        let key = self.key(kind, namespace, name);
        let stored = self.store.get(&key).ok_or_else(|| Status::not_found(&kind.group_resource(), name))?;
        let object = self.present(kind, &stored);
        match subresource {
            "" => Ok(object),
            _ => self.present_part(kind, subresource, &object),
        }
    }

    /// A part of an object in the form in which it travels.
    pub(crate) fn present_part(
        &self,
        kind: &Kind,
        subresource: &str,
        object: &Arc<Object>,
    ) -> Result<Arc<Object>, Status> {
        let Some(part) = self.part(kind, subresource) else {
            return Err(Status::method_not_allowed(format!("{subresource} of {}", kind.plural)));
        };
        if part.kind().is_none() {
            return Ok(object.clone());
        }
        let document = object.document();
        let mut tree = part.read(&document)?;
        if let Some(list) = shown_in_scale(&*part, &document) {
            tree["metadata"]["managedFields"] = list;
        }
        Ok(Arc::new(Object::new(object.key().clone(), object.revision(), tree.to_string().into())))
    }

    /// The part that a subresource names, if it is one that is read and written.
    pub(crate) fn part(&self, kind: &Kind, subresource: &str) -> Option<Arc<dyn sdk_plugin::Part>> {
        match kind.subresource(subresource)? {
            Served::Part(part) => Some(part.clone()),
            Served::Scale(paths) => Some(Arc::new(crate::scale::ScalePart(*paths))),
            Served::Action(_) | Served::Connect(_) => None,
        }
    }

    /// Waits until reads may answer for `revision`.
    pub(crate) async fn settle(&self, revision: Option<u64>) -> Result<(), Status> {
        match revision {
            None => self.store.barrier().await.map(drop).map_err(store_status),
            Some(0) => Ok(()),
            Some(revision) => self.store.reach(revision, REVISION_WAIT).await.map_err(store_status),
        }
    }

    /// A page of a collection; `namespace` is empty for all.
    pub async fn list(&self, kind: &Arc<Kind>, namespace: &str, request: &ListRequest) -> Result<ObjectPage, Status> {
        check_fields(kind, &request.fields)?;
        let (token, at) = self.position(kind, namespace, request)?;
        self.settle(match (at, request.revision) {
            (Some(at), _) => Some(at),
            (None, revision) => revision,
        })
        .await?;
        let resource = self.hub(kind).group_resource();
        let mut query = ListQuery {
            resource,
            namespace: scope(kind, namespace, &request.fields),
            at,
            after: token.as_ref().map(|token| (token.namespace.as_str().into(), token.name.as_str().into())),
            limit: request.limit,
        };
        let selective = !request.labels.is_everything() || !request.fields.is_everything();
        if at.is_none()
            && token.is_none()
            && selective
            && let Some(name) =
                request.fields.required("metadata.name").filter(|_| !kind.is_namespaced() || query.namespace.is_some())
        {
            return Ok(self.just_one(kind, query.namespace.as_deref().unwrap_or_default(), name, request));
        }
        if selective
            && at.is_none()
            && let Some((revision, found)) =
                self.by_index(kind, &query.resource, query.namespace.as_deref(), &request.labels, &request.fields)
        {
            return Ok(self.chosen_of(kind, revision, found, request));
        }
        let selects = selector(kind, request.labels.clone(), request.fields.clone());
        let mut chosen = Vec::new();
        loop {
            let page = self.store.list(&query).map_err(|error| self.expired(kind, error, token.as_ref()))?;
            query.at = Some(page.revision);
            let last_read = page.objects.last().map(|object| object.key().clone());
            if selective || kind.stored_as.is_some() || kind.strategy.refreshes() {
                let presented = page.objects.iter().map(|stored| self.present(kind, stored));
                chosen.extend(presented.filter(|object| selects(object)));
            } else {
                chosen = page.objects;
            }
            let more = page.remaining > 0;
            let full = request.limit > 0 && chosen.len() >= request.limit;
            if !more || full || request.limit == 0 {
                // A page may hold more matches than asked for only when reading went on; cut, and continue after the cut.
                let cut = if request.limit > 0 && chosen.len() > request.limit {
                    chosen.truncate(request.limit);
                    chosen.last().map(|object: &Arc<Object>| object.key().clone())
                } else {
                    last_read.filter(|_| more)
                };
                return Ok(ObjectPage {
                    revision: page.revision,
                    continue_token: cut
                        .map_or_else(String::new, |key| encode_token(kind, page.revision, &key.namespace, &key.name)),
                    remaining: (more && !selective).then_some(page.remaining),
                    objects: chosen,
                });
            }
            query.after = last_read.map(|key| (key.namespace, key.name));
        }
    }

    fn just_one(&self, kind: &Arc<Kind>, namespace: &str, name: &str, request: &ListRequest) -> ObjectPage {
        // The revision is read first: the object may be newer than the page says, never older.
        let revision = self.store.revision();
        let selects = selector(kind, request.labels.clone(), request.fields.clone());
        let found = self.store.get(&self.key(kind, namespace, name)).map(|stored| self.present(kind, &stored));
        let objects: Vec<_> = found.into_iter().filter(|object| selects(object)).collect();
        let newest = objects.first().map_or(0, |object| object.revision());
        ObjectPage { revision: revision.max(newest), objects, continue_token: String::new(), remaining: None }
    }

    /// Where a list starts: the parsed continue token, and the exact revision to read at.
    fn position(
        &self,
        kind: &Arc<Kind>,
        namespace: &str,
        request: &ListRequest,
    ) -> Result<(Option<Token>, Option<u64>), Status> {
        if !request.continue_token.is_empty() {
            if request.revision.is_some_and(|revision| revision != 0) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let token = decode_token(kind, namespace, &request.continue_token)?;
            let at = (token.rv > 0).then_some(token.rv);
            return Ok((Some(token), at));
        }
        let exact = match (request.revision_match, request.revision) {
            (Some(RevisionMatch::Exact), Some(revision)) => Some(revision),
            (None, Some(revision)) if revision > 0 && request.limit > 0 => Some(revision),
            _ => None,
        };
        Ok((None, exact))
    }

    /// The page of what an index found.
    fn chosen_of(&self, kind: &Arc<Kind>, revision: u64, found: Vec<Arc<Object>>, request: &ListRequest) -> ObjectPage {
        let selects = selector(kind, request.labels.clone(), request.fields.clone());
        let presented = found.iter().map(|stored| self.present(kind, stored));
        let mut objects: Vec<_> = presented.filter(|object| selects(object)).collect();
        let mut continue_token = String::new();
        if request.limit > 0 && objects.len() > request.limit {
            objects.truncate(request.limit);
            let last = objects.last().expect("the limit is above 0").key();
            continue_token = encode_token(kind, revision, &last.namespace, &last.name);
        }
        ObjectPage { revision, objects, continue_token, remaining: None }
    }

    /// An expired continue token says how to go on: after the same key, at the newest revision.
    fn expired(&self, kind: &Kind, error: Error, token: Option<&Token>) -> Status {
        match (error, token) {
            (Error::Compacted { .. }, Some(token)) => {
                let mut status = Status::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                );
                status.continue_token = Some(encode_token(kind, 0, &token.namespace, &token.name));
                status
            }
            (error, _) => store_status(error),
        }
    }
}

fn encode_token(kind: &Kind, revision: u64, namespace: &str, name: &str) -> String {
    let token = Token {
        v: TOKEN_VERSION.into(),
        rv: revision,
        resource: kind.group_resource().to_string(),
        namespace: namespace.into(),
        name: name.into(),
    };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain data"))
}

fn decode_token(kind: &Kind, namespace: &str, text: &str) -> Result<Token, Status> {
    let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid("incorrect encoding"))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid("incorrect encoding"))?;
    if token.v != TOKEN_VERSION {
        return Err(invalid(&format!("server does not recognize this encoded version {:?}", token.v)));
    }
    if token.resource != kind.group_resource().as_str() || (!namespace.is_empty() && token.namespace != namespace) {
        return Err(invalid("it belongs to another collection"));
    }
    Ok(token)
}

/// The namespace to read: that of the path, or the one a field selector requires.
pub(crate) fn scope(kind: &Kind, namespace: &str, fields: &FieldSelector) -> Option<Arc<str>> {
    if !kind.is_namespaced() {
        return None;
    }
    let required = fields.required("metadata.namespace").unwrap_or_default();
    [namespace, required].into_iter().find(|n| !n.is_empty()).map(Into::into)
}

/// Refuses a field selector on fields that the kind does not offer.
pub(crate) fn check_fields(kind: &Kind, fields: &FieldSelector) -> Result<(), Status> {
    for term in &fields.0 {
        if kind.field(&term.field).is_none() && !matches!(term.field.as_str(), "metadata.name" | "metadata.namespace") {
            // Kinds that say nothing of their fields are answered by the words that are the same for all of them.
            let why = match kind.fields.is_empty() {
                true => format!(
                    "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                    term.field
                ),
                false => format!("field label not supported: {}", term.field),
            };
            return Err(Status::bad_request(why));
        }
    }
    Ok(())
}

/// Both selectors as one function of the object.
pub fn selector(
    kind: &Arc<Kind>,
    labels: LabelSelector,
    fields: FieldSelector,
) -> impl Fn(&Object) -> bool + Send + Sync + 'static {
    let kind = kind.clone();
    move |object: &Object| {
        let value_of = |name: &str| match name {
            "metadata.name" => Cow::Borrowed(object.name()),
            "metadata.namespace" => Cow::Borrowed(object.namespace()),
            // By value, since the document is not kept.
            other => kind
                .field(other)
                .map_or(Cow::Borrowed(""), |field| Cow::Owned((field.value)(&object.document()).into_owned())),
        };
        (labels.is_everything() || labels.matches(&object.meta().labels))
            && (fields.is_everything() || fields.matches(value_of))
    }
}
