//! Which pods go first when there are too many. Source: `controller.ActivePodsWithRanks`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::Pod;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that are the least loss. `crowds` says how many related pods run on each node.
pub(super) fn to_remove<'a>(
    active: &'a [Arc<Pod>],
    count: usize,
    crowds: &BTreeMap<String, usize>,
    now: Timestamp,
) -> Vec<&'a Arc<Pod>> {
    let mut pods: Vec<_> = active.iter().collect();
    if count < pods.len() {
        pods.sort_by_cached_key(|pod| loss(pod, crowds, now));
        pods.truncate(count);
    }
    pods
}

/// Less goes first. The parts are compared in order, each only where those before are equal.
///
/// Upstream compares uids as soon as two ages are of one magnitude, whatever the restarts say. That is no order at all:
/// a sort may take it amiss.
fn loss(pod: &Pod, crowds: &BTreeMap<String, usize>, now: Timestamp) -> impl Ord + use<> {
    let is_ready = sdk_workload::is_ready(pod);
    let crowd = node(pod).and_then(|node| crowds.get(node)).copied().unwrap_or(0);
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (
        // Not bound before bound, pending before running, not ready before ready, cheap before dear.
        (sdk_workload::is_bound(pod), phase(pod), is_ready, deletion_cost(pod)),
        // Those that share a node with many of their kind before those that stand alone.
        Reverse(crowd),
        ready_since(pod).filter(|_| is_ready).map(|since| magnitude(since, now)),
        Reverse(restarts(pod)),
        created.map(|since| magnitude(since, now)),
        pod.metadata.uid.clone(),
    )
}

/// The order of magnitude of an age. The younger go first, but ages of one magnitude are the same, so that old pods go
/// at random instead of always the youngest zone. Source: KEP-2185.
fn magnitude(since: Timestamp, now: Timestamp) -> i32 {
    let age = now.as_nanosecond() - since.as_nanosecond();
    u128::try_from(age).ok().and_then(u128::checked_ilog2).map_or(-1, |log| i32::try_from(log).unwrap_or(i32::MAX))
}

fn node(pod: &Pod) -> Option<&String> {
    pod.spec.as_ref()?.node_name.as_ref()
}

fn phase(pod: &Pod) -> u8 {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(DELETION_COST)?.parse().ok()).unwrap_or(0)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    sdk_workload::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0)
}

/// The most restarts of any container.
fn restarts(pod: &Pod) -> i32 {
    sdk_workload::container_states(pod).map(|state| state.restart_count).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use sdk_testkit::Build;
    use serde_json::json;

    use super::*;

    fn ready_at(name: &str, time: &str) -> Build {
        let condition = json!([{"type": "Ready", "status": "True", "lastTransitionTime": time}]);
        Build::pod("n", name).on_node("x").phase("Running").set("status.conditions", condition)
    }

    #[test]
    fn the_least_loss_goes_first() {
        let pod = |name: &str| Build::pod("n", name);
        let ready = |name: &str| pod(name).on_node("x").ready(true);
        let restarted = |name: &str, count: i32| {
            let status = json!([{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": count}]);
            ready(name).set("status.containerStatuses", status)
        };
        for (case, goes, stays) in [
            ("not bound before bound", pod("a"), pod("b").on_node("x")),
            ("pending before running", pod("a").on_node("x"), pod("b").on_node("x").phase("Running")),
            ("not ready before ready", pod("a").on_node("x").ready(false), ready("b")),
            ("cheap before dear", ready("a").annotation(DELETION_COST, "-5"), ready("b")),
            (
                "cost is read as a number",
                ready("a").annotation(DELETION_COST, "9"),
                ready("b").annotation(DELETION_COST, "10"),
            ),
            ("crowded before alone", ready("a").on_node("crowded"), ready("b")),
            (
                "ready for short before long",
                ready_at("a", "2026-01-01T00:59:00Z"),
                ready_at("b", "2026-01-01T00:00:00Z"),
            ),
            ("restarted before steady", restarted("a", 3), restarted("b", 0)),
            (
                "created lately before long ago",
                pod("a").created("2026-01-01T00:59:59Z"),
                pod("b").created("2025-01-01T00:00:00Z"),
            ),
            (
                "ages of one magnitude go by uid",
                ready_at("a", "2026-01-01T00:00:00Z"),
                ready_at("b", "2026-01-01T00:00:01Z"),
            ),
        ] {
            let crowds = BTreeMap::from([("crowded".to_owned(), 3), ("x".to_owned(), 1)]);
            let now = "2026-01-01T01:00:00Z".parse().unwrap();
            for pods in [[goes.clone(), stays.clone()], [stays.clone(), goes.clone()]] {
                let pods = pods.map(|pod| Arc::new(pod.typed::<Pod>()));
                let names: Vec<_> = to_remove(&pods, 1, &crowds, now).iter().map(|p| p.metadata.name.clone()).collect();
                assert_eq!(names, [Some("a".to_owned())], "{case}");
            }
        }
    }
}
