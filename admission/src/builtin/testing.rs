//! What the tests of the built-in plugins share.

use std::sync::Arc;

use sdk_api::{GroupVersionKind, Object, Status};
use sdk_client::Subject;
use sdk_plugin::{Admission, AdmissionRequest, Context, Operation};
use sdk_testkit::{FakeApi, ManualClock, cache};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// An API with these objects, and a plugin that has started on it.
pub async fn started<A: Admission>(
    seed: impl IntoIterator<Item = Value>,
    make: impl FnOnce(Arc<World>) -> A,
) -> (FakeApi, Arc<ManualClock>, A) {
    let clock = ManualClock::new();
    let api = FakeApi::new(clock.clone());
    for object in seed {
        api.seed(object);
    }
    let plugin = make(Arc::new(World::default()));
    let context =
        Context { client: api.admin(), clients: api.clients(), clock: clock.clone(), stop: CancellationToken::new() };
    plugin.start(context).await.unwrap();
    (api, clock, plugin)
}

/// The write of an object; its place is read from its metadata.
pub fn request(operation: Operation, resource: &str, object: Value, old: Option<Value>) -> AdmissionRequest {
    let shown = if operation == Operation::Delete { old.clone().unwrap_or_default() } else { object.clone() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) = match text(&shown["apiVersion"]).split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), "v1".to_owned()),
    };
    let old: Option<Arc<Object>> = old.map(cache::object);
    AdmissionRequest {
        operation,
        user: Subject::new("ann", &["system:authenticated"]),
        kind: GroupVersionKind::new(group, version, text(&shown["kind"])),
        resource: resource.into(),
        subresource: String::new(),
        namespace: text(&shown["metadata"]["namespace"]),
        name: text(&shown["metadata"]["name"]),
        object: if operation == Operation::Delete { Value::Null } else { object },
        old,
        dry_run: false,
        warnings: Vec::new(),
    }
}

/// What a plugin makes of a write: the object, or the refusal. Writes that it does not handle go through as they are.
pub async fn admit(plugin: &dyn Admission, mut request: AdmissionRequest) -> Result<Value, Status> {
    if plugin.handles(&request) {
        plugin.mutate(&mut request).await?;
        plugin.validate(&request).await?;
    }
    Ok(request.object)
}
