//! The node's own objects.

use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::k8s_openapi::api::core::v1::Node;

use super::*;

fn node_key() -> Key {
    Key::of::<Node>("", "n1")
}

fn ready(world: &World) -> Value {
    let status = world.api.tree(&node_key())["status"].clone();
    status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone()
}

#[tokio::test]
async fn a_node_registers_and_renews_its_lease() {
    let world = World::new().await;
    let node = world.api.tree(&node_key());
    assert_eq!(ready(&world)["status"], "True");
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/os"], "linux");
    assert!(node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap().starts_with("sim://"));
    let lease = || world.api.tree(&Key::of::<Lease>("kube-node-lease", "n1"));
    let first = lease();
    assert_eq!(first["spec"]["holderIdentity"], "n1");
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    world.run_for(10).await;
    assert_ne!(first["spec"]["renewTime"], lease()["spec"]["renewTime"]);
    assert!(world.has_event("n1", "NodeReady: Node n1 status is now: NodeReady"));

    let nodes = GroupResource::of::<Node>();
    let before = world.api.count(sdk_client::Verb::Patch, &nodes);
    world.run_for(200).await;
    assert_eq!(world.api.count(sdk_client::Verb::Patch, &nodes), before, "an unchanged status is not sent");
    world.run_for(200).await;
    assert_eq!(world.api.count(sdk_client::Verb::Patch, &nodes), before + 1, "but for every five minutes");
}

#[tokio::test]
async fn a_node_is_ready_once_it_has_a_pod_network() {
    let mut world = World::without_kubelet();
    let clock = world.clock.clone();
    let settings = providers_runtime_sim::Settings { clock, seed: 1, delays: Delays::default(), pod_cidr: None };
    world.runtime = Arc::new(SimRuntime::new(settings).unwrap());
    world.settings.runtime = world.runtime.clone();
    world.start_kubelet().await;
    assert_eq!(ready(&world)["status"], "False");
    world.create("web", one_container()).await;
    assert!(
        world.events("web").iter().any(|event| event.starts_with("NetworkNotReady: ")),
        "{:?}",
        world.events("web")
    );
    let patch = sdk_client::Patch::merge(json!({"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}}));
    world.api.admin().patch(&node_key(), "", patch).await.unwrap();
    settle().await;
    assert_eq!(ready(&world)["status"], "True");
    assert_eq!(world.status("web")["podIP"], "10.9.0.2");
}

#[tokio::test]
async fn a_node_that_exists_keeps_what_others_made_of_it() {
    let mut world = World::without_kubelet();
    world.api.seed(json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "labels": {"mine": "yes", "kubernetes.io/os": "plan9"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}], "podCIDR": "10.0.0.0/24"}}));
    world.start_kubelet().await;
    let node = world.api.tree(&node_key());
    assert_eq!(node["metadata"]["labels"]["mine"], "yes");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/os"], "linux");
    assert_eq!(node["spec"]["taints"][0]["key"], "k");
    assert_eq!(ready(&world)["status"], "True");
}
