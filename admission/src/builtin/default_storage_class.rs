//! `DefaultStorageClass`: claims that name no class get the default one, if there is one.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::storage::v1::StorageClass;
use sdk_plugin::{Admission, AdmissionRequest, Context};

use super::creates;
use crate::world::World;

const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub struct DefaultStorageClass(pub Arc<World>);

#[async_trait]
impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.follow::<StorageClass>(&context);
        Ok(())
    }

    /// The empty name is a name: it asks for a volume without a class.
    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, "", "persistentvolumeclaims")
            && request.object["spec"]["storageClassName"].is_null()
            && request.object["metadata"]["annotations"][OLD_CLASS].is_null()
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        let classes = self.0.list::<StorageClass>().await?;
        let is_default = |class: &&Arc<StorageClass>| {
            let annotations = class.metadata.annotations.as_ref();
            IS_DEFAULT.iter().any(|name| annotations.and_then(|a| a.get(*name)).is_some_and(|word| word == "true"))
        };
        // Of several the newest; of those of one second the first by name.
        let newest = classes.iter().filter(is_default).max_by(|a, b| {
            let time = |class: &StorageClass| class.metadata.creation_timestamp.clone();
            time(a).cmp(&time(b)).then_with(|| b.metadata.name.cmp(&a.metadata.name))
        });
        if let Some(name) = newest.and_then(|class| class.metadata.name.as_deref()) {
            request.object["spec"]["storageClassName"] = name.into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sdk_plugin::Operation;
    use serde_json::{Value, json};

    use super::super::testing::{admit, request, started};
    use super::*;

    #[tokio::test]
    async fn claims_without_a_class_get_the_newest_default() {
        let class = |name: &str, default: &str, second: i32| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p", "metadata": {
                "name": name, "annotations": {IS_DEFAULT[0]: default}, "creationTimestamp": format!("2026-01-01T00:00:0{second}Z"),
            }})
        };
        let with = started(
            [class("other", "false", 9), class("old", "true", 1), class("new-b", "true", 2), class("new-a", "true", 2)],
            DefaultStorageClass,
        )
        .await
        .2;
        let without = started([class("other", "false", 1)], DefaultStorageClass).await.2;
        for (case, plugin, spec, expected) in [
            ("no class", &with, json!({}), json!("new-a")),
            ("the empty class", &with, json!({"storageClassName": ""}), json!("")),
            ("a class", &with, json!({"storageClassName": "other"}), json!("other")),
            ("no default", &without, json!({}), Value::Null),
        ] {
            let claim =
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec});
            let request = request(Operation::Create, "persistentvolumeclaims", claim, None);
            assert_eq!(admit(plugin, request).await.unwrap()["spec"]["storageClassName"], expected, "{case}");
        }
    }
}
