//! `pod-garbage-collector`: removes pods that nobody will remove: those of nodes that are gone, those deleted before they
//! had a node, and finished ones beyond a threshold.

use std::any::Any;
use std::sync::Arc;

use sdk_api::k8s_openapi::api::core::v1::{Node, Pod};
use sdk_api::time::rfc3339;
use sdk_api::{GroupResource, Key, Object};
use sdk_client::{DeleteOptions, Patch};
use sdk_plugin::{DynController, Plan, View, Watch};
use serde_json::json;

/// Finished pods that are kept. Source: `--terminated-pod-gc-threshold`.
const FINISHED_MAX: usize = 12_500;

/// The most pods removed by one plan.
const BATCH_MAX: usize = 500;

pub struct PodGarbageCollector {
    finished_max: usize,
}

impl Default for PodGarbageCollector {
    fn default() -> Self {
        Self { finished_max: FINISHED_MAX }
    }
}

impl DynController for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn resource(&self) -> Option<GroupResource> {
        None
    }

    fn watches(&self) -> Vec<Watch> {
        let finished_max = self.finished_max;
        vec![
            Watch::of::<Pod>(move |view, pod| keys_of_pod(view, pod, finished_max)),
            Watch::of::<Node>(|view, node| {
                if view.cache.get(node.key()).is_some() {
                    return Vec::new();
                }
                let pods = view.cache.list(&GroupResource::of::<Pod>(), "");
                let here = pods.into_iter().filter(|pod| node_of(pod).as_deref() == Some(node.name()));
                here.map(|pod| pod.key().clone()).collect()
            }),
        ]
    }

    fn plan(&self, view: &View<'_>, key: &Key, object: Option<&Arc<Object>>) -> Plan {
        if *key == all_pods() {
            return self.remove_finished(view);
        }
        let Some(object) = object else { return Plan::nothing() };
        match node_of(object) {
            Some(node) if is_gone(view, &node) => remove_of_gone_node(view, object, &node),
            None if object.meta().is_deleting() => Plan::nothing().delete(key.clone(), at_once(object)),
            _ => Plan::nothing(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl PodGarbageCollector {
    fn remove_finished(&self, view: &View<'_>) -> Plan {
        let pods = view.cache.list(&GroupResource::of::<Pod>(), "");
        let mut finished: Vec<_> =
            pods.into_iter().filter(|pod| is_finished(pod) && !pod.meta().is_deleting()).collect();
        let surplus = finished.len().saturating_sub(self.finished_max);
        finished.sort_by_key(|pod| (pod.meta().creation_timestamp, pod.key().clone()));
        let oldest = finished.iter().take(surplus.min(BATCH_MAX));
        oldest.fold(Plan::nothing(), |plan, pod| plan.delete(pod.key().clone(), at_once(pod)))
    }
}

fn keys_of_pod(view: &View<'_>, pod: &Object, finished_max: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    let is_lost = match node_of(pod) {
        Some(node) => is_gone(view, &node),
        None => pod.meta().is_deleting(),
    };
    if is_lost {
        keys.push(pod.key().clone());
    }
    // Counting is cheap only as long as it is rare.
    if is_finished(pod) && view.cache.list(&GroupResource::of::<Pod>(), "").len() > finished_max {
        keys.push(all_pods());
    }
    keys
}

/// The pod failed with its node, is told so, and removed without waiting for a kubelet. Only where a live read shows
/// that the node is gone.
fn remove_of_gone_node(view: &View<'_>, pod: &Arc<Object>, node: &str) -> Plan {
    let mut plan = Plan::nothing().write(sdk_plugin::PlannedWrite::Confirm {
        key: Key::of::<Node>("", node),
        uid: String::new(),
        alive: false,
    });
    if !is_finished(pod) {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": rfc3339(view.now)});
        let body = json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Failed", "conditions": [condition]}});
        plan = plan.patch(pod.key().clone(), "status", Patch::strategic(body));
    }
    plan.delete(pod.key().clone(), at_once(pod))
}

fn at_once(pod: &Object) -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(pod.uid()) }
}

fn is_gone(view: &View<'_>, node: &str) -> bool {
    view.cache.get(&Key::of::<Node>("", node)).is_none()
}

fn node_of(pod: &Object) -> Option<String> {
    pod.document()["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()).map(str::to_owned)
}

fn is_finished(pod: &Object) -> bool {
    matches!(pod.document()["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// The key that stands for all pods.
fn all_pods() -> Key {
    Key::of::<Pod>("", "")
}

#[cfg(test)]
mod tests {
    use sdk_plugin::{Cache, PlannedWrite};
    use sdk_testkit::{Build, FixedCache};

    use super::*;

    fn words(plan: &Plan) -> String {
        let word = |write: &PlannedWrite| match write {
            PlannedWrite::Confirm { alive: false, .. } => "confirm".to_owned(),
            PlannedWrite::Patch { patch, .. } => patch.body["status"]["phase"].as_str().unwrap().to_owned(),
            PlannedWrite::Delete { key, options, .. } => {
                assert_eq!(options.grace_period_seconds, Some(0));
                format!("delete {}", key.name)
            }
            other => panic!("{other:?}"),
        };
        plan.writes.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lost_pods_are_removed() {
        let pod = Build::pod("n", "p");
        let time = "2026-01-01T00:00:00Z";
        for (case, pod, wanted) in [
            ("on a node that is there", pod.clone().on_node("here"), ""),
            ("on a node that is gone", pod.clone().on_node("gone").phase("Running"), "confirm, Failed, delete p"),
            ("finished on a node that is gone", pod.clone().on_node("gone").phase("Succeeded"), "confirm, delete p"),
            ("pending", pod.clone(), ""),
            ("deleted before it had a node", pod.clone().deleting(time), "delete p"),
            ("deleting on a node", pod.clone().on_node("here").deleting(time), ""),
        ] {
            let mut cache = FixedCache::new([Build::node("here").tree()]);
            let object = cache.put(pod.tree());
            let view = cache.view(time.parse().unwrap());
            let keys = keys_of_pod(&view, &object, 10);
            assert_eq!(keys.is_empty(), wanted.is_empty(), "{case}");
            let plan = PodGarbageCollector::default().plan(&view, object.key(), Some(&object));
            assert_eq!(words(&plan), wanted, "{case}");
        }
    }

    #[test]
    fn the_oldest_finished_pods_go_beyond_the_threshold() {
        let pod = |name: &str, day: u32| {
            Build::pod("n", name).phase("Succeeded").created(&format!("2026-01-0{day}T00:00:00Z")).tree()
        };
        let cache = FixedCache::new([pod("a", 3), pod("b", 1), pod("c", 2), Build::pod("n", "d").tree()]);
        let view = cache.view("2026-01-05T00:00:00Z".parse().unwrap());
        let collector = PodGarbageCollector { finished_max: 1 };
        assert_eq!(words(&collector.plan(&view, &all_pods(), None)), "delete b, delete c");
        let finished = cache.get(&Key::of::<Pod>("n", "a")).unwrap();
        assert_eq!(keys_of_pod(&view, &finished, 1), [all_pods()]);
        assert!(keys_of_pod(&view, &finished, 4).is_empty());
    }
}
