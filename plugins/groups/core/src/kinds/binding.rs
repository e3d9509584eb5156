//! `Binding`: the older way to give a pod a node; the same as a pod's `binding` subresource.

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::{Binding, Pod};
use sdk_api::{Key, Status};
use sdk_plugin::{Answer, Call, Kind};
use serde_json::Value;

/// The row.
pub fn kind() -> Kind {
    Kind::plain::<Binding>().answered(Post)
}

struct Post;
#[async_trait]
impl Answer for Post {
    async fn create(&self, call: Call<'_>) -> Result<Value, Status> {
        let name = call.body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Status::bad_request("name must be provided"));
        }
        let key = Key::of::<Pod>(call.namespace, &name);
        super::pod::binding::bind(&call, &key).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::test_server::TestServer;
    use super::*;

    #[tokio::test]
    async fn a_posted_binding_binds() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p"}, "spec": {"containers": []}});
        let server = TestServer::new([pod]);
        let post =
            |name: &str| server.call(json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}));
        assert_eq!(Post.create(post("p")).await.unwrap()["status"], "Success");
        assert_eq!(server.api.tree(&Key::of::<Pod>("a", "p"))["spec"]["nodeName"], "n");
        assert_eq!(Post.create(post("p")).await.unwrap_err().code, 409, "a second time");
        assert_eq!(Post.create(post("q")).await.unwrap_err().code, 404, "a pod that is not there");
        assert_eq!(Post.create(post("")).await.unwrap_err().code, 400, "no name");
    }
}
