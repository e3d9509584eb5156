//! Tables of EndpointSlice plans.

use sdk_testkit::{Build, FixedCache};
use serde_json::Value;

use super::*;

fn service() -> Build {
    Build::service("n", "web").set("spec.ports", json!([{"name": "http", "port": 80, "targetPort": "http"}]))
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
    cache.put(Build::node("x").label("topology.kubernetes.io/zone", "zone-a").tree());
    let service: Arc<Service> = cache.put(service.tree()).typed().unwrap();
    EndpointSliceController.plan(&cache.view("2026-01-01T00:01:00Z".parse().unwrap()), &service)
}

/// The one slice that a plan makes.
fn made(plan: &Plan) -> &Value {
    match plan.writes.as_slice() {
        [PlannedWrite::Create { body, .. }] => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn endpoints_say_what_their_pods_are() {
    let time = "2026-01-01T00:00:00Z";
    let all = || service().set("spec.publishNotReadyAddresses", json!(true));
    for (case, service, pod, wanted) in [
        ("ready", service(), pod("a", "1.1.1.1"), "ready serving"),
        ("not ready", service(), pod("a", "1.1.1.1").ready(false), ""),
        ("on its way out", service(), pod("a", "1.1.1.1").deleting(time), "serving terminating"),
        ("on its way out and not ready", service(), pod("a", "1.1.1.1").ready(false).deleting(time), "terminating"),
        ("published all the same", all(), pod("a", "1.1.1.1").ready(false), "ready"),
        ("finished", service(), pod("a", "1.1.1.1").phase("Failed"), "none"),
        ("without an address", service(), Build::pod("n", "a").label("app", "web"), "none"),
        ("of another family", service(), pod("a", "fd00::1"), "none"),
        ("not chosen", service(), pod("a", "1.1.1.1").label("app", "x"), "none"),
    ] {
        let plan = plan(service, vec![pod]);
        let endpoints = made(&plan)["endpoints"].as_array().unwrap();
        let words = endpoints.first().map_or("none".into(), |endpoint| {
            let holds = |name: &&str| endpoint["conditions"][*name] == true;
            ["ready", "serving", "terminating"].into_iter().filter(holds).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(words, wanted, "{case}");
    }
}

#[test]
fn a_slice_has_everything() {
    let named = pod("a", "1.1.1.1").set("spec.hostname", json!("h")).set("spec.subdomain", json!("web"));
    let service = service().label("l", "1").set("spec.trafficDistribution", json!("PreferSameNode"));
    let plan = plan(service, vec![named]);
    let slice = made(&plan);
    assert_eq!(
        *slice,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "generateName": "web-", "namespace": "n",
                "labels": {"l": "1", SERVICE_NAME: "web", MANAGED_BY: MANAGER},
                "annotations": {TRIGGER_TIME: "2026-01-01T00:00:00Z"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "uid-web",
                    "controller": true, "blockOwnerDeletion": true}],
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{
                "addresses": ["1.1.1.1"], "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "x", "zone": "zone-a", "hostname": "h",
                "targetRef": {"kind": "Pod", "namespace": "n", "name": "a", "uid": "uid-a"},
                "hints": {"forZones": [{"name": "zone-a"}], "forNodes": [{"name": "x"}]},
            }],
        })
    );
}

/// The slice of a plan as it would be stored.
fn stored(plan: &Plan, name: &str) -> Build {
    let body = made(plan).clone();
    Build::of::<EndpointSlice>("n", name)
        .set("metadata.labels", body["metadata"]["labels"].clone())
        .set("metadata.ownerReferences", body["metadata"]["ownerReferences"].clone())
        .set("addressType", body["addressType"].clone())
        .set("ports", body["ports"].clone())
        .set("endpoints", body["endpoints"].clone())
}

#[test]
fn slices_follow_their_service() {
    let first = stored(&plan(service(), vec![pod("a", "1.1.1.1")]), "web-1");
    let stranger = first
        .clone()
        .set("metadata.name", json!("web-2"))
        .uid("uid-2")
        .set("metadata.ownerReferences", json!([{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "old"}]));
    let other_ports = first.clone().set("metadata.name", json!("web-3")).uid("uid-3").set("ports", json!([]));
    let v6 = first.clone().set("metadata.name", json!("web-4")).uid("uid-4").set("addressType", json!("IPv6"));
    let others = first.clone().set_at(&["metadata", "labels", MANAGED_BY], json!("somebody"));
    let headless = service().set("spec.clusterIP", json!("None"));
    let (a, b) = (pod("a", "1.1.1.1"), pod("b", "1.1.1.2"));
    for (case, service, objects, wanted) in [
        ("level", service(), vec![a.clone(), first.clone()], ""),
        ("one more pod", service(), vec![a.clone(), b, first.clone()], "update web-1 2"),
        ("nobody, and it says so", service(), vec![first.clone().set("endpoints", json!([]))], ""),
        ("no pod any more", service(), vec![first.clone()], "update web-1 0"),
        ("a label more", service().label("x", "y"), vec![a.clone(), first.clone()], "update web-1 1"),
        ("headless now", headless, vec![a.clone(), first.clone()], "update web-1 1"),
        ("of a Service that is gone", service(), vec![a.clone(), first.clone(), stranger], "delete web-2"),
        ("other ports", service(), vec![a.clone(), first.clone(), other_ports], "delete web-3"),
        ("another family", service(), vec![a.clone(), first.clone(), v6], "delete web-4"),
        ("somebody else's", service(), vec![a.clone(), others], "create 1"),
        ("without selector", service().set("spec.selector", json!(null)), vec![a.clone()], ""),
        ("being deleted", service().deleting("2026-01-01T00:00:00Z"), vec![a.clone()], ""),
        ("external", service().set("spec.type", json!("ExternalName")), vec![a], ""),
    ] {
        let count = |body: &Value| body["endpoints"].as_array().map_or(0, Vec::len);
        let words: Vec<_> = plan(service, objects)
            .writes
            .iter()
            .map(|write| match write {
                PlannedWrite::Create { body, .. } => format!("create {}", count(body)),
                PlannedWrite::Update { key, body, .. } => format!("update {} {}", key.name, count(body)),
                PlannedWrite::Delete { key, .. } => format!("delete {}", key.name),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(words.join(", "), wanted, "{case}");
    }
}

#[test]
fn pods_with_other_ports_have_slices_of_their_own() {
    let other = pod("b", "1.1.1.2")
        .set("spec.containers", json!([{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]));
    let plan = plan(service(), vec![pod("a", "1.1.1.1"), other]);
    let ports: Vec<_> = plan
        .writes
        .iter()
        .map(|write| match write {
            PlannedWrite::Create { body, .. } => body["ports"][0]["port"].clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ports, [json!(8080), json!(9090)]);
}

#[test]
fn both_families_have_their_slices() {
    let service = service().set("spec.ipFamilies", json!(["IPv4", "IPv6"]));
    let dual = pod("a", "1.1.1.1").set("status.podIPs", json!([{"ip": "1.1.1.1"}, {"ip": "fd00::1"}]));
    let plan = plan(service, vec![dual]);
    let rows: Vec<_> = plan
        .writes
        .iter()
        .map(|write| match write {
            PlannedWrite::Create { body, .. } => {
                (body["addressType"].clone(), body["endpoints"][0]["addresses"].clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rows, [(json!("IPv4"), json!(["1.1.1.1"])), (json!("IPv6"), json!(["fd00::1"]))]);
}
