//! Reading kinds that are stored nowhere: their objects are made up for each request.

use std::sync::Arc;

use kernel_registry::{Caller, ListRequest, ObjectPage, selector};
use sdk_api::{Key, Object, Status};
use sdk_plugin::{Call, Kind};
use serde_json::Value;

use crate::server::ApiServer;
use crate::verbs::backing::Backing;
use crate::verbs::not_allowed;

/// All objects, in the order of their names. They have no revision of their own and bear the store's.
async fn all(server: &Arc<ApiServer>, caller: &Caller<'_>, kind: &Arc<Kind>) -> Result<Vec<Arc<Object>>, Status> {
    let answer = kind.answer.as_ref().ok_or_else(not_allowed)?;
    let backing = Backing { server, caller, subresource: "" };
    let call = Call { user: caller.user, namespace: "", body: Value::Null, dry_run: caller.dry_run, server: &backing };
    let revision = server.registry.store().revision();
    let object = |document: Value| {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let key = Key::new(&kind.group_resource(), "", name);
        Arc::new(Object::new(key, revision, document.to_string().into()))
    };
    let mut objects: Vec<_> = answer.read(call).await?.into_iter().map(object).collect();
    objects.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(objects)
}

pub async fn get(
    server: &Arc<ApiServer>,
    caller: &Caller<'_>,
    kind: &Arc<Kind>,
    name: &str,
) -> Result<Arc<Object>, Status> {
    let mut objects = all(server, caller, kind).await?.into_iter();
    objects.find(|object| object.name() == name).ok_or_else(|| Status::not_found(&kind.group_resource(), name))
}

/// There are few of them, so that limits do not apply; selectors do.
pub async fn list(
    server: &Arc<ApiServer>,
    caller: &Caller<'_>,
    kind: &Arc<Kind>,
    request: &ListRequest,
) -> Result<ObjectPage, Status> {
    let mut objects = all(server, caller, kind).await?;
    let selects = selector(kind, request.labels.clone(), request.fields.clone());
    objects.retain(|object| selects(object));
    let revision = server.registry.store().revision();
    Ok(ObjectPage { revision, objects, continue_token: String::new(), remaining: None })
}
