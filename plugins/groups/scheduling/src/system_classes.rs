//! Makes the priority classes that every cluster has.

use std::time::Duration;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::scheduling::v1::PriorityClass;
use sdk_api::{Key, Status};
use sdk_client::{Client, Subject};
use sdk_plugin::{Agent, Context};
use serde_json::json;

use crate::kinds::priority_class::SYSTEM_CLASSES;

/// The pause between two tries, while the server comes up.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub struct SystemClasses;

#[async_trait]
impl Agent for SystemClasses {
    fn name(&self) -> &'static str {
        "system-priority-classes"
    }

    fn identity(&self) -> Subject {
        Subject::new("system:apiserver", &["system:masters"])
    }

    async fn run(&self, context: Context) -> Result<(), String> {
        while let Err(error) = make(&context.client).await {
            tracing::debug!(%error, "Cannot make the priority classes of the system yet.");
            let pause = context.clock.sleep(PAUSE);
            if context.stop.run_until_cancelled(pause).await.is_none() {
                return Ok(());
            }
        }
        context.stop.cancelled().await;
        Ok(())
    }
}

/// Makes those that are missing.
async fn make(client: &Client) -> Result<(), Status> {
    for (name, value, description) in SYSTEM_CLASSES {
        let key = Key::of::<PriorityClass>("", name);
        if client.find(&key).await?.is_some() {
            continue;
        }
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        });
        match client.create(&key.resource, "", class).await {
            Err(status) if !status.is_already_exists() => return Err(status),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sdk_client::Verb;
    use sdk_testkit::{FakeApi, ManualClock};

    use super::*;

    #[tokio::test]
    async fn the_classes_are_made_once() {
        let api = FakeApi::new(ManualClock::new());
        for _ in 0..2 {
            make(&api.admin()).await.unwrap();
        }
        let resource = sdk_api::GroupResource::of::<PriorityClass>();
        assert_eq!(api.count(Verb::Create, &resource), 2);
        let critical = api.tree(&Key::of::<PriorityClass>("", "system-node-critical"));
        assert_eq!(critical["value"], 2_000_001_000);
    }
}
