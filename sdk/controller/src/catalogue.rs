//! What the server serves, as controllers over everything must know it.

use futures::future::BoxFuture;
use sdk_api::GroupResource;

/// The kind table, as the harness sees it. Kinds may come and go while it runs.
pub trait Catalogue: Send + Sync + 'static {
    /// All collections that can be listed and watched, each once, however many versions or groups serve it.
    fn resources(&self) -> Vec<GroupResource>;
    /// The collection of a kind, and whether its objects live in a namespace.
    fn resolve(&self, api_version: &str, kind: &str) -> Option<(GroupResource, bool)>;
    /// Resolves once the answers may differ from those given before this call. Never, where kinds do not change.
    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::pending())
    }
}
