//! Subresources, and kinds that are answered instead of stored.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::{Clock, GroupVersionKind, Key, Object, Reason, Status};
use sdk_client::{Client, Subject};
use serde_json::Value;

use crate::auth::{Attributes, Credentials, Decision, Rules};

/// A part of an object that is read and written on its own, by GET, PUT and PATCH.
pub trait Part: Send + Sync + 'static {
    /// The kind that travels; `None` is the object's own (`status`, `ephemeralcontainers`).
    fn kind(&self) -> Option<GroupVersionKind> {
        None
    }
    /// What is shown of the stored object.
    fn read(&self, object: &Value) -> Result<Value, Status>;
    /// Carries what this part may change from `new` (in the form that `read` gives) into `object`, the stored state.
    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status>;
    /// The fields of the stored object that `write` changes, such as `spec.replicas`: no others are owned by who applies
    /// through this part. Empty is any.
    fn writes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A part that is one or more top-level fields of the object, such as `status`: the object travels whole.
pub struct PartOf {
    /// The fields that a write carries over.
    pub fields: &'static [&'static str],
    /// Whether labels, annotations, finalizers and owner references are carried over as well.
    pub metadata: bool,
}

impl Part for PartOf {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let carry = |target: &mut Value, source: &Value, field: &str| match source.get(field) {
            Some(value) => target[field] = value.clone(),
            None => drop(target.as_object_mut().and_then(|fields| fields.remove(field))),
        };
        for field in self.fields {
            carry(object, new, field);
        }
        if self.metadata {
            for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                carry(&mut object["metadata"], &new["metadata"], field);
            }
        }
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        let metadata = ["labels", "annotations", "finalizers", "ownerReferences"];
        let metadata = metadata.iter().filter(|_| self.metadata).map(|field| format!("metadata.{field}"));
        self.fields.iter().map(|field| (*field).to_owned()).chain(metadata).collect()
    }
}

/// A change of an object's document; it may run several times, each time on a newer state.
pub type Rewrite<'a> = dyn FnMut(&mut Value) -> Result<(), Status> + Send + 'a;

/// What an action or an answered kind may ask of the server.
#[async_trait]
pub trait Server: Send + Sync {
    /// Reads the object anew, lets `change` work on it, and writes it back, again and again until nobody came between.
    async fn rewrite(&self, key: &Key, change: &mut Rewrite<'_>) -> Result<Arc<Object>, Status>;
    /// Asks the authorizers.
    async fn authorize(&self, attributes: &Attributes) -> Decision;
    /// The rules of a user in a namespace, from all authorizers.
    async fn rules_for(&self, user: &Subject, namespace: &str) -> Rules;
    /// Asks the authenticators.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Subject>, Status>;
    /// The API server's own audiences: whom a token is for that is checked for nobody in particular.
    fn audiences(&self) -> Vec<String> {
        Vec::new()
    }
    /// A client that acts as the caller.
    fn client(&self) -> Client;
    fn clock(&self) -> Arc<dyn Clock>;
    /// The health checks by name, each with why it fails.
    fn health(&self) -> Vec<(&'static str, Result<(), String>)> {
        Vec::new()
    }
}

/// One call of an action or an answered kind.
pub struct Call<'a> {
    pub user: &'a Subject,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// What was posted, decoded and checked against the schema of its kind.
    pub body: Value,
    pub dry_run: bool,
    pub server: &'a dyn Server,
}

/// A subresource that is posted to: `binding`, `eviction`, `token`.
#[async_trait]
pub trait Action: Send + Sync + 'static {
    /// The kind that is posted.
    fn kind(&self) -> GroupVersionKind;
    /// `object` is the parent as it stands. The result is the answer's document.
    async fn run(&self, call: Call<'_>, object: Arc<Object>) -> Result<Value, Status>;
}

/// A kind that is not stored but answered: posted to, such as SubjectAccessReview, or made up when it is read, such as
/// ComponentStatus. Each kind has one of both.
#[async_trait]
pub trait Answer: Send + Sync + 'static {
    /// The answer to what was posted.
    async fn create(&self, _call: Call<'_>) -> Result<Value, Status> {
        Err(no_such_method())
    }
    /// All objects that there are, as documents with a name.
    async fn read(&self, _call: Call<'_>) -> Result<Vec<Value>, Status> {
        Err(no_such_method())
    }
}

fn no_such_method() -> Status {
    Status::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
}
