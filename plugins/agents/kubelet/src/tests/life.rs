//! From creation to the last trace.

use super::*;

#[tokio::test]
async fn a_pod_runs_and_is_deleted() {
    let world = World::new().await;
    world.create("web", one_container()).await;
    let status = world.status("web");
    assert_eq!(status["phase"], "Running");
    assert!(world.ready("web"));
    assert_eq!(status["podIP"], "10.0.0.2");
    assert_eq!(status["hostIP"], "127.0.0.1");
    let container = world.container("web", 0);
    assert_eq!(
        (&container["ready"], &container["restartCount"], &container["started"]),
        (&json!(true), &json!(0), &json!(true))
    );
    assert!(container["containerID"].as_str().unwrap().starts_with("sim://"));
    let events = world.events("web");
    let want = [
        "Pulling: Pulling image \"web:1\"",
        "Pulled: Successfully pulled image \"web:1\" in 0ms (0ms including waiting). Image size: 1048576 bytes.",
        "Created: Created container: c",
        "Started: Started container c",
    ];
    assert_eq!(events, want);

    world.delete("web", None).await;
    assert!(!world.exists("web"), "{}", world.status("web"));
    assert!(world.runtime_is_empty().await);
    assert!(world.has_event("web", "Killing: Stopping container c"));
    assert_eq!(world.clock.sleepers(), 1, "an idle node sleeps between heartbeats and nothing else");
}

#[tokio::test]
async fn a_second_pod_finds_the_image() {
    let world = World::new().await;
    world.create("a", one_container()).await;
    world.create("b", one_container()).await;
    assert!(world.has_event("b", "Pulled: Container image \"web:1\" already present on machine"));
}

#[tokio::test]
async fn pods_that_run_to_an_end_keep_their_status_and_their_containers() {
    let world = World::new().await;
    let spec = |code: &str| json!({"restartPolicy": "Never", "containers": [steered("c", &[("SIM_EXIT_CODE", code)])]});
    world.create("good", spec("0")).await;
    world.create("bad", spec("3")).await;
    assert_eq!((world.phase("good").as_str(), world.phase("bad").as_str()), ("Succeeded", "Failed"));
    let end = &world.container("bad", 0)["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&json!(3), &json!("Error")));
    let ready =
        world.status("good")["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("PodCompleted")));
    assert_eq!(world.runtime.containers().await.unwrap().len(), 2, "logs can still be read");
    let sandboxes = world.runtime.sandboxes().await.unwrap();
    assert!(sandboxes.iter().all(|sandbox| !sandbox.ready));
    world.delete("good", None).await;
    world.delete("bad", Some(0)).await;
    assert!(!world.exists("good") && world.runtime_is_empty().await);
}

#[tokio::test]
async fn init_containers_and_sidecars_go_in_order() {
    let world = World::new().await;
    let mut sidecar = steered("s", &[]);
    sidecar["restartPolicy"] = "Always".into();
    let init =
        [steered("i", &[("SIM_EXIT_AFTER_MS", "1000")]), sidecar, steered("j", &[("SIM_EXIT_AFTER_MS", "1000")])];
    world
        .create(
            "web",
            json!({"restartPolicy": "Never", "initContainers": init,
            "containers": [steered("c", &[("SIM_EXIT_AFTER_MS", "5000")])]}),
        )
        .await;
    let running = || {
        let status = world.status("web");
        let lists = ["initContainerStatuses", "containerStatuses"];
        let all = lists.iter().flat_map(|list| status[*list].as_array().cloned().unwrap_or_default());
        let up = all.filter(|status| status["state"]["running"].is_object());
        up.map(|status| status["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((running().as_str(), world.phase("web").as_str()), ("i", "Pending"));
    let status = world.status("web");
    let initialized = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Initialized").unwrap();
    assert_eq!(initialized["message"], "containers with incomplete status: [i s j]");
    world.run_for(1).await;
    assert_eq!(running(), "s j");
    world.run_for(1).await;
    assert_eq!((running().as_str(), world.phase("web").as_str()), ("s c", "Running"));
    world.run_for(5).await;
    assert_eq!((running().as_str(), world.phase("web").as_str()), ("", "Succeeded"), "the sidecar ends with the app");
}

#[tokio::test]
async fn deletion_gives_grace_and_can_be_hurried() {
    let world = World::new().await;
    let stubborn = json!({"containers": [steered("c", &[("SIM_STOP_AFTER_MS", "600000")])]});
    world.create("slow", stubborn.clone()).await;
    world.create("hurried", stubborn.clone()).await;
    world.create("forced", stubborn).await;
    world.delete("slow", Some(20)).await;
    world.delete("hurried", Some(600)).await;
    world.delete("forced", Some(0)).await;
    assert!(!world.exists("forced"));
    world.run_for(2).await;
    assert_eq!(world.runtime.sandboxes().await.unwrap().len(), 2, "what was forced is gone from the runtime too");
    world.run_for(16).await;
    assert!(world.exists("slow") && world.exists("hurried"));
    assert_eq!(world.phase("slow"), "Running");
    world.run_for(3).await;
    assert!(!world.exists("slow"));
    assert_eq!(world.runtime.sandboxes().await.unwrap().len(), 1);
    world.delete("hurried", Some(1)).await;
    world.run_for(2).await;
    assert!(!world.exists("hurried"));
    assert!(world.runtime_is_empty().await);
}

#[tokio::test]
async fn a_restarted_kubelet_adopts_what_runs_and_ends_orphans() {
    let mut world = World::new().await;
    world.create("kept", one_container()).await;
    world.create("dropped", one_container()).await;
    world
        .create(
            "ended",
            json!({"restartPolicy": "Never", "containers": [steered("c", &[("SIM_EXIT_AFTER_MS", "1000")])]}),
        )
        .await;
    let before = world.container("kept", 0);
    world.stop_kubelet().await;
    world.api.remove(&key("dropped"));
    world.clock.run_for(Duration::from_secs(5)).await;
    assert_eq!(world.phase("ended"), "Running", "nobody looked");
    world.start_kubelet().await;
    world.run_for(1).await;
    assert_eq!(world.container("kept", 0), before);
    assert_eq!(world.phase("ended"), "Succeeded");
    world.run_for(31).await;
    let left = world.runtime.sandboxes().await.unwrap();
    let names: Vec<&str> = left.iter().map(|sandbox| sandbox.pod_name.as_str()).collect();
    assert!(names.contains(&"kept") && !names.contains(&"dropped"), "{names:?}");
    assert!(world.ready("kept"));
}

#[tokio::test]
async fn orphans_are_left_alone_until_the_pods_are_known() {
    let mut world = World::new().await;
    world.create("web", one_container()).await;
    world.stop_kubelet().await;
    // The API is away when the kubelet comes back: no watch of it ends its first list.
    let pods = GroupResource::of::<Pod>();
    world.api.freeze(&pods);
    world.start_kubelet().await;
    world.run_for(60).await;
    assert_eq!(world.runtime.sandboxes().await.unwrap().len(), 1);
    assert!(world.runtime.sandboxes().await.unwrap()[0].ready);
    world.api.thaw(&pods);
    settle().await;
    assert!(world.runtime.sandboxes().await.unwrap()[0].ready && world.ready("web"));
}

#[tokio::test]
async fn an_image_changed_in_place_restarts_its_container() {
    let world = World::new().await;
    world.create("web", one_container()).await;
    let patch = sdk_client::Patch::strategic(json!({"spec": {"containers": [{"name": "c", "image": "web:2"}]}}));
    world.api.admin().patch(&key("web"), "", patch).await.unwrap();
    settle().await;
    let container = world.container("web", 0);
    assert_eq!((&container["image"], &container["restartCount"]), (&json!("web:2"), &json!(1)));
    assert!(world.has_event("web", "Killing: Container c definition changed, will be restarted"));
}

#[tokio::test]
async fn the_active_deadline_ends_a_pod() {
    let world = World::new().await;
    let mut spec = one_container();
    spec["activeDeadlineSeconds"] = 30.into();
    world.create("web", spec).await;
    world.run_for(29).await;
    assert_eq!(world.phase("web"), "Running");
    world.run_for(2).await;
    let status = world.status("web");
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
    assert!(!world.runtime.sandboxes().await.unwrap()[0].ready);
}

#[tokio::test]
async fn kubelets_that_share_a_runtime_leave_each_other_alone() {
    let mut world = World::new().await;
    world.create("web", one_container()).await;
    world.stop_kubelet().await;
    let before = world.runtime.containers().await.unwrap();
    world.settings.root_dir = "/another/kubelet".into();
    world.api.remove(&key("web"));
    world.start_kubelet().await;
    world.run_for(60).await;
    assert_eq!(world.runtime.containers().await.unwrap(), before);
}

#[tokio::test]
async fn hooks_run_before_the_end_and_after_the_start() {
    let world = World::new().await;
    let hooked = |seconds: u64| {
        let mut container = steered("c", &[]);
        container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": seconds}}});
        json!({"terminationGracePeriodSeconds": 10, "containers": [container]})
    };
    world.create("short", hooked(5)).await;
    world.create("long", hooked(60)).await;
    world.delete("short", None).await;
    world.delete("long", None).await;
    world.run_for(4).await;
    assert!(world.exists("short"));
    world.run_for(2).await;
    assert!(!world.exists("short") && world.exists("long"));
    world.run_for(5).await;
    assert!(!world.exists("long"), "a hook has no more time than the pod");
    assert!(world.has_event("long", "FailedPreStopHook: PreStopHook failed: PreStopHook timed out"));

    let mut failing = steered("c", &[("SIM_EXEC_CODE", "1")]);
    failing["lifecycle"] = json!({"postStart": {"exec": {"command": ["x"]}}});
    world.create("failing", json!({"containers": [failing]})).await;
    world.run_for(5).await;
    let container = world.container("failing", 0);
    assert!(container["restartCount"].as_i64() >= Some(1), "{container}");
    assert!(world.events("failing").iter().any(|event| event.starts_with("FailedPostStartHook: ")));
}

#[tokio::test]
async fn ephemeral_containers_are_added_to_a_running_pod() {
    let world = World::new().await;
    world.create("web", one_container()).await;
    let debugger = json!({"name": "debug", "image": "tools:1", "targetContainerName": "c"});
    let patch = sdk_client::Patch::strategic(json!({"spec": {"ephemeralContainers": [debugger]}}));
    world.api.admin().patch(&key("web"), "", patch).await.unwrap();
    settle().await;
    let status = world.status("web");
    assert!(status["ephemeralContainerStatuses"][0]["state"]["running"].is_object(), "{status}");
    assert!(world.ready("web"));
    assert_eq!(world.container("web", 0)["restartCount"], 0);
}
