//! The `eviction` subresource: deletes a pod where its disruption budget allows.
//!
//! Source: Kubernetes documentation, "API-initiated Eviction"; KEP-3017 for unhealthy pods.

use std::sync::Arc;

use async_trait::async_trait;
use sdk_api::k8s_openapi::api::core::v1::{Pod, PodCondition};
use sdk_api::k8s_openapi::api::policy::v1::{Eviction, PodDisruptionBudget};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sdk_api::{GroupResource, GroupVersionKind, Key, LabelSelector, Object, Reason, Status, Timestamp};
use sdk_client::{DeleteOptions, ListOptions, Propagation};
use sdk_plugin::{Action, Call};
use sdk_workload::{is_ready, set_condition};
use serde_json::{Value, json};

/// How many evictions may wait for the budget's controller. Source: `MaxDisruptedPodSize`.
const UNCONFIRMED_MAX: usize = 2000;

/// The action behind `pods/eviction`.
pub struct Evict;
#[async_trait]
impl Action for Evict {
    fn kind(&self) -> GroupVersionKind {
        GroupVersionKind::of::<Eviction>()
    }

    async fn run(&self, call: Call<'_>, object: Arc<Object>) -> Result<Value, Status> {
        let eviction: Eviction =
            serde_json::from_value(call.body.clone()).map_err(|e| Status::bad_request(e.to_string()))?;
        let name = eviction.metadata.name.as_deref().unwrap_or_default();
        if !name.is_empty() && name != object.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let pod = object.typed::<Pod>().map_err(|e| Status::internal(e.to_string()))?;
        let mut asked = options(&eviction, &object);
        // What is evicted for what it is now must not have become something else meanwhile.
        let mut as_it_is = is_free(&pod) && !is_going(&pod);
        if !is_free(&pod)
            && let Some(budget) = budget_of(&call, &pod).await?
        {
            as_it_is = spend(&call, &pod, &budget).await? == Spent::Nothing;
        }
        if as_it_is && asked.resource_version.is_none() {
            asked.resource_version = Some(object.revision());
        }
        if !call.dry_run {
            if !is_going(&pod) {
                let announced = announce(&call, object.key(), asked.resource_version).await?;
                asked.resource_version = asked.resource_version.map(|_| announced.revision());
            }
            call.server.client().delete(object.key(), asked).await?;
        }
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }
}

fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// What an eviction cost its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    /// The pod did not count as healthy, and the budget lets such pods go.
    Nothing,
    One,
}

/// Whether the pod does no work that a budget could protect.
fn is_free(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed" | "Pending")) || is_going(pod)
}

fn options(eviction: &Eviction, object: &Object) -> DeleteOptions {
    let asked = eviction.delete_options.clone().unwrap_or_default();
    let preconditions = asked.preconditions.unwrap_or_default();
    DeleteOptions {
        uid: Some(preconditions.uid.unwrap_or_else(|| object.uid().to_owned())),
        resource_version: preconditions.resource_version.and_then(|text| text.parse().ok()),
        propagation: asked.propagation_policy.as_deref().and_then(|policy| match policy {
            "Orphan" => Some(Propagation::Orphan),
            "Background" => Some(Propagation::Background),
            "Foreground" => Some(Propagation::Foreground),
            _ => None,
        }),
        grace_period_seconds: asked.grace_period_seconds,
    }
}

/// The one budget that covers the pod.
async fn budget_of(call: &Call<'_>, pod: &Pod) -> Result<Option<Arc<Object>>, Status> {
    let resource = GroupResource::of::<PodDisruptionBudget>();
    let budgets = call.server.client().list(&resource, call.namespace, ListOptions::default()).await?;
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let mut covering = budgets.objects.into_iter().filter(|budget| covers(budget, &labels));
    match (covering.next(), covering.next()) {
        (_, Some(_)) => Err(Status::new(
            500,
            Reason::Unknown,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )),
        (first, None) => Ok(first),
    }
}

fn covers(budget: &Object, labels: &std::collections::BTreeMap<String, String>) -> bool {
    let Ok(budget) = budget.typed::<PodDisruptionBudget>() else { return false };
    // No selector selects nothing; an empty one everything. Source: API reference, PodDisruptionBudgetSpec.
    let Some(selector) = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return false };
    LabelSelector::from_typed(selector).is_ok_and(|selector| selector.matches(labels))
}

/// Takes one disruption off the budget, in competition with other evictions.
async fn spend(call: &Call<'_>, pod: &Pod, budget: &Object) -> Result<Spent, Status> {
    let key = budget.key().clone();
    let now = call.server.clock().now();
    if call.dry_run {
        let mut document = Value::clone(budget.tree());
        return take(&mut document, pod, &key, now);
    }
    let mut spent = Spent::Nothing;
    let mut change = |document: &mut Value| {
        spent = take(document, pod, &key, now)?;
        Ok(())
    };
    match call.server.rewrite(&key, &mut change).await {
        Ok(_) => Ok(spent),
        // The budget went away meanwhile, and nothing protects the pod any more.
        Err(status) if status.is_not_found() => Ok(Spent::One),
        Err(status) => Err(status),
    }
}

fn take(document: &mut Value, pod: &Pod, key: &Key, now: Timestamp) -> Result<Spent, Status> {
    let budget: PodDisruptionBudget =
        serde_json::from_value(document.clone()).map_err(|e| Status::internal(e.to_string()))?;
    let status = budget.status.clone().unwrap_or_default();
    let number = |field: Option<i32>| field.unwrap_or(0);
    let (wanted, healthy) = (number(status.desired_healthy), number(status.current_healthy));
    let allowed = number(status.disruptions_allowed);
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    if !is_ready(pod) && (policy == Some("AlwaysAllow") || (healthy >= wanted && wanted > 0)) {
        return Ok(Spent::Nothing);
    }
    let refuse = |retry: u32, why: String| {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Err(Status::too_many_requests(message, retry).with_cause("DisruptionBudget", &why, ""))
    };
    if status.observed_generation.unwrap_or(0) < budget.metadata.generation.unwrap_or(0) {
        let why = format!("The disruption budget {} is still being processed by the server.", key.name);
        return refuse(10, why);
    }
    let forbidden = |why: &str| Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &key.name, why);
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if status.disrupted_pods.as_ref().map_or(0, std::collections::BTreeMap::len) > UNCONFIRMED_MAX {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        let mut conditions = status.conditions.iter().flatten();
        let failed = conditions.find(|c| c.type_ == ALLOWED && c.status == "False" && c.reason == "SyncFailed");
        if let Some(condition) = failed {
            let why = format!(
                "The disruption budget {} does not allow evicting pods currently because it failed sync: {}",
                key.name, condition.message
            );
            return refuse(0, why);
        }
        let why = format!("The disruption budget {} needs {wanted} healthy pods and has {healthy} currently", key.name);
        return refuse(0, why);
    }
    document["status"]["disruptionsAllowed"] = (allowed - 1).into();
    let time = serde_json::to_value(Time(sdk_api::time::whole_seconds(now))).unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    document["status"]["disruptedPods"][name] = time.clone();
    if allowed == 1 {
        exhausted(document, &budget, time);
    }
    Ok(Spent::One)
}

/// The condition that says whether a budget allows anything.
const ALLOWED: &str = "DisruptionAllowed";

/// Says on the budget that nothing is left of it. Source: `UpdateDisruptionAllowedCondition`.
fn exhausted(document: &mut Value, budget: &PodDisruptionBudget, time: Value) {
    let mut known = budget.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let since = known.find(|known| known.type_ == ALLOWED && known.status == "False");
    let since = since.and_then(|known| serde_json::to_value(&known.last_transition_time).ok()).unwrap_or(time);
    let condition = json!({"type": ALLOWED, "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": budget.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0),
        "lastTransitionTime": since});
    let conditions = document["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let others = conditions.into_iter().filter(|known| known["type"] != ALLOWED);
    document["status"]["conditions"] = others.chain([condition]).collect::<Vec<_>>().into();
}

/// Says on the pod why it goes. `revision` is the one it must still have. Source: KEP-3329.
async fn announce(call: &Call<'_>, key: &Key, revision: Option<u64>) -> Result<Arc<Object>, Status> {
    let now = call.server.clock().now();
    call.server
        .rewrite(key, &mut |document| {
            let stored = document["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            if let Some(wanted) = revision.filter(|wanted| wanted.to_string() != stored) {
                let why = format!(
                    "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({stored}). \
                     The object might have been modified"
                );
                return Err(Status::conflict(&key.resource, &key.name, why));
            }
            let mut pod: Pod = serde_json::from_value(document.clone()).map_err(|e| Status::internal(e.to_string()))?;
            let target = PodCondition {
                type_: "DisruptionTarget".into(),
                status: "True".into(),
                reason: Some("EvictionByEvictionAPI".into()),
                message: Some("Eviction API: evicting".into()),
                ..PodCondition::default()
            };
            if set_condition(&mut pod, target, now) {
                document["status"]["conditions"] = serde_json::to_value(pod.status.and_then(|s| s.conditions))
                    .map_err(|e| Status::internal(e.to_string()))?;
            }
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::super::super::test_server::TestServer;
    use super::*;

    fn pod(ready: bool) -> Pod {
        let status = if ready { "True" } else { "False" };
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}}))
        .unwrap()
    }

    #[test]
    fn a_budget_is_spent_or_refuses() {
        let key = Key::of::<PodDisruptionBudget>("a", "b");
        for (case, ready, spec, status, outcome) in [
            ("allowed", true, json!({}), json!({"disruptionsAllowed": 1}), Ok(0)),
            (
                "spent",
                true,
                json!({}),
                json!({"disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 2}),
                Err((429, "The disruption budget b needs 2 healthy pods and has 2 currently")),
            ),
            (
                "out of step",
                true,
                json!({}),
                json!({"disruptionsAllowed": 0, "conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
                    "message": "no scale", "lastTransitionTime": "1970-01-01T00:00:00Z"}]}),
                Err((
                    429,
                    "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
                )),
            ),
            (
                "not ready, budget healthy",
                false,
                json!({}),
                json!({"disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 2}),
                Ok(0),
            ),
            (
                "not ready, budget unhealthy",
                false,
                json!({}),
                json!({"disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 1}),
                Err((429, "The disruption budget b needs 2 healthy pods and has 1 currently")),
            ),
            (
                "not ready, always allowed",
                false,
                json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"}),
                json!({"disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 1}),
                Ok(0),
            ),
            (
                "not yet seen by its controller",
                true,
                json!({}),
                json!({"disruptionsAllowed": 1, "observedGeneration": 1}),
                Err((429, "The disruption budget b is still being processed by the server.")),
            ),
        ] {
            let generation = if case.starts_with("not yet") { 2 } else { 0 };
            let mut budget =
                json!({"metadata": {"name": "b", "generation": generation}, "spec": spec, "status": status});
            let result = take(&mut budget, &pod(ready), &key, Timestamp::UNIX_EPOCH);
            let result = result.map(|_| budget["status"]["disruptionsAllowed"].as_i64().unwrap());
            let result = result.map_err(|status| (status.code, status.details.unwrap().causes[0].message.clone()));
            assert_eq!(result, outcome.map_err(|(code, why)| (code, why.to_owned())), "{case}");
        }
    }

    #[test]
    fn the_pod_is_noted_until_the_controller_sees_it_go() {
        let key = Key::of::<PodDisruptionBudget>("a", "b");
        let mut budget = json!({"metadata": {}, "status": {"disruptionsAllowed": 2}});
        take(&mut budget, &pod(true), &key, Timestamp::UNIX_EPOCH).unwrap();
        let expected = json!({"disruptionsAllowed": 1, "disruptedPods": {"p": "1970-01-01T00:00:00Z"}});
        assert_eq!(budget["status"], expected);
        take(&mut budget, &pod(true), &key, Timestamp::UNIX_EPOCH).unwrap();
        let condition = &budget["status"]["conditions"][0];
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("InsufficientPods")));
    }

    async fn evict(phase: &str, budgets: &[(&str, i32)], dry_run: bool) -> (Result<(), (u16, String)>, TestServer) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p", "labels": {"app": "x"}},
            "spec": {"containers": []}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}});
        let budget = |(app, allowed): &(&str, i32)| {
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"namespace": "a", "name": format!("b{app}{allowed}")},
                "spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"observedGeneration": 1, "disruptionsAllowed": allowed}})
        };
        let server = TestServer::new(std::iter::once(pod).chain(budgets.iter().map(budget)));
        let object = server.api.object(&Key::of::<Pod>("a", "p")).unwrap();
        let mut call = server.call(json!({"metadata": {"name": "p"}}));
        call.dry_run = dry_run;
        let result = Evict.run(call, object).await;
        (result.map(drop).map_err(|status| (status.code, status.message)), server)
    }

    #[tokio::test]
    async fn eviction_asks_the_budget_and_deletes() {
        let too_many = "Cannot evict pod as it would violate the pod's disruption budget.";
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource \
            does not support.";
        for (case, phase, budgets, dry_run, result, gone) in [
            ("no budget", "Running", vec![], false, Ok(()), true),
            ("a budget of others", "Running", vec![("y", 0)], false, Ok(()), true),
            ("allowed", "Running", vec![("x", 1)], false, Ok(()), true),
            ("allowed, dry", "Running", vec![("x", 1)], true, Ok(()), false),
            ("not allowed", "Running", vec![("x", 0)], false, Err((429, too_many.to_owned())), false),
            ("not allowed, but finished", "Succeeded", vec![("x", 0)], false, Ok(()), true),
            ("not allowed, but pending", "Pending", vec![("x", 0)], false, Ok(()), true),
            ("two budgets", "Running", vec![("x", 1), ("x", 2)], false, Err((500, two.to_owned())), false),
        ] {
            let (answer, server) = evict(phase, &budgets, dry_run).await;
            assert_eq!(answer, result, "{case}");
            assert_eq!(server.api.object(&Key::of::<Pod>("a", "p")).is_none(), gone, "{case}");
        }
        let (_, server) = evict("Running", &[("x", 1)], false).await;
        let budget = server.api.tree(&Key::of::<PodDisruptionBudget>("a", "bx1"));
        assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    }
}
