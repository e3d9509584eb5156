//! Tables of ReplicaSet plans, and the loop run against the server in memory.

use sdk_client::Verb;
use sdk_plugin::{Failure, PlannedWrite};
use sdk_testkit::{Build, FixedCache};
use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

fn set(replicas: i64) -> Build {
    Build::replica_set("n", "web", replicas)
}

fn pod(name: &str) -> Build {
    Build::pod("n", name).label("app", "web").controlled_by(&set(1)).on_node("x")
}

/// Plans, and writes down what came in short: `create x2 delete a status ready=1`.
fn plan(set: Build, others: Vec<Build>, failure: Option<Failure>) -> (Plan, String) {
    let mut cache = FixedCache::new(others.into_iter().map(Build::tree));
    cache.failure = failure;
    let set: ReplicaSet = cache.put(set.tree()).typed::<ReplicaSet>().map(|set| (*set).clone()).unwrap();
    let plan = ReplicaSetController.plan(&cache.view(NOW.parse().unwrap()), &set);
    let mut words: Vec<String> = Vec::new();
    let mut creates = 0;
    for write in &plan.writes {
        match write {
            PlannedWrite::Create { .. } => creates += 1,
            PlannedWrite::Delete { key, options, .. } => {
                assert_eq!(options.uid.as_deref(), Some(&*format!("uid-{}", key.name)));
                words.push(format!("delete {}", key.name));
            }
            PlannedWrite::Update { subresource, body, .. } => {
                assert_eq!(*subresource, "status");
                let status = &body["status"];
                let count = |field: &str| status[field].as_i64().unwrap_or(0);
                words.push(format!(
                    "status {}/{}/{} gen {}",
                    count("replicas"),
                    count("readyReplicas"),
                    count("availableReplicas"),
                    count("observedGeneration")
                ));
                for condition in status["conditions"].as_array().into_iter().flatten() {
                    words.push(condition["reason"].as_str().unwrap().into());
                }
            }
            PlannedWrite::Confirm { .. } => words.push("confirm".into()),
            PlannedWrite::Patch { key, .. } => words.push(format!("patch {}", key.name)),
            PlannedWrite::Event(_) => {}
        }
    }
    if creates > 0 {
        words.insert(0, format!("create x{creates}"));
    }
    (plan, words.join(", "))
}

fn steady(set: Build, replicas: i64) -> Build {
    let status = json!({"replicas": replicas, "fullyLabeledReplicas": replicas, "readyReplicas": replicas,
        "availableReplicas": replicas, "observedGeneration": 1, "terminatingReplicas": 0});
    set.set("status", status)
}

#[test]
fn plans_make_up_the_difference() {
    let ready = |name: &str| pod(name).ready(true);
    let time = "2026-01-01T00:00:30Z";
    let failed = |verb| Failure { verb, resource: GroupResource::of::<Pod>(), message: "quota".into() };
    for (case, set, pods, failure, wanted) in [
        ("nothing yet", set(3), vec![], None, "create x3, status 0/0/0 gen 1"),
        ("one missing", set(2), vec![ready("a")], None, "create x1, status 1/1/1 gen 1"),
        ("level", steady(set(1), 1), vec![ready("a")], None, ""),
        ("level, status behind", set(1), vec![ready("a")], None, "status 1/1/1 gen 1"),
        ("one too many", set(1), vec![ready("a"), pod("b")], None, "delete b, status 2/1/1 gen 1"),
        ("to zero", set(0), vec![ready("a"), ready("b")], None, "delete a, delete b, status 2/2/2 gen 1"),
        ("finished pods do not count", set(1), vec![ready("a").phase("Failed")], None, "create x1, status 0/0/0 gen 1"),
        ("deleting pods do not count", set(1), vec![ready("a").deleting(time)], None, "create x1, status 0/0/0 gen 1"),
        (
            "a matching orphan is adopted",
            set(1),
            vec![Build::pod("n", "o").label("app", "web")],
            None,
            "confirm, patch o, status 1/0/0 gen 1",
        ),
        (
            "one that no longer matches is released",
            set(1),
            vec![pod("a").label("app", "x")],
            None,
            "create x1, patch a, status 0/0/0 gen 1",
        ),
        ("being deleted: nothing is made", set(2).deleting(time), vec![ready("a")], None, "status 1/1/1 gen 1"),
        (
            "a failure is told first",
            steady(set(1), 0),
            vec![],
            Some(failed(Verb::Create)),
            "create x1, status 0/0/0 gen 1, FailedCreate",
        ),
        (
            "it is not told twice",
            steady(set(1), 0)
                .condition("ReplicaFailure", "True", "FailedCreate")
                .set("status.readyReplicas", json!(null))
                .set("status.availableReplicas", json!(null))
                .set("status.fullyLabeledReplicas", json!(null)),
            vec![],
            Some(failed(Verb::Create)),
            "create x1",
        ),
        (
            "it is taken back",
            steady(set(1), 1).condition("ReplicaFailure", "True", "FailedCreate"),
            vec![ready("a")],
            None,
            "status 1/1/1 gen 1",
        ),
        ("a burst is bounded", set(700), vec![], None, "create x500, status 0/0/0 gen 1"),
    ] {
        assert_eq!(plan(set, pods, failure).1, wanted, "{case}");
    }
}

#[test]
fn pods_are_made_from_the_template() {
    let set = set(1)
        .set("spec.template.metadata.annotations", json!({"a": "b"}))
        .set("spec.template.metadata.name", json!("ignored"));
    let (plan, _) = plan(set, vec![], None);
    let PlannedWrite::Create { namespace, body, note, .. } = &plan.writes[0] else { panic!("{plan:?}") };
    assert_eq!(namespace, "n");
    assert_eq!(
        body["metadata"],
        json!({"generateName": "web-", "namespace": "n", "labels": {"app": "web"}, "annotations": {"a": "b"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid-web",
                "controller": true, "blockOwnerDeletion": true}]})
    );
    assert_eq!(body["spec"]["containers"][0]["image"], "busybox");
    let (success, failure) = (note.success.as_ref().unwrap(), note.failure.as_ref().unwrap());
    assert_eq!((success.reason.as_str(), success.message.as_str()), ("SuccessfulCreate", "Created pod: {name}"));
    assert_eq!((failure.reason.as_str(), failure.message.as_str()), ("FailedCreate", "Error creating: {error}"));
    assert_eq!(success.regarding["uid"], "uid-web");
}

#[test]
fn pods_become_available_with_time() {
    let young = set(2).set("spec.minReadySeconds", json!(90));
    let (plan, short) = plan(young, vec![pod("a").ready(true), pod("b").ready(false)], None);
    assert_eq!(short, "status 2/1/0 gen 1");
    assert_eq!(plan.again_in, Some(std::time::Duration::from_secs(30)));
}

#[test]
fn sets_of_one_deployment_share_the_load_of_nodes() {
    let deployment = Build::deployment("n", "d", 2);
    let set = set(1).controlled_by(&deployment);
    let other = Build::replica_set("n", "old", 1).controlled_by(&deployment);
    let neighbour = Build::pod("n", "z").controlled_by(&other).on_node("full").ready(true);
    let here = pod("a").on_node("full").ready(true);
    let alone = pod("b").on_node("empty").ready(true);
    assert_eq!(plan(set, vec![here, alone, other, neighbour], None).1, "delete a, status 2/2/2 gen 1");
}
