//! Deployments: whole rollouts against the server in memory, and tables of single passes.

use std::time::Duration;

use sdk_api::{GroupResource, Status};
use sdk_client::Verb;
use sdk_testkit::{Build, FixedCache};
use serde_json::Value;

use super::*;
use crate::controllers::world::{World, condition};

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn runs(image: &str) -> impl Fn(&Object) -> bool {
    let image = image.to_owned();
    move |pod| pod.tree()["spec"]["containers"][0]["image"] == image.as_str()
}

async fn rolled_out(replicas: i64) -> World {
    let world = World::start();
    world.create(Build::deployment("n", "web", replicas)).await;
    world.run_until_level(|_| true, |_| {}).await;
    world
}

#[tokio::test]
async fn a_deployment_comes_up() {
    let world = rolled_out(3).await;
    let sets = world.sets();
    assert_eq!(sets.len(), 1);
    assert_eq!((sets[0].1.as_str(), sets[0].2), ("1", 3));
    assert_eq!(world.ready(), 3);
    let deployment = world.deployment("web");
    assert_eq!(deployment["metadata"]["annotations"][REVISION], "1");
    let status = &deployment["status"];
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        assert_eq!(status[field], 3, "{field}");
    }
    assert!(status.get("unavailableReplicas").is_none());
    assert_eq!(status["observedGeneration"], deployment["metadata"]["generation"]);
    assert_eq!(condition(&deployment, "Available"), "True MinimumReplicasAvailable");
    assert_eq!(condition(&deployment, "Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(world.events("ScalingReplicaSet"), [format!("Scaled up replica set {} from 0 to 3", sets[0].0)]);
    assert_eq!(world.events("SuccessfulCreate").len(), 3);
    let set = &world.api.objects(&GroupResource::of::<ReplicaSet>(), "n")[0];
    let hash = set.name().strip_prefix("web-").unwrap();
    assert_eq!(set.tree()["spec"]["selector"]["matchLabels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(set.tree()["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], hash);
    assert_eq!(set.meta().labels["pod-template-hash"], hash);
    assert_eq!(
        (set.meta().annotations[sets::DESIRED].as_str(), set.meta().annotations[sets::MAX].as_str()),
        ("3", "4")
    );
    assert_eq!(world.clock.sleepers(), 0, "a finished rollout waits for nothing");
}

#[tokio::test]
async fn a_rolling_update_stays_within_its_bounds() {
    let world = rolled_out(10).await;
    world.patch_deployment("web", image("busybox:2")).await;
    // 25 % of 10: three more at most, two fewer available at most.
    let check = |world: &World| {
        assert!(world.running() <= 13, "{} pods run", world.running());
        assert!(world.ready() >= 8, "{} pods are ready", world.ready());
    };
    world.run_until_level(|_| true, check).await;
    let sizes: Vec<_> = world.sets().into_iter().map(|(_, revision, size)| (revision, size)).collect();
    assert_eq!(sizes, [("1".to_owned(), 0), ("2".to_owned(), 10)]);
    assert!(world.pods().iter().all(|pod| runs("busybox:2")(pod)));
    let deployment = world.deployment("web");
    assert_eq!(deployment["metadata"]["annotations"][REVISION], "2");
    assert_eq!(condition(&deployment, "Progressing"), "True NewReplicaSetAvailable");
}

#[tokio::test]
async fn undoing_returns_to_the_old_set_with_a_new_revision() {
    let world = rolled_out(2).await;
    let first = world.sets()[0].0.clone();
    world.patch_deployment("web", image("busybox:2")).await;
    world.run_until_level(|_| true, |_| {}).await;
    world.patch_deployment("web", image("busybox")).await;
    world.run_until_level(|_| true, |_| {}).await;
    let sets = world.sets();
    assert_eq!(sets.len(), 2);
    assert_eq!(sets[1], (first.clone(), "3".into(), 2));
    let annotations = &world.api.tree(&Key::of::<ReplicaSet>("n", &first))["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(world.deployment("web")["metadata"]["annotations"][REVISION], "3");
}

#[tokio::test]
async fn a_template_that_does_not_start_stops_the_rollout() {
    let world = rolled_out(4).await;
    world.patch_deployment("web", image("broken")).await;
    world.run_until_level(runs("busybox"), |world| assert!(world.ready() >= 3)).await;
    let sizes: Vec<_> = world.sets().into_iter().map(|(_, _, size)| size).collect();
    assert_eq!(sizes, [3, 2], "one surge, one unavailable");
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "True ReplicaSetUpdated");
    world.clock.run_for(Duration::from_secs(610)).await;
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "False ProgressDeadlineExceeded");
    assert_eq!(condition(&world.deployment("web"), "Available"), "True MinimumReplicasAvailable");

    // In the middle of it the deployment is scaled: each set gets its share.
    world.patch_deployment("web", json!({"spec": {"replicas": 8}})).await;
    world.run_until_level(runs("busybox"), |_| {}).await;
    let sizes: Vec<_> = world.sets().into_iter().map(|(_, _, size)| size).collect();
    assert_eq!(sizes, [6, 4]);

    // And mended.
    world.patch_deployment("web", image("busybox:3")).await;
    world.run_until_level(|_| true, |_| {}).await;
    let sizes: Vec<_> = world.sets().into_iter().map(|(_, _, size)| size).collect();
    assert_eq!(sizes, [0, 0, 8]);
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "True NewReplicaSetAvailable");
}

#[tokio::test]
async fn scaling_changes_the_one_set() {
    let world = rolled_out(3).await;
    for replicas in [5, 0, 1] {
        world.patch_deployment("web", json!({"spec": {"replicas": replicas}})).await;
        world.run_until_level(|_| true, |_| {}).await;
        assert_eq!((world.sets()[0].2, world.ready()), (replicas, replicas as usize));
        let status = &world.deployment("web")["status"];
        assert_eq!(status["replicas"].as_i64().unwrap_or(0), replicas);
    }
    let name = &world.sets()[0].0;
    let mut told = world.events("ScalingReplicaSet");
    told.sort();
    let down = format!("Scaled down replica set {name} from 5 to 0");
    assert!(told.contains(&down), "{told:?}");
}

#[tokio::test]
async fn a_paused_deployment_scales_and_does_not_roll() {
    let world = rolled_out(2).await;
    world.patch_deployment("web", json!({"spec": {"paused": true}})).await;
    world.patch_deployment("web", image("busybox:2")).await;
    world.patch_deployment("web", json!({"spec": {"replicas": 4}})).await;
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(world.sets().len(), 1);
    assert_eq!(world.ready(), 4);
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "Unknown DeploymentPaused");
    world.patch_deployment("web", json!({"spec": {"paused": false}})).await;
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(world.sets().iter().map(|set| set.2).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "True NewReplicaSetAvailable");
}

#[tokio::test]
async fn recreating_waits_until_the_last_old_pod_is_gone() {
    let world = World::start();
    let strategy = json!({"type": "Recreate"});
    world.create(Build::deployment("n", "web", 3).set("spec.strategy", strategy)).await;
    world.run_until_level(|_| true, |_| {}).await;
    world.patch_deployment("web", image("busybox:2")).await;
    let check = |world: &World| {
        let old = world.pods().iter().filter(|pod| runs("busybox")(pod)).count();
        let new = world.pods().iter().filter(|pod| runs("busybox:2")(pod)).count();
        assert!(old == 0 || new == 0, "{old} old and {new} new pods");
    };
    world.run_until_level(|_| true, check).await;
    assert_eq!(world.sets().iter().map(|set| set.2).collect::<Vec<_>>(), [0, 3]);
}

#[tokio::test]
async fn only_so_many_old_sets_are_kept() {
    let world = World::start();
    world.create(Build::deployment("n", "web", 1).set("spec.revisionHistoryLimit", json!(2))).await;
    for n in 0..5 {
        world.patch_deployment("web", image(&format!("busybox:{n}"))).await;
        world.run_until_level(|_| true, |_| {}).await;
        world.clock.run_for(Duration::from_secs(1)).await;
    }
    let revisions: Vec<_> = world.sets().into_iter().map(|(_, revision, _)| revision).collect();
    assert_eq!(revisions, ["4", "5", "6"]);
}

#[tokio::test]
async fn annotations_are_handed_on_but_for_kubectls() {
    let world = World::start();
    let deployment = Build::deployment("n", "web", 1)
        .annotation("kubernetes.io/change-cause", "first")
        .annotation("kubectl.kubernetes.io/last-applied-configuration", "{}");
    world.create(deployment).await;
    world.run_until_level(|_| true, |_| {}).await;
    let name = world.sets()[0].0.clone();
    let annotations = world.api.tree(&Key::of::<ReplicaSet>("n", &name))["metadata"]["annotations"].clone();
    assert_eq!(annotations["kubernetes.io/change-cause"], "first");
    assert!(annotations.get("kubectl.kubernetes.io/last-applied-configuration").is_none());
    world.patch_deployment("web", json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}})).await;
    world.run_until_level(|_| true, |_| {}).await;
    let annotations = world.api.tree(&Key::of::<ReplicaSet>("n", &name))["metadata"]["annotations"].clone();
    assert_eq!(annotations["kubernetes.io/change-cause"], "second");
}

#[tokio::test]
async fn a_taken_name_is_evaded() {
    let world = World::start();
    let deployment = Build::deployment("n", "web", 1);
    let spec = deployment.clone().typed::<Deployment>().spec.unwrap();
    let taken = format!("web-{}", sdk_workload::template_hash(&spec.template, None));
    world.api.seed(Build::replica_set("n", &taken, 0));
    world.create(deployment).await;
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(world.deployment("web")["status"]["collisionCount"], 1);
    assert_eq!(world.ready(), 1);
    assert_eq!(world.api.objects(&GroupResource::of::<ReplicaSet>(), "n").len(), 2);
}

#[tokio::test]
async fn a_set_that_cannot_be_made_is_told() {
    let world = World::start();
    let sets = GroupResource::of::<ReplicaSet>();
    for _ in 0..3 {
        world.api.fail_next(Verb::Create, &sets, Status::forbidden(&sets, "", "quota"));
    }
    world.create(Build::deployment("n", "web", 1)).await;
    sdk_testkit::settle().await;
    world.clock.run_for(Duration::from_millis(5)).await;
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "False ReplicaSetCreateError");
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(condition(&world.deployment("web"), "Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(world.events("ReplicaSetCreateError").len(), 1);
}

#[tokio::test]
async fn pods_that_cannot_be_made_are_told_up_to_the_deployment() {
    let world = World::start();
    let pods = GroupResource::of::<Pod>();
    world.api.intercept(move |_, request| {
        let refused = request.verb == Verb::Create && request.target.resource == pods;
        refused.then(|| Status::forbidden(&pods, "", "exceeded quota: q"))
    });
    world.create(Build::deployment("n", "web", 2)).await;
    sdk_testkit::settle().await;
    world.clock.run_for(Duration::from_secs(1)).await;
    let deployment = world.deployment("web");
    assert_eq!(condition(&deployment, "ReplicaFailure"), "True FailedCreate");
    assert!(world.events("FailedCreate")[0].contains("exceeded quota: q"));
    world.api.intercept(|_, _| None);
    world.clock.run_for(Duration::from_secs(5)).await;
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(condition(&world.deployment("web"), "ReplicaFailure"), "");
    assert_eq!(world.ready(), 2);
}

#[tokio::test]
async fn a_deleted_pod_is_replaced() {
    let world = rolled_out(3).await;
    let pod = world.pods()[0].clone();
    world.api.admin().delete(pod.key(), Default::default()).await.unwrap();
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(world.ready(), 3);
    assert!(world.pods().iter().all(|other| other.uid() != pod.uid()));
}

#[tokio::test]
async fn a_hundred_pods_take_a_hundred_creations() {
    let world = rolled_out(100).await;
    assert_eq!(world.api.count(Verb::Create, &GroupResource::of::<Pod>()), 100);
    assert_eq!(world.api.count(Verb::Create, &GroupResource::of::<ReplicaSet>()), 1);
}

#[tokio::test]
async fn replication_controllers_keep_their_pods_too() {
    let world = World::start();
    let template = Build::replica_set("n", "old", 2).tree()["spec"]["template"].clone();
    let spec = json!({"replicas": 2, "selector": {"app": "old"}, "template": template});
    world.api.seed(Build::new("v1", "ReplicationController", "n", "old").set("spec", spec));
    world.run_until_level(|_| true, |_| {}).await;
    assert_eq!(world.ready(), 2);
    let tree = world.api.tree(&Key::new(&GroupResource::new("", "replicationcontrollers"), "n", "old"));
    assert_eq!(
        tree["status"],
        json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "fullyLabeledReplicas": 2, "observedGeneration": 1})
    );
}

#[tokio::test]
async fn a_cluster_at_rest_is_quiet() {
    let world = rolled_out(3).await;
    world.patch_deployment("web", image("busybox:2")).await;
    world.run_until_level(|_| true, |_| {}).await;
    let (revision, writes) = (world.api.revision(), world.api.writes().len());
    world.clock.run_for(Duration::from_secs(3600)).await;
    assert_eq!((world.api.revision(), world.api.writes().len()), (revision, writes));
    assert_eq!(world.clock.sleepers(), 0);
}

/// Caches that lag, watches that end, writes that fail, pods that vanish: there are never more pods than wanted, and in
/// the end as many as wanted.
#[tokio::test]
async fn bad_weather_never_makes_too_many_pods() {
    for seed in 1..=20_u64 {
        let world = World::start();
        world.api.seed(Build::replica_set("n", "web", 5));
        let (pods, sets) = (GroupResource::of::<Pod>(), GroupResource::of::<ReplicaSet>());
        let mut random = seed;
        let mut next = |bound: u64| {
            // A linear congruential generator is random enough to choose the weather.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for step in 0..200 {
            let any_pod = |at: u64| world.pods().get(usize::try_from(at).unwrap()).cloned();
            match next(10) {
                0 => world.api.freeze(&pods),
                1 | 2 => world.api.thaw(&pods),
                3 => world.api.drop_watches(if next(2) == 0 { &pods } else { &sets }),
                4 => world.api.compact(&pods),
                5 => world.api.fail_next(Verb::Create, &pods, Status::internal("bad weather")),
                6 => world.api.fail_next(Verb::Update, &sets, Status::modified(&sets, "web")),
                7 => drop(any_pod(next(6)).map(|pod| world.api.remove(pod.key()))),
                8 => world.start_pods(|_| true),
                _ => world.clock.run_for(Duration::from_millis(next(50))).await,
            }
            for _ in 0..next(40) {
                tokio::task::yield_now().await;
            }
            assert!(world.running() <= 5, "seed {seed}, step {step}: {} pods", world.running());
        }
        world.api.thaw(&pods);
        world.api.clear_failures();
        // The longest pause between two tries.
        world.clock.run_for(Duration::from_secs(1000)).await;
        world.run_until_level(|_| true, |_| {}).await;
        assert_eq!(world.ready(), 5, "seed {seed}");
    }
}

/// Proportional scaling in single passes: sizes and limits before, sizes after.
#[test]
fn proportional_scaling() {
    for (case, wanted, before, after) in [
        ("up evenly", 10, [(5, 5, 5), (5, 5, 5)], [5, 5]),
        ("up in proportion", 20, [(8, 10, 10), (2, 10, 10)], [16, 4]),
        ("the largest takes the rest", 11, [(5, 10, 10), (5, 10, 10)], [5, 6]),
        ("down in proportion", 5, [(8, 10, 10), (2, 10, 10)], [4, 1]),
        ("to zero", 0, [(8, 10, 10), (2, 10, 10)], [0, 0]),
    ] {
        let deployment = Build::deployment("n", "web", wanted)
            .set("spec.strategy.rollingUpdate", json!({"maxSurge": 0, "maxUnavailable": 1}))
            .set("spec.template.spec.containers", json!([{"name": "c", "image": "new"}]));
        let sets: Vec<_> = before
            .iter()
            .enumerate()
            .map(|(n, (size, desired, max))| {
                let set = Build::replica_set("n", "web", *size).controlled_by(&deployment);
                set.set("metadata.name", format!("web-{n}").into())
                    .uid(&format!("uid-{n}"))
                    .label("app", "web")
                    .created(&format!("2026-01-01T00:00:0{n}Z"))
                    .annotation(sets::DESIRED, &desired.to_string())
                    .annotation(sets::MAX, &max.to_string())
                    .set("status", json!({"replicas": size, "availableReplicas": size}))
                    .set("spec.template.spec.containers", json!([{"name": "c", "image": n.to_string()}]))
                    .tree()
            })
            .collect();
        let cache = FixedCache::new(sets);
        let deployment: Deployment = deployment.typed();
        let plan = DeploymentController.plan(&cache.view("2026-01-01T00:01:00Z".parse().unwrap()), &deployment);
        let mut sizes = before.map(|(size, _, _)| size);
        for write in plan.writes {
            if let PlannedWrite::Patch { key, patch, .. } = write
                && let Some(size) = patch.body["spec"]["replicas"].as_i64()
            {
                sizes[usize::from(&*key.name == "web-1")] = size;
            }
        }
        assert_eq!(sizes, after, "{case}");
    }
}

/// Single passes of a rolling update of four pods, one more and one fewer allowed: wanted and available pods of the old
/// and the new set before, wanted ones after.
#[test]
fn a_rolling_update_counts_on_no_pod_that_is_about_to_go() {
    for (case, before, after) in [
        ("all is well", [(3, 3), (2, 2)], [1, 2]),
        ("the old set has not followed yet", [(2, 3), (3, 2)], [1, 3]),
        ("the new set is not there yet", [(3, 3), (2, 0)], [3, 2]),
        ("broken old pods go first", [(3, 2), (2, 2)], [1, 2]),
    ] {
        let deployment = Build::deployment("n", "web", 4)
            .set("spec.strategy.rollingUpdate", json!({"maxSurge": 1, "maxUnavailable": 1}))
            .set("spec.template.spec.containers", json!([{"name": "c", "image": "1"}]));
        let sets: Vec<_> = before
            .iter()
            .enumerate()
            .map(|(n, (size, available))| {
                let set = Build::replica_set("n", "web", *size).controlled_by(&deployment);
                set.set("metadata.name", format!("web-{n}").into())
                    .uid(&format!("uid-{n}"))
                    .label("app", "web")
                    .created(&format!("2026-01-01T00:00:0{n}Z"))
                    .annotation(sets::DESIRED, "4")
                    .annotation(sets::MAX, "5")
                    .annotation(REVISION, &(n + 1).to_string())
                    .set("status", json!({"replicas": available, "availableReplicas": available}))
                    .set("spec.template.spec.containers", json!([{"name": "c", "image": n.to_string()}]))
                    .tree()
            })
            .collect();
        let cache = FixedCache::new(sets);
        let deployment: Deployment = deployment.typed();
        let plan = DeploymentController.plan(&cache.view("2026-01-01T00:01:00Z".parse().unwrap()), &deployment);
        let mut sizes = before.map(|(size, _)| size);
        for write in plan.writes {
            if let PlannedWrite::Patch { key, patch, .. } = write
                && let Some(size) = patch.body["spec"]["replicas"].as_i64()
            {
                sizes[usize::from(&*key.name == "web-1")] = size;
            }
        }
        assert_eq!(sizes, after, "{case}");
    }
}
