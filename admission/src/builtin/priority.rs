//! `Priority`: turns the name of a priority class into the number that the scheduler goes by.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::scheduling::v1::PriorityClass;
use sdk_api::{Key, Status};
use sdk_plugin::{Admission, AdmissionRequest, Context, Operation};
use serde_json::Value;

use super::is_about;
use crate::refuse::forbidden;
use crate::world::World;

const PREEMPT: &str = "PreemptLowerPriority";

/// The classes that every cluster has.
const SYSTEM_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

fn is_about_class(request: &AdmissionRequest) -> bool {
    is_about(request, "scheduling.k8s.io", "priorityclasses")
}

pub struct Priority(pub Arc<World>);

/// What a class gives.
struct Given {
    name: String,
    value: i32,
    preemption: String,
}

#[async_trait]
impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    async fn start(&self, context: Context) -> Result<(), String> {
        self.0.follow::<PriorityClass>(&context);
        Ok(())
    }

    fn handles(&self, request: &AdmissionRequest) -> bool {
        match request.operation {
            Operation::Create | Operation::Update => is_about(request, "", "pods") || is_about_class(request),
            Operation::Delete => is_about_class(request),
            Operation::Connect => false,
        }
    }

    async fn mutate(&self, request: &mut AdmissionRequest) -> Result<(), Status> {
        if request.resource != "pods" || request.operation == Operation::Delete {
            return Ok(());
        }
        if request.operation == Operation::Update {
            keep(request);
            return Ok(());
        }
        let name = request.object["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
        let given = if name.is_empty() { self.default_class().await? } else { self.class(request, &name).await? };
        let spec = &request.object["spec"];
        if let Some(priority) = spec["priority"].as_i64().filter(|priority| *priority != i64::from(given.value)) {
            let why = format!(
                "the integer value of priority ({priority}) must not be provided in pod spec; priority admission \
                 controller computed {} from the given PriorityClass name",
                given.value
            );
            return Err(forbidden(request, why));
        }
        if let Some(policy) = spec["preemptionPolicy"].as_str().filter(|policy| *policy != given.preemption) {
            let why = format!(
                "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission \
                 controller computed {} from the given PriorityClass name",
                given.preemption
            );
            return Err(forbidden(request, why));
        }
        let spec = &mut request.object["spec"];
        if !given.name.is_empty() {
            spec["priorityClassName"] = given.name.into();
        }
        spec["priority"] = given.value.into();
        spec["preemptionPolicy"] = given.preemption.into();
        Ok(())
    }

    /// At most one class may be the default. The system's own classes stay.
    async fn validate(&self, request: &AdmissionRequest) -> Result<(), Status> {
        if request.operation == Operation::Delete {
            let is_systems = SYSTEM_CLASSES.contains(&request.name.as_str());
            let why = "this is a system priority class and cannot be deleted";
            return if is_systems { Err(forbidden(request, why)) } else { Ok(()) };
        }
        if request.resource == "pods" || request.object["globalDefault"] != true {
            return Ok(());
        }
        let name = request.object["metadata"]["name"].as_str().unwrap_or_default();
        let others = self.0.list::<PriorityClass>().await?;
        let other = others
            .iter()
            .filter(|class| class.global_default == Some(true))
            .find_map(|class| class.metadata.name.as_deref().filter(|other| *other != name));
        match other {
            Some(other) => {
                let why = format!("PriorityClass {other} is already marked as default. Only one default can exist");
                Err(forbidden(request, why))
            }
            None => Ok(()),
        }
    }
}

impl Priority {
    /// The default class with the lowest value, or no class and zero.
    async fn default_class(&self) -> Result<Given, Status> {
        let classes = self.0.list::<PriorityClass>().await?;
        let defaults = classes.iter().filter(|class| class.global_default == Some(true));
        let lowest = defaults.min_by_key(|class| class.value);
        Ok(lowest
            .map_or_else(|| Given { name: String::new(), value: 0, preemption: PREEMPT.into() }, |class| given(class)))
    }

    async fn class(&self, request: &AdmissionRequest, name: &str) -> Result<Given, Status> {
        let found = self.0.find(&Key::of::<PriorityClass>("", name)).await?;
        let class = found.and_then(|object| object.typed::<PriorityClass>().ok());
        let class = class.ok_or_else(|| forbidden(request, format!("no PriorityClass with name {name} was found")))?;
        Ok(given(&class))
    }
}

fn given(class: &PriorityClass) -> Given {
    Given {
        name: class.metadata.name.clone().unwrap_or_default(),
        value: class.value.unwrap_or(0),
        preemption: class.preemption_policy.clone().unwrap_or_else(|| PREEMPT.into()),
    }
}

/// Clients that know nothing of priorities leave them out of their updates; the pod keeps what it has.
fn keep(request: &mut AdmissionRequest) {
    let Some(old) = request.old.as_ref().map(|old| old.document()) else { return };
    for field in ["priority", "preemptionPolicy"] {
        let before = &old["spec"][field];
        if request.object["spec"][field].is_null() && *before != Value::Null {
            request.object["spec"][field] = before.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{admit, request, started};
    use super::*;

    fn class(name: &str, value: i64, is_default: bool) -> Value {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "globalDefault": is_default, "preemptionPolicy": if value > 50 { PREEMPT } else { "Never" },
        })
    }

    fn pod(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": spec})
    }

    #[tokio::test]
    async fn names_become_numbers() {
        let none = started([class("high", 100, false), class("low", 10, false)], Priority).await.2;
        let low = started([class("high", 100, false), class("low", 10, true)], Priority).await.2;
        let high = json!({"priorityClassName": "high", "priority": 100, "preemptionPolicy": PREEMPT});
        for (case, plugin, spec, expected) in [
            ("no class", &none, json!({}), Ok(json!({"priority": 0, "preemptionPolicy": PREEMPT}))),
            ("a class", &none, json!({"priorityClassName": "high"}), Ok(high.clone())),
            ("the right number with it", &none, high.clone(), Ok(high)),
            (
                "the default",
                &low,
                json!({}),
                Ok(json!({"priorityClassName": "low", "priority": 10, "preemptionPolicy": "Never"})),
            ),
            (
                "a number of one's own",
                &none,
                json!({"priority": 7}),
                Err(
                    "pods \"p\" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority \
                     admission controller computed 0 from the given PriorityClass name",
                ),
            ),
            (
                "an unknown class",
                &none,
                json!({"priorityClassName": "x"}),
                Err("pods \"p\" is forbidden: no PriorityClass with name x was found"),
            ),
        ] {
            let admitted = admit(plugin, request(Operation::Create, "pods", pod(spec), None)).await;
            let found = admitted.map(|pod| pod["spec"].clone()).map_err(|status| status.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{case}");
        }
    }

    #[tokio::test]
    async fn updates_keep_the_number() {
        let plugin = started([], Priority).await.2;
        let old = pod(json!({"priority": 5, "preemptionPolicy": "Never"}));
        let update = request(Operation::Update, "pods", pod(json!({})), Some(old.clone()));
        assert_eq!(admit(&plugin, update).await.unwrap()["spec"], old["spec"]);
    }

    #[tokio::test]
    async fn the_systems_classes_stay() {
        let plugin = started([], Priority).await.2;
        for (name, is_good) in [("high", true), ("system-node-critical", false)] {
            let request = request(Operation::Delete, "priorityclasses", Value::Null, Some(class(name, 1, false)));
            assert_eq!(admit(&plugin, request).await.is_ok(), is_good, "{name}");
        }
    }

    #[tokio::test]
    async fn only_one_class_is_the_default() {
        let plugin = started([class("low", 10, true)], Priority).await.2;
        for (name, is_default, refused) in [("low", true, false), ("high", true, true), ("high", false, false)] {
            let request = request(Operation::Create, "priorityclasses", class(name, 100, is_default), None);
            assert_eq!(admit(&plugin, request).await.is_err(), refused, "{name} {is_default}");
        }
    }
}
