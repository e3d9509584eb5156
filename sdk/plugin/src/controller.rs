//! Controllers: `plan` reads a snapshot and returns the writes it wants; the harness sends them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use sdk_api::{GroupResource, Key, Object, Timestamp, Typed as TypedObject};
use sdk_client::{DeleteOptions, Patch, Verb};
use serde_json::Value;

/// What a controller sees: shared informer caches, all at least as new as the controller's own last write to the key
/// being planned.
pub trait Cache: Send + Sync {
    fn get(&self, key: &Key) -> Option<Arc<Object>>;
    /// Objects of a collection in byte order; `namespace` empty is all namespaces.
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>>;
    /// Objects of a collection that name `uid` as an owner.
    fn owned_by(&self, resource: &GroupResource, uid: &str) -> Vec<Arc<Object>>;
    /// Objects of a namespace that nobody controls, in byte order.
    fn orphans(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>> {
        let mut objects = self.list(resource, namespace);
        objects.retain(|object| object.meta().controller().is_none());
        objects
    }
    /// All collections the server serves and the harness watches, for controllers with `Watch::everything`.
    fn resources(&self) -> Vec<GroupResource>;
    /// The `apiVersion`/`kind` to collection table: where objects of an owner reference live, and whether in a namespace.
    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)>;
    /// How the last plan of the key being planned failed, if it did.
    fn last_failure(&self) -> Option<Failure> {
        None
    }
}

/// A write of a plan that was refused. Conflicts are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub verb: Verb,
    pub resource: GroupResource,
    /// The error's message.
    pub message: String,
}

/// A snapshot with a time: all that `plan` may ask.
pub struct View<'a> {
    pub now: Timestamp,
    pub cache: &'a dyn Cache,
}

impl View<'_> {
    /// A typed object; `None` too where the stored document does not fit the type.
    pub fn get<T: TypedObject>(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.cache.get(&Key::of::<T>(namespace, name))?.typed().ok()
    }

    /// Typed objects of a namespace (empty: of all), in byte order.
    pub fn list<T: TypedObject>(&self, namespace: &str) -> Vec<Arc<T>> {
        let objects = self.cache.list(&GroupResource::of::<T>(), namespace);
        objects.iter().filter_map(|object| object.typed().ok()).collect()
    }

    /// Typed objects of a namespace that nobody controls.
    pub fn orphans<T: TypedObject>(&self, namespace: &str) -> Vec<Arc<T>> {
        let objects = self.cache.orphans(&GroupResource::of::<T>(), namespace);
        objects.iter().filter_map(|object| object.typed().ok()).collect()
    }

    /// Typed objects that name `uid` as an owner.
    pub fn owned_by<T: TypedObject>(&self, uid: &str) -> Vec<Arc<T>> {
        let objects = self.cache.owned_by(&GroupResource::of::<T>(), uid);
        objects.iter().filter_map(|object| object.typed().ok()).collect()
    }
}

/// Severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Normal,
    Warning,
}

/// An Event to be recorded about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct EventNote {
    /// `involvedObject`: apiVersion, kind, namespace, name, uid, resourceVersion, fieldPath as far as known.
    pub regarding: Value,
    pub kind: EventType,
    /// CamelCase, as upstream names it: `SuccessfulCreate`.
    pub reason: String,
    pub message: String,
}

/// Events that depend on how a write ends. `{name}` in a message is replaced by the name of the written object, `{error}` by
/// the error's message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteNote {
    pub success: Option<EventNote>,
    pub failure: Option<EventNote>,
}

/// One write that a plan wants.
#[derive(Clone, Debug)]
pub enum PlannedWrite {
    Create {
        resource: GroupResource,
        namespace: String,
        body: Value,
        note: WriteNote,
    },
    /// `body` carries the `resourceVersion` it is based on.
    Update {
        key: Key,
        subresource: &'static str,
        body: Value,
        note: WriteNote,
    },
    Patch {
        key: Key,
        subresource: &'static str,
        patch: Patch,
        note: WriteNote,
    },
    Delete {
        key: Key,
        options: DeleteOptions,
        note: WriteNote,
    },
    Event(EventNote),
    /// Not a write but a live read: the plan goes on only where it confirms what the cache said. Otherwise the plan
    /// ends, and the key is planned again after a back-off. For what must not be done on a stale cache: adopting for
    /// an owner that is gone, deleting for an owner that is there.
    Confirm {
        key: Key,
        /// Empty is whatever object has the key.
        uid: String,
        /// `true`: the object of this uid exists and is not being deleted. `false`: no object of this uid is there.
        alive: bool,
    },
}

/// The writes a controller wants, in order. `Create`s that stand together are sent at once in growing batches
/// (1, 2, 4, ...), `Delete`s that stand together all at once; everything else one after the other. The first failure (or
/// batch with one) ends the plan, and the key is planned again after a back-off; NotFound on a delete and a conflict
/// only mean: plan again with a newer snapshot.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub writes: Vec<PlannedWrite>,
    /// Plan this key again after this time, even if nothing happens.
    pub again_in: Option<Duration>,
    /// Plan again with back-off: something outside is not ready. The text is logged.
    pub retry: Option<String>,
}

impl Plan {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn look_again_in(after: Duration) -> Self {
        Self::nothing().and_look_again_in(after)
    }

    /// The earlier of several wishes counts.
    pub fn and_look_again_in(mut self, after: Duration) -> Self {
        self.again_in = Some(self.again_in.map_or(after, |sooner| sooner.min(after)));
        self
    }

    pub fn write(mut self, write: PlannedWrite) -> Self {
        self.writes.push(write);
        self
    }

    pub fn create<T: TypedObject>(self, namespace: &str, object: &T) -> Self {
        self.create_noted(namespace, object, WriteNote::default())
    }

    pub fn create_noted<T: TypedObject>(self, namespace: &str, object: &T, note: WriteNote) -> Self {
        let body = serde_json::to_value(object).expect("API types encode as JSON");
        self.write(PlannedWrite::Create { resource: GroupResource::of::<T>(), namespace: namespace.into(), body, note })
    }

    pub fn patch(self, key: Key, subresource: &'static str, patch: Patch) -> Self {
        self.write(PlannedWrite::Patch { key, subresource, patch, note: WriteNote::default() })
    }

    pub fn update<T: TypedObject>(self, key: Key, subresource: &'static str, object: &T) -> Self {
        let body = serde_json::to_value(object).expect("API types encode as JSON");
        self.write(PlannedWrite::Update { key, subresource, body, note: WriteNote::default() })
    }

    pub fn delete(self, key: Key, options: DeleteOptions) -> Self {
        self.write(PlannedWrite::Delete { key, options, note: WriteNote::default() })
    }

    /// Goes on only where a live read finds the object of this uid, not being deleted.
    pub fn confirm_alive(self, key: Key, uid: &str) -> Self {
        self.write(PlannedWrite::Confirm { key, uid: uid.into(), alive: true })
    }

    /// Goes on only where a live read finds no object of this uid.
    pub fn confirm_gone(self, key: Key, uid: &str) -> Self {
        self.write(PlannedWrite::Confirm { key, uid: uid.into(), alive: false })
    }

    pub fn event(self, note: EventNote) -> Self {
        self.write(PlannedWrite::Event(note))
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.again_in.is_none() && self.retry.is_none()
    }
}

/// Maps an object to the keys that depend on it. Called with the old and the new state of every change.
pub type KeysOf = Arc<dyn Fn(&View<'_>, &Object) -> Vec<Key> + Send + Sync>;

/// Another collection whose changes make keys be planned again.
#[derive(Clone)]
pub struct Watch {
    /// `None` watches every collection that the server serves.
    pub resource: Option<GroupResource>,
    pub keys: KeysOf,
}

impl Watch {
    /// Objects of `T` by a function to keys.
    pub fn of<T: TypedObject>(keys: impl Fn(&View<'_>, &Object) -> Vec<Key> + Send + Sync + 'static) -> Self {
        Self { resource: Some(GroupResource::of::<T>()), keys: Arc::new(keys) }
    }

    /// Objects of `T` that an `Owner` controls.
    pub fn controlled<T: TypedObject, Owner: TypedObject>() -> Self {
        Self::of::<T>(|_, object| {
            let owner = object.meta().controller().filter(|owner| owner.kind == Owner::KIND);
            owner.map(|owner| Key::of::<Owner>(object.namespace(), &owner.name)).into_iter().collect()
        })
    }

    /// Collections that are only read in `plan`: watched, so that the cache has them, but nobody is planned for them.
    pub fn reads<T: TypedObject>() -> Self {
        Self::of::<T>(|_, _| Vec::new())
    }

    /// Every collection.
    pub fn everything(keys: impl Fn(&View<'_>, &Object) -> Vec<Key> + Send + Sync + 'static) -> Self {
        Self { resource: None, keys: Arc::new(keys) }
    }
}

/// Compares wanted with observed. No I/O, no clock but the view's.
///
/// It writes as `system:serviceaccount:kube-system:{NAME}-controller`; a name that ends in `-collector`, `-publisher` or
/// `-controller` stands as it is, as upstream's do.
pub trait Controller: Send + Sync + 'static {
    type Object: TypedObject;
    /// Upstream's name where there is one: `replicaset`, `deployment`, `endpointslice`.
    const NAME: &'static str;

    /// Besides its own objects.
    fn watches(&self) -> Vec<Watch> {
        Vec::new()
    }
    fn plan(&self, view: &View<'_>, object: &Self::Object) -> Plan;
    /// The key names no object (any more).
    fn plan_gone(&self, _view: &View<'_>, _key: &Key) -> Plan {
        Plan::nothing()
    }
}

/// A controller as the harness sees it.
pub trait DynController: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    /// The collection whose keys are planned; `None` plans keys of any collection, as its watches give them.
    fn resource(&self) -> Option<GroupResource>;
    fn watches(&self) -> Vec<Watch>;
    /// `object` is `None` when the key names no object.
    fn plan(&self, view: &View<'_>, key: &Key, object: Option<&Arc<Object>>) -> Plan;
    /// For tests that look inside.
    fn as_any(&self) -> &dyn Any;
}

/// The typed form of a controller, erased.
pub struct Typed<C>(pub C);

impl<C: Controller> DynController for Typed<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn resource(&self) -> Option<GroupResource> {
        Some(GroupResource::of::<C::Object>())
    }

    fn watches(&self) -> Vec<Watch> {
        self.0.watches()
    }

    fn plan(&self, view: &View<'_>, key: &Key, object: Option<&Arc<Object>>) -> Plan {
        match object {
            None => self.0.plan_gone(view, key),
            Some(object) => match object.typed::<C::Object>() {
                Ok(typed) => self.0.plan(view, &typed),
                Err(error) => {
                    tracing::error!(%key, %error, controller = C::NAME, "A stored object does not fit its type.");
                    Plan::nothing()
                }
            },
        }
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}
