//! The client: an identity and a transport.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use sdk_api::{GroupResource, Key, Object, Status, Typed};
use serde_json::Value;

use crate::options::{
    DeleteOptions, ListOptions, ObjectList, Patch, Request, Subject, Target, Verb, WatchEvent, WatchOptions,
};

/// Events of a watch. An `Err` is the last item; the reader lists again.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, Status>>;

/// How calls travel. The transport knows who calls.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Any verb on one object. `None` where the answer is a `Status` of success, as after some deletions.
    async fn call(&self, request: Request) -> Result<Option<Arc<Object>>, Status>;
    async fn list(&self, target: Target, options: ListOptions) -> Result<ObjectList, Status>;
    async fn watch(&self, target: Target, options: WatchOptions) -> Result<WatchStream, Status>;
}

/// Makes clients for identities. Only the host holds one; a plugin gets the client of its own identity.
pub trait Clients: Send + Sync + 'static {
    fn client(&self, subject: &Subject) -> Client;
}

/// Calls the API as one identity. Cloning shares the transport.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
}

fn target(resource: &GroupResource, namespace: &str, name: &str, subresource: &str) -> Target {
    Target {
        resource: resource.clone(),
        version: None,
        namespace: namespace.into(),
        name: name.into(),
        subresource: subresource.into(),
    }
}

fn request(verb: Verb, target: Target) -> Request {
    Request { verb, target, body: None, patch: None, list: ListOptions::default(), delete: DeleteOptions::default() }
}

fn expect_object(answer: Option<Arc<Object>>) -> Result<Arc<Object>, Status> {
    answer.ok_or_else(|| Status::internal("the server answered without an object"))
}

impl Client {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    pub async fn get(&self, key: &Key) -> Result<Arc<Object>, Status> {
        let target = target(&key.resource, &key.namespace, &key.name, "");
        expect_object(self.transport.call(request(Verb::Get, target)).await?)
    }

    /// `None` where the object does not exist.
    pub async fn find(&self, key: &Key) -> Result<Option<Arc<Object>>, Status> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// One page; `namespace` is empty for all namespaces and for cluster-scoped kinds.
    pub async fn list(
        &self,
        resource: &GroupResource,
        namespace: &str,
        options: ListOptions,
    ) -> Result<ObjectList, Status> {
        self.transport.list(target(resource, namespace, "", ""), options).await
    }

    /// Creates an object; `namespace` is empty for cluster-scoped kinds.
    pub async fn create(&self, resource: &GroupResource, namespace: &str, body: Value) -> Result<Arc<Object>, Status> {
        let mut request = request(Verb::Create, target(resource, namespace, "", ""));
        request.body = Some(body);
        expect_object(self.transport.call(request).await?)
    }

    /// Creates an object of a typed kind.
    pub async fn create_typed<T: Typed>(&self, namespace: &str, object: &T) -> Result<Arc<Object>, Status> {
        let body = serde_json::to_value(object).map_err(|e| Status::bad_request(e.to_string()))?;
        self.create(&GroupResource::of::<T>(), namespace, body).await
    }

    /// Posts to a subresource, such as `binding`, `eviction` or `token`.
    pub async fn post(&self, key: &Key, subresource: &str, body: Value) -> Result<Option<Arc<Object>>, Status> {
        let mut request = request(Verb::Create, target(&key.resource, &key.namespace, &key.name, subresource));
        request.body = Some(body);
        self.transport.call(request).await
    }

    /// Replaces an object, or a part of it: `subresource` is empty, `status`, `scale`, ...
    pub async fn update(&self, key: &Key, subresource: &str, body: Value) -> Result<Arc<Object>, Status> {
        let mut request = request(Verb::Update, target(&key.resource, &key.namespace, &key.name, subresource));
        request.body = Some(body);
        expect_object(self.transport.call(request).await?)
    }

    pub async fn patch(&self, key: &Key, subresource: &str, patch: Patch) -> Result<Arc<Object>, Status> {
        let mut request = request(Verb::Patch, target(&key.resource, &key.namespace, &key.name, subresource));
        request.patch = Some(patch);
        expect_object(self.transport.call(request).await?)
    }

    /// The object as the deletion left it, if it is still there or was shown.
    pub async fn delete(&self, key: &Key, options: DeleteOptions) -> Result<Option<Arc<Object>>, Status> {
        let mut request = request(Verb::Delete, target(&key.resource, &key.namespace, &key.name, ""));
        request.delete = options;
        self.transport.call(request).await
    }

    /// Deletes what a selector chooses in a namespace.
    pub async fn delete_collection(
        &self,
        resource: &GroupResource,
        namespace: &str,
        list: ListOptions,
        options: DeleteOptions,
    ) -> Result<(), Status> {
        let mut request = request(Verb::DeleteCollection, target(resource, namespace, "", ""));
        request.list = list;
        request.delete = options;
        self.transport.call(request).await.map(drop)
    }

    pub async fn watch(
        &self,
        resource: &GroupResource,
        namespace: &str,
        options: WatchOptions,
    ) -> Result<WatchStream, Status> {
        self.transport.watch(target(resource, namespace, "", ""), options).await
    }
}
