//! What the built-in plugins read: a client and shared informers, opened when the first of them starts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sdk_api::{Clock, GroupResource, Key, Object, Status, Typed};
use sdk_client::{Client, Subject};
use sdk_controller::Informers;
use sdk_plugin::Context;
use serde_json::json;

/// How long a write waits for a cache that is being filled, right after the start.
const SYNC_WAIT: Duration = Duration::from_secs(5);

struct Started {
    client: Client,
    informers: Informers,
    clock: Arc<dyn Clock>,
}

/// See the module.
#[derive(Default)]
pub struct World {
    started: OnceLock<Started>,
}

impl World {
    fn started(&self, context: &Context) -> &Started {
        self.started.get_or_init(|| Started {
            client: context.client.clone(),
            informers: Informers::new(context.client.clone(), context.clock.clone()),
            clock: context.clock.clone(),
        })
    }

    /// For plugins that only read single objects.
    pub fn start(&self, context: &Context) {
        self.started(context);
    }

    /// Follows a collection.
    pub fn follow<T: Typed>(&self, context: &Context) {
        self.started(context).informers.open(&GroupResource::of::<T>());
    }

    fn get(&self) -> Result<&Started, Status> {
        self.started.get().ok_or_else(|| Status::unavailable("not yet ready to handle request"))
    }

    /// The object as it is now.
    pub async fn find(&self, key: &Key) -> Result<Option<Arc<Object>>, Status> {
        self.get()?.client.find(key).await
    }

    /// All objects of a collection that somebody follows, as typed views.
    pub async fn list<T: Typed>(&self) -> Result<Vec<Arc<T>>, Status> {
        let started = self.get()?;
        let informer = started.informers.open(&GroupResource::of::<T>());
        tokio::select! {
            () = informer.synced() => {}
            () = started.clock.sleep(SYNC_WAIT) => {
                return Err(Status::unavailable("not yet ready to handle request"));
            }
        }
        Ok(informer.list("").iter().filter_map(|object| object.typed().ok()).collect())
    }

    /// Whether a user may do something with an object: group, resource and name.
    pub async fn may(
        &self,
        user: &Subject,
        verb: &str,
        (group, resource, name): (&str, &str, &str),
    ) -> Result<bool, Status> {
        let asked = json!({"verb": verb, "group": group, "version": "*", "resource": resource, "name": name});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra, "resourceAttributes": asked,
            },
        });
        let reviews = GroupResource::new("authorization.k8s.io", "subjectaccessreviews");
        let answer = self.get()?.client.create(&reviews, "", review).await?;
        Ok(answer.tree()["status"]["allowed"] == true)
    }

    /// Lets time pass on the server's clock.
    pub async fn pause(&self, duration: Duration) {
        if let Some(started) = self.started.get() {
            started.clock.sleep(duration).await;
        }
    }
}
