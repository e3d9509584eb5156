//! The node's lease: the heartbeat by which the control plane knows that it lives.

use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::time::rfc3339_micro;
use sdk_api::{GroupResource, Key, Status};
use sdk_client::Patch;
use serde_json::json;

use crate::running::Node;

const NAMESPACE: &str = "kube-node-lease";

impl Node {
    /// Renews the lease, or makes it.
    pub(crate) async fn renew_lease(&self) -> Result<(), Status> {
        let name = &self.settings.node_name;
        let renewed = rfc3339_micro(self.now());
        let key = Key::of::<Lease>(NAMESPACE, name);
        let patch = Patch::merge(json!({"spec": {"renewTime": renewed, "holderIdentity": name}}));
        match self.client.patch(&key, "", patch).await {
            Ok(_) => return Ok(()),
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
        let node = self.client.find(&self.node_key()).await?;
        let owners: Vec<_> = node
            .iter()
            .map(|node| json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid()}))
            .collect();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": owners},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self.settings.limits.lease.as_secs(),
                "renewTime": renewed,
            },
        });
        self.client.create(&GroupResource::of::<Lease>(), NAMESPACE, lease).await.map(drop)
    }
}
