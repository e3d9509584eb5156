//! What actions may ask of the server, for their tests: an API in memory.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::{Clock, Key, Object, Status};
use sdk_client::{Client, Subject};
use sdk_plugin::subresource::Rewrite;
use sdk_plugin::{Attributes, Call, Credentials, Decision, Rules, Server};
use sdk_testkit::{FakeApi, ManualClock};
use serde_json::Value;

/// A server of one user over a fake API.
pub struct TestServer {
    pub api: FakeApi,
    clock: Arc<ManualClock>,
    user: Subject,
}

impl TestServer {
    /// With these objects in it.
    pub fn new(objects: impl IntoIterator<Item = Value>) -> Self {
        let clock = ManualClock::new();
        let api = FakeApi::new(clock.clone());
        for object in objects {
            api.seed(object);
        }
        Self { api, clock, user: Subject::new("admin", &["system:masters"]) }
    }

    /// A call in the namespace `a`.
    pub fn call(&self, body: Value) -> Call<'_> {
        Call { user: &self.user, namespace: "a", body, dry_run: false, server: self }
    }
}

#[async_trait]
impl Server for TestServer {
    async fn rewrite(&self, key: &Key, change: &mut Rewrite<'_>) -> Result<Arc<Object>, Status> {
        let old = self.api.object(key).ok_or_else(|| Status::not_found(&key.resource, &key.name))?;
        let mut document = Value::clone(old.tree());
        change(&mut document)?;
        Ok(self.api.seed(document))
    }

    async fn authorize(&self, _attributes: &Attributes) -> Decision {
        Decision::Allow { reason: String::new() }
    }

    async fn rules_for(&self, _user: &Subject, _namespace: &str) -> Rules {
        Rules::default()
    }

    async fn authenticate(&self, _credentials: &Credentials) -> Result<Option<Subject>, Status> {
        Ok(None)
    }

    fn client(&self) -> Client {
        self.api.admin()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}
