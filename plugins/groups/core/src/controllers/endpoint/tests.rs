//! Tables of Endpoints plans.

use std::sync::Arc;

use sdk_api::Timestamp;
use sdk_plugin::Cache;
use sdk_testkit::{Build, FixedCache};
use serde_json::Value;

use super::*;

fn service() -> Build {
    Build::service("n", "web").set("spec.ports", json!([{"port": 80, "protocol": "TCP", "targetPort": "http"}]))
}

fn pod(name: &str, ip: &str) -> Build {
    let ports = json!([{"name": "http", "containerPort": 8080, "protocol": "TCP"}]);
    Build::pod("n", name)
        .label("app", "web")
        .set("spec.containers", json!([{"name": "c", "ports": ports}]))
        .pod_ip(ip)
        .on_node("x")
        .ready(true)
}

fn plan(service: Build, others: Vec<Build>) -> Plan {
    let mut cache = FixedCache::new(others.into_iter().map(Build::tree));
    let service: Arc<Service> = cache.put(service.tree()).typed().unwrap();
    EndpointController.plan(&cache.view("2026-01-01T00:01:00Z".parse().unwrap()), &service)
}

/// Subsets in short: `1.1.1.1 !1.1.1.2 : 8080`.
fn short(body: &Value) -> String {
    let subset = |subset: &Value| {
        let list = |field: &str, mark: &str| {
            let addresses = subset[field].as_array().cloned().unwrap_or_default();
            addresses.iter().map(|address| format!("{mark}{}", address["ip"].as_str().unwrap())).collect::<Vec<_>>()
        };
        let ports = subset["ports"].as_array().cloned().unwrap_or_default();
        let ports: Vec<_> = ports.iter().map(|port| port["port"].to_string()).collect();
        format!("{} : {}", [list("addresses", ""), list("notReadyAddresses", "!")].concat().join(" "), ports.join(","))
    };
    body["subsets"].as_array().into_iter().flatten().map(subset).collect::<Vec<_>>().join(" | ")
}

#[test]
fn addresses_are_those_of_the_chosen_pods() {
    let time = "2026-01-01T00:00:00Z";
    let all = || service().set("spec.publishNotReadyAddresses", json!(true));
    let headless = || service().set("spec.clusterIP", json!("None"));
    let two = json!([{"name": "a", "port": 80, "targetPort": "http"}, {"name": "b", "port": 81, "targetPort": 9}]);
    let other_port = pod("b", "1.1.1.2")
        .set("spec.containers", json!([{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]));
    for (case, service, pods, wanted) in [
        ("nobody", service(), vec![], ""),
        (
            "ready and not",
            service(),
            vec![pod("b", "1.1.1.2").ready(false), pod("a", "1.1.1.1")],
            "1.1.1.1 !1.1.1.2 : 8080",
        ),
        ("sorted as numbers", service(), vec![pod("a", "1.1.1.10"), pod("b", "1.1.1.9")], "1.1.1.9 1.1.1.10 : 8080"),
        ("not chosen", service(), vec![pod("a", "1.1.1.1").label("app", "x")], ""),
        ("without an address", service(), vec![Build::pod("n", "a").label("app", "web")], ""),
        ("finished", service(), vec![pod("a", "1.1.1.1").phase("Succeeded")], ""),
        ("on its way out", service(), vec![pod("a", "1.1.1.1").deleting(time)], ""),
        ("not ready, published all the same", all(), vec![pod("a", "1.1.1.1").ready(false)], "1.1.1.1 : 8080"),
        ("on its way out, published all the same", all(), vec![pod("a", "1.1.1.1").deleting(time)], "1.1.1.1 : 8080"),
        ("headless without ports", headless().set("spec.ports", json!([])), vec![pod("a", "1.1.1.1")], "1.1.1.1 : "),
        ("two ports", service().set("spec.ports", two), vec![pod("a", "1.1.1.1")], "1.1.1.1 : 9,8080"),
        (
            "a name that means another number",
            service(),
            vec![pod("a", "1.1.1.1"), other_port],
            "1.1.1.1 : 8080 | 1.1.1.2 : 9090",
        ),
        (
            "a name that the pod does not know",
            service().set("spec.ports", json!([{"port": 1, "targetPort": "x"}])),
            vec![pod("a", "1.1.1.1")],
            "",
        ),
        ("another family", service().set("spec.ipFamilies", json!(["IPv6"])), vec![pod("a", "1.1.1.1")], ""),
    ] {
        let plan = plan(service, pods);
        let [PlannedWrite::Create { body, .. }] = plan.writes.as_slice() else { panic!("{case}: {plan:?}") };
        assert_eq!(short(body), wanted, "{case}");
        assert_eq!(body["metadata"]["labels"][MANAGED_BY], MANAGER, "{case}");
    }
}

#[test]
fn what_is_level_is_left_alone() {
    let first = plan(service().label("l", "1"), vec![pod("a", "1.1.1.1")]);
    let [PlannedWrite::Create { body, .. }] = first.writes.as_slice() else { panic!("{first:?}") };
    assert_eq!(body["metadata"]["annotations"][TRIGGER_TIME], "2026-01-01T00:00:00Z");
    let target = &body["subsets"][0]["addresses"][0];
    assert_eq!(target["nodeName"], "x");
    assert_eq!(target["targetRef"], json!({"kind": "Pod", "namespace": "n", "name": "a", "uid": "uid-a"}));
    let stored: Vec<Build> = vec![
        pod("a", "1.1.1.1"),
        Build::of::<Endpoints>("n", "web")
            .set("metadata", body["metadata"].clone())
            .set("subsets", body["subsets"].clone()),
    ];
    assert!(plan(service().label("l", "1"), stored.clone()).writes.is_empty());
    let relabelled = plan(service().label("l", "2"), stored.clone());
    let [PlannedWrite::Update { body, .. }] = relabelled.writes.as_slice() else { panic!("{relabelled:?}") };
    assert_eq!(body["metadata"]["labels"]["l"], "2");
    assert_eq!(body["metadata"]["resourceVersion"], "1");
    let moved = plan(service().label("l", "1"), vec![pod("a", "1.1.1.2"), stored[1].clone()]);
    assert!(matches!(moved.writes.as_slice(), [PlannedWrite::Update { .. }]));
}

#[test]
fn services_without_selector_and_endpoints_without_service_are_left_alone() {
    assert!(plan(service().set("spec.selector", json!(null)), vec![]).writes.is_empty());
    let cache = FixedCache::new([Build::of::<Endpoints>("n", "alone").tree()]);
    let view = cache.view(Timestamp::UNIX_EPOCH);
    let watch = EndpointController.watches().remove(1);
    let endpoints = cache.get(&Key::of::<Endpoints>("n", "alone")).unwrap();
    assert!((watch.keys)(&view, &endpoints).is_empty());
    let gone = EndpointController.plan_gone(&view, &Key::of::<Service>("n", "alone"));
    assert!(matches!(gone.writes.as_slice(), [PlannedWrite::Delete { .. }]));
}

#[test]
fn a_thousand_addresses_are_the_most() {
    let mut pods: Vec<_> = (0..1100).map(|n| pod(&format!("p{n}"), &format!("10.0.{}.{}", n / 250, n % 250))).collect();
    pods[0] = pods[0].clone().ready(false);
    let plan = plan(service(), pods);
    let [PlannedWrite::Create { body, .. }] = plan.writes.as_slice() else { panic!("{plan:?}") };
    assert_eq!(body["subsets"][0]["addresses"].as_array().unwrap().len(), 1000);
    assert!(body["subsets"][0].get("notReadyAddresses").is_none());
    assert_eq!(body["metadata"]["annotations"][OVER_CAPACITY], "truncated");
}
