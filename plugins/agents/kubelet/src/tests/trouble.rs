//! What goes wrong, and what is told about it.

use super::*;

fn waiting(container: &Value) -> (String, String) {
    let waiting = &container["state"]["waiting"];
    let text = |field: &str| waiting[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

#[tokio::test]
async fn crashes_back_off() {
    let world = World::new().await;
    world.create("web", json!({"containers": [steered("c", &[("SIM_EXIT_CODE", "1")])]})).await;
    // The first restart is free, the next waits for 10 s.
    let container = world.container("web", 0);
    let uid = world.api.object(&key("web")).unwrap().uid().to_owned();
    assert_eq!(container["restartCount"], 1);
    let message = format!("back-off 10s restarting failed container=c pod=web_ns({uid})");
    assert_eq!(waiting(&container), ("CrashLoopBackOff".into(), message));
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(world.phase("web"), "Running");
    assert!(world.has_event("web", &format!("BackOff: Back-off restarting failed container c in pod web_ns({uid})")));
    for (seconds, restarts) in [(9, 1), (2, 2), (18, 2), (3, 3), (37, 3), (4, 4)] {
        world.run_for(seconds).await;
        assert_eq!(world.container("web", 0)["restartCount"], restarts);
    }
    let dead = world.runtime.containers().await.unwrap();
    assert!(dead.len() <= 2, "old runs are removed: {}", dead.len());
    world.delete("web", None).await;
    assert!(!world.exists("web") && world.runtime_is_empty().await);
}

#[tokio::test]
async fn images_that_cannot_be_pulled_back_off() {
    let world = World::new().await;
    world.create("web", json!({"containers": [{"name": "c", "image": "x/sim-missing:1"}]})).await;
    let (reason, message) = waiting(&world.container("web", 0));
    assert_eq!(reason, "ErrImagePull");
    assert!(message.contains("not found"), "{message}");
    world.run_for(2).await;
    let (reason, message) = waiting(&world.container("web", 0));
    assert_eq!(reason, "ImagePullBackOff");
    assert!(message.starts_with("Back-off pulling image \"x/sim-missing:1\": ErrImagePull: "), "{message}");
    assert_eq!(world.phase("web"), "Pending");
    let events = world.events("web");
    for wanted in [
        "Failed: Error: ErrImagePull",
        "Failed: Error: ImagePullBackOff",
        "BackOff: Back-off pulling image \"x/sim-missing:1\"",
    ] {
        assert!(events.iter().any(|event| event == wanted), "{wanted}: {events:?}");
    }
    // A corrected image does not wait for the wrong one's back-off.
    let corrected = json!({"spec": {"containers": [{"name": "c", "image": "web:1"}]}});
    world.api.admin().patch(&key("web"), "", sdk_client::Patch::strategic(corrected)).await.unwrap();
    settle().await;
    assert_eq!(world.phase("web"), "Running");
    world.delete("web", None).await;
    world.run_for(31).await;
    assert!(!world.exists("web"));
}

#[tokio::test]
async fn what_a_container_needs_is_named_when_it_is_missing() {
    let world = World::new().await;
    let from = json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "x"}}}]);
    world.create("env", json!({"containers": [{"name": "c", "image": "web:1", "env": from}]})).await;
    assert_eq!(
        waiting(&world.container("env", 0)),
        ("CreateContainerConfigError".into(), "configmap \"settings\" not found".into())
    );
    assert!(world.has_event("env", "Failed: Error: configmap \"settings\" not found"));

    let volumes = json!([{"name": "v", "secret": {"secretName": "keys"}}]);
    world.create("volume", json!({"volumes": volumes, "containers": [{"name": "c", "image": "web:1"}]})).await;
    assert!(
        world.has_event("volume", "FailedMount: MountVolume.SetUp failed for volume \"v\" : secret \"keys\" not found")
    );
    assert_eq!(waiting(&world.container("volume", 0)).0, "ContainerCreating");

    world.create("name", json!({"containers": [{"name": "c", "image": "Not:Valid"}]})).await;
    assert_eq!(waiting(&world.container("name", 0)).0, "InvalidImageName");
    world
        .create("never", json!({"containers": [{"name": "c", "image": "absent:1", "imagePullPolicy": "Never"}]}))
        .await;
    assert_eq!(
        waiting(&world.container("never", 0)),
        ("ErrImageNeverPull".into(), "Container image \"absent:1\" is not present with pull policy of Never".into())
    );

    world.api.seed(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "ns"}, "data": {"x": "1"}}));
    world.api.seed(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "ns"}}));
    world.run_for(10).await;
    assert_eq!((world.phase("env").as_str(), world.phase("volume").as_str()), ("Running", "Running"));
}

#[tokio::test]
async fn containers_and_sandboxes_that_cannot_start_are_tried_again() {
    let world = World::new().await;
    world.create("start", json!({"containers": [steered("c", &[("SIM_START", "fail")])]})).await;
    assert_eq!(waiting(&world.container("start", 0)).0, "RunContainerError");
    world.create_annotated("sandbox", one_container(), json!({"sim.kubernel.io/sandbox": "fail"})).await;
    assert_eq!(waiting(&world.container("sandbox", 0)).0, "ContainerCreating");
    world.run_for(10).await;
    let failed = |name: &str, reason: &str| world.events(name).iter().filter(|event| event.starts_with(reason)).count();
    assert_eq!(failed("sandbox", "FailedCreatePodSandBox"), 1, "the same event is counted, not repeated");
    world.delete("start", None).await;
    world.delete("sandbox", None).await;
    world.run_for(5).await;
    assert!(!world.exists("start") && !world.exists("sandbox") && world.runtime_is_empty().await);
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_refused() {
    let world = World::new().await;
    let asking =
        |cpu: &str| json!({"containers": [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}]});
    world.create("first", asking("3")).await;
    world.create("second", asking("2")).await;
    assert_eq!(world.phase("first"), "Running");
    let status = world.status("second");
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert_eq!(
        status["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"
    );
    assert_eq!(world.runtime.sandboxes().await.unwrap().len(), 1);
    world.delete("first", None).await;
    world.create("third", asking("2")).await;
    assert_eq!(world.phase("third"), "Running");
}

#[tokio::test]
async fn a_runtime_class_must_exist() {
    let world = World::new().await;
    let mut spec = one_container();
    spec["runtimeClassName"] = "special".into();
    world.create("web", spec).await;
    let told = "FailedCreatePodSandBox: Failed to create pod sandbox: failed to get sandbox runtime: \
                runtimeclasses.node.k8s.io \"special\" not found";
    assert!(world.has_event("web", told), "{:?}", world.events("web"));
    world.api.seed(json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "special"}, "handler": "h"}));
    world.run_for(3).await;
    assert_eq!(world.phase("web"), "Running");
}

#[tokio::test]
async fn resources_change_in_place() {
    let world = World::new().await;
    let limited = |memory: &str| {
        json!({"name": "c", "image": "web:1", "resources": {"limits": {"memory": memory}},
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": "NotRequired"}]})
    };
    world.create("web", json!({"containers": [limited("64Mi")]})).await;
    let before = world.container("web", 0)["containerID"].clone();
    let patch = sdk_client::Patch::strategic(json!({"spec": {"containers": [limited("128Mi")]}}));
    world.api.admin().patch(&key("web"), "", patch).await.unwrap();
    settle().await;
    assert!(world.has_event("web", "ResizeCompleted: Container c was resized"), "{:?}", world.events("web"));
    assert_eq!(world.container("web", 0)["containerID"], before);
    assert_eq!(world.container("web", 0)["resources"]["limits"]["memory"], "128Mi");
}

#[tokio::test]
async fn a_lost_sandbox_is_made_again() {
    let world = World::new().await;
    world.create("web", one_container()).await;
    let sandbox = world.runtime.sandboxes().await.unwrap()[0].id.clone();
    world.runtime.lose_sandbox(&sandbox);
    settle().await;
    world.run_for(20).await;
    let status = world.status("web");
    assert_eq!((world.phase("web").as_str(), world.ready("web")), ("Running", true), "{status}");
    assert_eq!(world.container("web", 0)["restartCount"], 1);
    let alive = world.runtime.sandboxes().await.unwrap().into_iter().filter(|sandbox| sandbox.ready).count();
    assert_eq!(alive, 1);
}

#[tokio::test]
async fn an_api_that_is_away_loses_nothing() {
    let world = World::new().await;
    world.create("web", one_container()).await;
    let refuse = |_: &Subject, request: &sdk_client::Request| {
        let is_write = !matches!(request.verb, sdk_client::Verb::Get | sdk_client::Verb::List);
        is_write.then(|| sdk_api::Status::unavailable("the server is away"))
    };
    world.api.intercept(refuse);
    let id = world.runtime.containers().await.unwrap()[0].id.clone();
    world.runtime.crash(&id, 1);
    world.run_for(3).await;
    assert_eq!(world.container("web", 0)["restartCount"], 0, "it could not be told yet");
    world.api.intercept(|_, _| None);
    world.run_for(15).await;
    assert_eq!(world.container("web", 0)["restartCount"], 1);
    assert!(world.ready("web"));
}
