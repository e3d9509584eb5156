//! What a Service gets, keeps and gives back.

use futures::FutureExt;
use serde_json::json;

use super::*;

fn hook() -> ServiceHook {
    ServiceHook::new("10.96.0.0/24".parse().unwrap(), (30000, 30099), 1)
}

type Outcome = Result<(Value, Option<Box<dyn HookGuard>>), String>;

fn write(hook: &ServiceHook, spec: Value, old: Option<&Value>) -> Outcome {
    let mut new = json!({"metadata": {"name": "s"}, "spec": spec});
    // As the strategy does before the hook runs.
    if new["spec"]["clusterIPs"].is_null() && new["spec"]["clusterIP"].is_string() {
        new["spec"]["clusterIPs"] = json!([new["spec"]["clusterIP"]]);
    }
    match hook.before(&mut new, old, false).now_or_never().expect("the hook waits for nothing") {
        Ok(guard) => Ok((new, guard)),
        Err(status) => Err(status.message),
    }
}

fn commit(outcome: Outcome) -> Value {
    let (new, guard) = outcome.unwrap();
    guard.unwrap().committed();
    new
}

fn last_byte(service: &Value) -> u8 {
    service["spec"]["clusterIP"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap()
}

#[test]
fn addresses_are_chosen_above_what_people_ask_for() {
    let hook = hook();
    let service = commit(write(&hook, json!({"type": "ClusterIP"}), None));
    assert!(last_byte(&service) > 16, "{service}");
    let spec = &service["spec"];
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    assert_eq!((&spec["ipFamilies"], &spec["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
}

#[test]
fn what_is_asked_for_is_checked() {
    let hook = hook();
    let ask = |ip: &str| json!({"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]});
    commit(write(&hook, ask("10.96.0.1"), None));
    let refused = |ip: &str| write(&hook, ask(ip), None).err().unwrap();
    assert_eq!(
        refused("10.96.0.1"),
        "Service \"s\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: \
         provided IP is already allocated"
    );
    for outside in ["10.97.0.1", "10.96.0.0", "10.96.0.255"] {
        let why = format!(
            "failed to allocate IP {outside}: the provided IP ({outside}) is not in the valid range. The range of valid \
             IPs is 10.96.0.0/24"
        );
        assert!(refused(outside).ends_with(&why), "{outside}: {}", refused(outside));
    }
}

#[test]
fn what_is_not_committed_is_free_again() {
    let hook = hook();
    let ask = json!({"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30050}]});
    drop(write(&hook, ask.clone(), None).unwrap());
    let service = commit(write(&hook, ask.clone(), None));
    assert!(write(&hook, ask.clone(), None).is_err());
    let object = Object::from_tree(&GroupResource::of::<Service>(), service);
    hook.deleted(&object);
    commit(write(&hook, ask, None));
}

#[test]
fn node_ports_are_chosen_shared_and_refused() {
    let hook = hook();
    let service = commit(write(
        &hook,
        json!({"type": "NodePort", "ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"},
            {"port": 80, "protocol": "TCP", "nodePort": 30001}]}),
        None,
    ));
    let node = |i: usize| service["spec"]["ports"][i]["nodePort"].as_i64().unwrap();
    assert_eq!(node(0), node(1), "one port of two protocols");
    assert!((30016..=30099).contains(&node(0)), "{}", node(0));
    assert_eq!(node(2), 30001);
    for (case, port, why) in [
        ("taken", 30001, "provided port is already allocated"),
        ("outside", 40000, "provided port is not in the valid range. The range of valid ports is 30000-30099"),
    ] {
        let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
        let message = write(&hook, spec, None).err().unwrap();
        let expected = format!("Service \"s\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: {why}");
        assert_eq!(message, expected, "{case}");
    }
}

#[test]
fn updates_keep_take_and_release() {
    let hook = hook();
    let old = commit(write(&hook, json!({"type": "NodePort", "ports": [{"port": 80}]}), None));
    let port = old["spec"]["ports"][0]["nodePort"].clone();
    // The same again keeps everything.
    let same = commit(write(&hook, old["spec"].clone(), Some(&old)));
    assert_eq!(same, old);
    // As a ClusterIP it gives its port back.
    let mut spec = old["spec"].clone();
    spec["type"] = json!("ClusterIP");
    spec["ports"][0].as_object_mut().unwrap().remove("nodePort");
    let plain = commit(write(&hook, spec, Some(&old)));
    assert_eq!(plain["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    let another = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    commit(write(&hook, another, None));
    // As a name it gives its address back.
    let ip = plain["spec"]["clusterIP"].clone();
    commit(write(&hook, json!({"type": "ExternalName", "externalName": "e"}), Some(&plain)));
    commit(write(&hook, json!({"type": "ClusterIP", "clusterIP": ip}), None));
}

#[test]
fn headless_services_and_names_take_nothing() {
    let hook = hook();
    let headless = commit(write(
        &hook,
        json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}}),
        None,
    ));
    assert_eq!(headless["spec"]["ipFamilies"], json!(["IPv4"]));
    let free = commit(write(&hook, json!({"type": "ClusterIP", "clusterIP": "None"}), None));
    assert_eq!(free["spec"]["ipFamilyPolicy"], "RequireDualStack");
    assert_eq!(free["spec"]["clusterIPs"], json!(["None"]));
    let name = commit(write(&hook, json!({"type": "ExternalName"}), None));
    assert_eq!(name["spec"], json!({"type": "ExternalName"}));
}

#[test]
fn health_check_ports_are_for_local_balancers() {
    let hook = hook();
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": false,
        "ports": [{"port": 80}]});
    let service = commit(write(&hook, spec, None));
    assert!(service["spec"]["healthCheckNodePort"].as_i64().unwrap() >= 30000);
    assert_eq!(service["spec"]["ports"][0].get("nodePort"), None);
}

#[test]
fn the_range_may_be_full() {
    let hook = ServiceHook::new("10.96.0.0/29".parse().unwrap(), (30000, 30000), 1);
    // Of six addresses the first is kept for the API server.
    for _ in 0..5 {
        commit(write(&hook, json!({"type": "ClusterIP"}), None));
    }
    let full = write(&hook, json!({"type": "ClusterIP"}), None).err().unwrap();
    assert_eq!(full, "Internal error occurred: failed to allocate a serviceIP: range is full");
    commit(write(&hook, json!({"type": "ClusterIP", "clusterIP": "10.96.0.1"}), None));
}

#[test]
fn stored_services_are_adopted_and_conflicts_told() {
    let hook = hook();
    let spec = |ip: &str| spec_of(&json!({"spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}}));
    assert_eq!(hook.adopt(&spec("10.96.0.5")), Vec::<String>::new());
    assert_eq!(hook.adopt(&spec("10.96.0.5")), ["cluster IP 10.96.0.5: provided IP is already allocated"]);
    assert_eq!(hook.adopt(&spec("10.99.0.5")).len(), 1);
}

#[tokio::test]
async fn the_start_reads_what_is_in_use() {
    let clock = sdk_testkit::ManualClock::new();
    let api = sdk_testkit::FakeApi::new(clock.clone());
    api.seed(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"port": 80, "nodePort": 30007}]}}));
    let hook = hook();
    let stop = tokio_util::sync::CancellationToken::new();
    let context = Context { client: api.admin(), clients: api.clients(), clock, stop };
    hook.start(context).await.unwrap();
    assert!(write(&hook, json!({"type": "ClusterIP", "clusterIP": "10.96.0.7"}), None).is_err());
    let port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30007}]});
    assert!(write(&hook, port, None).is_err());
}

#[test]
fn families_are_those_of_the_cluster() {
    for (case, spec, expected) in [
        ("said by its address", json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}), Ok(json!(["IPv4"]))),
        (
            "an address of the other family",
            json!({"clusterIP": "fd00::9", "clusterIPs": ["fd00::9"]}),
            Err("spec.clusterIPs[0]: Invalid value: [\"fd00::9\"]: IPv6 is not configured on this cluster"),
        ),
        (
            "two families by chance",
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            Err(
                "[spec.ipFamilyPolicy: Invalid value: null: must be RequireDualStack or PreferDualStack when multiple IP families \
                 are specified, spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster]",
            ),
        ),
        (
            "both demanded",
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            Err(
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
        ),
        (
            "an address that is not the first of the list",
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.8"]}),
            Err("spec.clusterIPs: Invalid value: [\"10.96.0.8\"]: first value must match `clusterIP`"),
        ),
    ] {
        let mut spec = spec;
        spec["type"] = json!("ClusterIP");
        spec["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
        match (write(&hook(), spec, None), expected) {
            (Ok((service, _)), Ok(families)) => assert_eq!(service["spec"]["ipFamilies"], families, "{case}"),
            (Err(message), Err(why)) => assert_eq!(message, format!("Service \"s\" is invalid: {why}"), "{case}"),
            (outcome, _) => panic!("{case}: {:?}", outcome.map(|(service, _)| service)),
        }
    }
}
