//! Probes on the test's clock.

use super::*;

fn probed(env: &[(&str, &str)], probes: Value) -> Value {
    let mut container = steered("c", env);
    for (kind, probe) in probes.as_object().unwrap() {
        container[kind] = probe.clone();
    }
    json!({"containers": [container]})
}

#[tokio::test]
async fn readiness_waits_for_its_delay_and_threshold() {
    let world = World::new().await;
    let probe = json!({"httpGet": {"port": 80}, "initialDelaySeconds": 5, "periodSeconds": 2, "successThreshold": 2});
    world.create("web", probed(&[], json!({"readinessProbe": probe}))).await;
    assert!(!world.ready("web"));
    assert_eq!(world.phase("web"), "Running");
    world.run_for(6).await;
    assert!(!world.ready("web"), "one success is not enough");
    world.run_for(2).await;
    assert!(world.ready("web"));
    world.delete("web", None).await;
    assert!(!world.exists("web"));
    assert_eq!(world.clock.sleepers(), 1, "probes end with their pod");
}

#[tokio::test]
async fn a_pod_whose_probe_fails_is_never_ready() {
    let world = World::new().await;
    world
        .create("web", probed(&[("SIM_EXEC_CODE", "1")], json!({"readinessProbe": {"exec": {"command": ["x"]}}})))
        .await;
    world.run_for(60).await;
    assert!(!world.ready("web"));
    assert_eq!(world.container("web", 0)["restartCount"], 0);
    assert!(world.has_event("web", "Unhealthy: Readiness probe failed: the simulation fails this command"));
}

#[tokio::test]
async fn failed_liveness_restarts() {
    let world = World::new().await;
    let probe = json!({"exec": {"command": ["x"]}, "periodSeconds": 10, "failureThreshold": 3});
    world.create("web", probed(&[("SIM_EXEC_CODE", "1")], json!({"livenessProbe": probe}))).await;
    assert!(world.ready("web"), "liveness does not hold up readiness");
    world.run_for(19).await;
    assert_eq!(world.container("web", 0)["restartCount"], 0);
    world.run_for(2).await;
    assert_eq!(world.container("web", 0)["restartCount"], 1);
    assert!(world.has_event("web", "Killing: Container c failed liveness probe, will be restarted"));
    world.run_for(60).await;
    assert_eq!(world.container("web", 0)["restartCount"], 2, "with back-off");
}

#[tokio::test]
async fn a_startup_probe_holds_the_others_back() {
    let world = World::new().await;
    let probes = json!({"startupProbe": {"exec": {"command": ["x"]}, "initialDelaySeconds": 7, "periodSeconds": 1},
        "readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 1}});
    world.create("web", probed(&[], probes)).await;
    world.run_for(6).await;
    assert_eq!((&world.container("web", 0)["started"], world.ready("web")), (&json!(false), false));
    world.run_for(2).await;
    assert_eq!((&world.container("web", 0)["started"], world.ready("web")), (&json!(true), true));
}

#[tokio::test]
async fn readiness_gates_are_awaited() {
    let world = World::new().await;
    let mut spec = one_container();
    spec["readinessGates"] = json!([{"conditionType": "example.com/lb"}]);
    world.create("web", spec).await;
    assert!(!world.ready("web"));
    let condition = json!({"type": "example.com/lb", "status": "True"});
    let patch = sdk_client::Patch::strategic(json!({"status": {"conditions": [condition]}}));
    world.api.admin().patch(&key("web"), "status", patch).await.unwrap();
    settle().await;
    assert!(world.ready("web"));
}
