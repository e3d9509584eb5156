//! An API server in memory: enough of its semantics to test whoever calls it, and buttons to make it misbehave.
//!
//! It keeps no schema, asks nobody for permission, and admits everything. What it does keep: one revision counter,
//! optimistic concurrency, `generateName`, uids, generations, status as a part of its own, finalizers, preconditions,
//! graceful deletion of pods, bindings, selectors, and watches that replay.

mod patch;
mod state;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use sdk_api::{Clock, GroupResource, Key, Object, Status};
use sdk_client::{
    Client, Clients, ListOptions, ObjectList, Request, Subject, Target, Transport, Verb, WatchOptions, WatchStream,
};
use serde_json::Value;

use state::{Outcome, State};

use crate::cache::resource_of;

/// One write as it arrived, and how it ended.
#[derive(Clone, Debug)]
pub struct WriteRecord {
    pub subject: Subject,
    pub verb: Verb,
    /// The name is empty for creations with `generateName` and for collections.
    pub key: Key,
    pub subresource: String,
    /// The object of a creation or update, the body of a patch; `Null` for deletions.
    pub body: Value,
    /// The revision the write took, or that the object kept when nothing changed.
    pub result: Result<u64, Status>,
}

/// Looks at each call before it is carried out, and may refuse it.
type Intercept = Arc<dyn Fn(&Subject, &Request) -> Option<Status> + Send + Sync>;

/// Answers what is posted instead of storing it, as for SubjectAccessReview.
type AnswerPosted = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

#[derive(Default)]
struct Control {
    /// Failures to come, in order.
    failures: Vec<(Verb, GroupResource, Status)>,
    intercept: Option<Intercept>,
    answers: Vec<(GroupResource, AnswerPosted)>,
    writes: Vec<WriteRecord>,
    lists: Vec<GroupResource>,
    watches: Vec<GroupResource>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    control: Mutex<Control>,
    wake: tokio::sync::watch::Sender<u64>,
}

/// The server. Clones share everything.
#[derive(Clone)]
pub struct FakeApi {
    inner: Arc<Inner>,
}

struct FakeTransport {
    subject: Subject,
    api: FakeApi,
}

impl FakeApi {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            clock,
            state: Mutex::default(),
            control: Mutex::default(),
            wake: tokio::sync::watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A client of an administrator.
    pub fn admin(&self) -> Client {
        self.client(&Subject::new("admin", &["system:masters"]))
    }

    /// Itself, as the host holds it.
    pub fn clients(&self) -> Arc<dyn Clients> {
        Arc::new(self.clone())
    }

    /// Puts an object as it is, status and all, past every rule. Missing uid and creation time are made up.
    pub fn seed(&self, tree: impl Into<Value>) -> Arc<Object> {
        let tree = tree.into();
        let text = |field: &str| tree[field].as_str().unwrap_or_default().to_owned();
        let resource = resource_of(&text("apiVersion"), &text("kind"));
        let object = self.state().seed(&resource, tree, self.inner.clock.now());
        self.wake();
        object
    }

    /// Takes an object away, past finalizers and grace.
    pub fn remove(&self, key: &Key) {
        self.state().erase(key);
        self.wake();
    }

    pub fn object(&self, key: &Key) -> Option<Arc<Object>> {
        self.state().objects.get(key).cloned()
    }

    /// The document of an object. Panics where there is none.
    pub fn tree(&self, key: &Key) -> Value {
        let object = self.object(key).unwrap_or_else(|| panic!("{key} exists"));
        (**object.tree()).clone()
    }

    /// Objects of a collection; `namespace` empty is all.
    pub fn objects(&self, resource: &GroupResource, namespace: &str) -> Vec<Arc<Object>> {
        self.state().list(resource, namespace).cloned().collect()
    }

    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// The next call of this verb on this collection (subresources included) fails. Several wait in order.
    pub fn fail_next(&self, verb: Verb, resource: &GroupResource, status: Status) {
        self.control().failures.push((verb, resource.clone(), status));
    }

    /// Takes back the failures that have not come yet.
    pub fn clear_failures(&self) {
        self.control().failures.clear();
    }

    /// Looks at every call from now on, watches excepted; `Some` refuses it.
    pub fn intercept(&self, look: impl Fn(&Subject, &Request) -> Option<Status> + Send + Sync + 'static) {
        self.control().intercept = Some(Arc::new(look));
    }

    /// Makes it a collection that answers: what is posted is given to `answer`, whose result the client gets.
    pub fn answer(&self, resource: &GroupResource, answer: impl Fn(&Value) -> Value + Send + Sync + 'static) {
        self.control().answers.push((resource.clone(), Arc::new(answer)));
    }

    /// All writes so far, refused ones too.
    pub fn writes(&self) -> Vec<WriteRecord> {
        self.control().writes.clone()
    }

    /// The writes to a collection that succeeded, by verb.
    pub fn count(&self, verb: Verb, resource: &GroupResource) -> usize {
        let control = self.control();
        let of = control.writes.iter().filter(|w| w.verb == verb && w.key.resource == *resource && w.result.is_ok());
        of.count()
    }

    pub fn clear_writes(&self) {
        self.control().writes.clear();
    }

    /// How often a collection was listed, and how often a watch on it was opened.
    pub fn reads(&self, resource: &GroupResource) -> (usize, usize) {
        let control = self.control();
        let count = |of: &[GroupResource]| of.iter().filter(|r| *r == resource).count();
        (count(&control.lists), count(&control.watches))
    }

    /// Watches on the collection deliver nothing until [`thaw`](Self::thaw): a cache that lags.
    pub fn freeze(&self, resource: &GroupResource) {
        self.state().frozen.insert(resource.clone());
    }

    pub fn thaw(&self, resource: &GroupResource) {
        self.state().frozen.remove(resource);
        self.wake();
    }

    /// Ends the watches on a collection: cleanly, so that readers go on from their revision.
    pub fn drop_watches(&self, resource: &GroupResource) {
        self.state().end_watches(resource, None);
        self.wake();
    }

    /// Forgets the history up to now and ends the watches on a collection: whoever resumes gets `410 Expired`.
    pub fn compact(&self, resource: &GroupResource) {
        let mut state = self.state();
        state.floor = state.revision;
        state.end_watches(resource, Some(Status::expired("too old resource version")));
        drop(state);
        self.wake();
    }

    /// Tells all watches of a collection how far the server is.
    pub fn bookmark(&self, resource: &GroupResource) {
        self.state().bookmark(resource);
        self.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no test panics while it holds the state")
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.inner.control.lock().expect("no test panics while it holds the controls")
    }

    fn wake(&self) {
        self.inner.wake.send_modify(|turn| *turn += 1);
    }

    fn refusal(&self, subject: &Subject, request: &Request) -> Option<Status> {
        let mut control = self.control();
        let waiting = control.failures.iter().position(|(v, r, _)| *v == request.verb && *r == request.target.resource);
        if let Some(at) = waiting {
            return Some(control.failures.remove(at).2);
        }
        let intercept = control.intercept.clone()?;
        drop(control);
        intercept(subject, request)
    }

    fn answered(&self, request: &Request) -> Option<Outcome> {
        let target = &request.target;
        let control = self.control();
        let (_, answer) = control.answers.iter().find(|(resource, _)| *resource == target.resource)?;
        let answer = answer.clone();
        drop(control);
        let answer = answer(request.body.as_ref()?);
        let key = Key::new(&target.resource, &target.namespace, "");
        Some(Outcome { object: Some(Arc::new(Object::new(key, 0, answer.to_string().into()))), revision: 0 })
    }

    fn record(&self, subject: &Subject, request: &Request, outcome: &Result<Outcome, Status>) {
        if matches!(request.verb, Verb::Get | Verb::List) {
            return;
        }
        let target = &request.target;
        let body = request.body.clone().or_else(|| request.patch.as_ref().map(|patch| patch.body.clone()));
        self.control().writes.push(WriteRecord {
            subject: subject.clone(),
            verb: request.verb,
            key: Key::new(&target.resource, &target.namespace, &target.name),
            subresource: target.subresource.clone(),
            body: body.unwrap_or_default(),
            result: outcome.as_ref().map(|outcome| outcome.revision).map_err(Clone::clone),
        });
    }
}

impl Clients for FakeApi {
    fn client(&self, subject: &Subject) -> Client {
        Client::new(Arc::new(FakeTransport { subject: subject.clone(), api: self.clone() }))
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn call(&self, request: Request) -> Result<Option<Arc<Object>>, Status> {
        // A call takes a turn, as over any transport: whoever runs at the same time gets between.
        tokio::task::yield_now().await;
        let outcome = match (self.api.refusal(&self.subject, &request), self.api.answered(&request)) {
            (Some(status), _) => Err(status),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => self.api.state().call(&request, self.api.inner.clock.now()),
        };
        self.api.record(&self.subject, &request, &outcome);
        self.api.wake();
        outcome.map(|outcome| outcome.object)
    }

    async fn list(&self, target: Target, options: ListOptions) -> Result<ObjectList, Status> {
        tokio::task::yield_now().await;
        let request = Request {
            verb: Verb::List,
            target,
            body: None,
            patch: None,
            list: options,
            delete: sdk_client::DeleteOptions::default(),
        };
        self.api.control().lists.push(request.target.resource.clone());
        match self.api.refusal(&self.subject, &request) {
            Some(status) => Err(status),
            None => self.api.state().page(&request.target, &request.list),
        }
    }

    async fn watch(&self, target: Target, options: WatchOptions) -> Result<WatchStream, Status> {
        tokio::task::yield_now().await;
        self.api.control().watches.push(target.resource.clone());
        watch::open(&self.api, target, options)
    }
}

#[cfg(test)]
mod tests;
