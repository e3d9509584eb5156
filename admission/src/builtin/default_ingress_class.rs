//! `DefaultIngressClass`: an Ingress that names no class gets the default one, if there is one.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::Status;
use sdk_api::k8s_openapi::api::networking::v1::IngressClass;
use sdk_plugin::{Admission, AdmissionRequest, Context};

use super::creates;
use crate::world::World;

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

pub struct DefaultIngressClass(pub Arc<World>);

#[async_trait]
impl Admission for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.follow::<IngressClass>(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        creates(request, "networking.k8s.io", "ingresses")
            && request.object["spec"]["ingressClassName"].is_null()
            && request.object["metadata"]["annotations"][OLD_CLASS].is_null()
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        let classes = self.0.list::<IngressClass>().await?;
        let is_default = |class: &&Arc<IngressClass>| {
            class.metadata.annotations.as_ref().and_then(|a| a.get(IS_DEFAULT)).is_some_and(|word| word == "true")
        };
        // Of several the newest; of those of one second the first by name.
        let newest = classes.iter().filter(is_default).max_by(|a, b| {
            let time = |class: &IngressClass| class.metadata.creation_timestamp.clone();
            time(a).cmp(&time(b)).then_with(|| b.metadata.name.cmp(&a.metadata.name))
        });
        if let Some(name) = newest.and_then(|class| class.metadata.name.as_deref()) {
            request.object["spec"]["ingressClassName"] = name.into();
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
    async fn an_ingress_without_a_class_gets_the_default() {
        let class = |name: &str, default: &str| {
            let annotations = json!({IS_DEFAULT: default});
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name, "annotations": annotations}})
        };
        let with = started([class("a", "false"), class("b", "true")], DefaultIngressClass).await.2;
        let without = started([class("a", "false")], DefaultIngressClass).await.2;
        for (case, plugin, class, annotations, expected) in [
            ("no class", &with, Value::Null, json!({}), json!("b")),
            ("a class", &with, json!("a"), json!({}), json!("a")),
            ("the old annotation", &with, Value::Null, json!({OLD_CLASS: "a"}), Value::Null),
            ("no default", &without, Value::Null, json!({}), Value::Null),
        ] {
            let ingress = json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i", "annotations": annotations},
                "spec": {"ingressClassName": class},
            });
            let request = request(Operation::Create, "ingresses", ingress, None);
            assert_eq!(admit(plugin, request).await.unwrap()["spec"]["ingressClassName"], expected, "{case}");
        }
    }
}
