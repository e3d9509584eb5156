//! Tables for strategic merge: every directive, and what kubectl really sends.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sdk_api::GroupVersionKind;
use sdk_schema::Schemas;
use serde_json::json;

use super::*;

fn schema(group: &str, version: &str, kind: &str) -> SchemaRef {
    Schemas::builtin().kind(&GroupVersionKind::new(group, version, kind)).unwrap()
}

/// Runs a table whose rows are about the pod spec of a pod.
fn in_pod_spec(rows: &[(&str, Value, Value, Value)]) {
    let pod = schema("", "v1", "Pod");
    for (case, spec, patch, want) in rows {
        let (document, patch) = (json!({ "spec": spec }), json!({ "spec": patch }));
        let got = apply(document, &patch, &pod).unwrap_or_else(|status| panic!("{case}: {status}"));
        assert_eq!(got, json!({ "spec": want }), "{case}");
    }
}

#[test]
fn lists_merge_by_their_keys() {
    in_pod_spec(&[
        (
            "containers by name",
            json!({"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}),
            json!({"containers": [{"name": "b", "image": "y:2"}]}),
            json!({"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}),
        ),
        (
            "a new item comes first",
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"name": "c"}]}),
            json!({"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}),
        ),
        (
            "the patch's order counts among its items",
            json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
        ),
        (
            "env by name",
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}),
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]}),
        ),
        (
            "volume mounts by path",
            json!({"containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/a"}]}]}),
            json!({"containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/b"}]}]}),
            json!({"containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/b"},
                                                                 {"name": "v", "mountPath": "/a"}]}]}),
        ),
        (
            "host aliases by address",
            json!({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}]}),
            json!({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["b"]}]}),
            json!({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["b"]}]}),
        ),
        (
            "ports by containerPort alone, so that TCP and UDP on one port become one",
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP"}]}]}),
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "UDP"}]}]}),
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "UDP"}]}]}),
        ),
        (
            "spread constraints by topologyKey",
            json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
            json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
            json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
        ),
        (
            "tolerations, args and command are replaced",
            json!({"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1", "2"], "command": ["x"]}]}),
            json!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["3"], "command": ["y"]}]}),
            json!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["3"], "command": ["y"]}]}),
        ),
    ]);
    let service = schema("", "v1", "Service");
    let document = json!({"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "TCP"}]}});
    let patch = json!({"spec": {"ports": [{"name": "dns-udp", "port": 53, "protocol": "UDP"}]}});
    assert_eq!(
        apply(document, &patch, &service).unwrap(),
        json!({"spec": {"ports": [{"name": "dns-udp", "port": 53, "protocol": "UDP"}]}}),
        "service ports by port alone"
    );
}

#[test]
fn conditions_merge_by_type() {
    let document = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}]}});
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let want = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]}});
    assert_eq!(apply(document, &patch, &schema("", "v1", "Pod")).unwrap(), want);
}

#[test]
fn maps_merge_and_nulls_remove() {
    let deployment = schema("apps", "v1", "Deployment");
    for (case, document, patch, want) in [
        (
            "labels",
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
            json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
            json!({"metadata": {"labels": {"b": "2", "c": "3"}}}),
        ),
        (
            "a new map loses its nulls",
            json!({}),
            json!({"metadata": {"labels": {"a": null}}}),
            json!({"metadata": {"labels": {}}}),
        ),
        (
            "a scalar",
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": 3}}),
            json!({"spec": {"replicas": 3}}),
        ),
        (
            "a scalar of another type",
            json!({"spec": {"replicas": 1}}),
            json!({"spec": {"replicas": "3"}}),
            json!({"spec": {"replicas": "3"}}),
        ),
        ("nothing", json!({"spec": {"replicas": 1}}), json!({}), json!({"spec": {"replicas": 1}})),
        ("a null that removes nothing", json!({}), json!({"spec": null}), json!({})),
    ] {
        assert_eq!(apply(document, &patch, &deployment).unwrap(), want, "{case}");
    }
}

#[test]
fn directives_do_what_they_say() {
    in_pod_spec(&[
        (
            "delete an item",
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b"}]}),
        ),
        (
            "delete what is not there",
            json!({"containers": [{"name": "a"}]}),
            json!({"containers": [{"name": "z", "$patch": "delete"}]}),
            json!({"containers": [{"name": "a"}]}),
        ),
        (
            "delete in a list that is not there",
            json!({}),
            json!({"volumes": [{"name": "v", "$patch": "delete"}, {"name": "w"}]}),
            json!({"volumes": [{"name": "w"}]}),
        ),
        (
            "replace a list",
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        ),
        (
            "replace a map",
            json!({"securityContext": {"runAsUser": 1, "runAsGroup": 2}}),
            json!({"securityContext": {"$patch": "replace", "runAsUser": 3}}),
            json!({"securityContext": {"runAsUser": 3}}),
        ),
        (
            "delete a map",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "delete"}}),
            json!({"securityContext": {}}),
        ),
        (
            "set the order",
            json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}),
            json!({"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}),
        ),
        (
            "set the order of a list with a new item, which goes where it is listed",
            json!({"containers": [{"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/containers": [{"name": "a"}, {"name": "n"}, {"name": "b"}],
                   "containers": [{"name": "n", "image": "x"}]}),
            json!({"containers": [{"name": "a"}, {"name": "n", "image": "x"}, {"name": "b"}]}),
        ),
        (
            "items that the order does not name stay beside their neighbours",
            json!({"containers": [{"name": "sidecar"}, {"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "sidecar"}, {"name": "b"}, {"name": "a"}]}),
        ),
        (
            "the order of a list that is not there",
            json!({}),
            json!({"$setElementOrder/volumes": [{"name": "v"}]}),
            json!({}),
        ),
        (
            "retain keys: one volume source for another",
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}, "$retainKeys": ["name", "configMap"]}]}),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
        ),
        (
            "directives in a new value say nothing",
            json!({}),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}, "$retainKeys": ["name", "configMap"]}],
                   "$setElementOrder/volumes": [{"name": "v"}]}),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
        ),
    ]);
}

#[test]
fn primitive_lists_merge_as_sets() {
    let pod = schema("", "v1", "Pod");
    for (case, before, patch, want) in [
        ("add", json!(["a"]), json!({"finalizers": ["b"]}), json!(["b", "a"])),
        ("add what is there", json!(["a", "b"]), json!({"finalizers": ["b"]}), json!(["a", "b"])),
        ("delete", json!(["a", "b"]), json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!(["b"])),
        (
            "delete, add and order",
            json!(["a", "b"]),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"],
                   "$setElementOrder/finalizers": ["b", "c"]}),
            json!(["b", "c"]),
        ),
    ] {
        let got = apply(json!({"metadata": {"finalizers": before}}), &json!({ "metadata": patch }), &pod).unwrap();
        assert_eq!(got["metadata"]["finalizers"], want, "{case}");
    }
    let gone =
        apply(json!({"metadata": {}}), &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}), &pod);
    assert_eq!(gone.unwrap(), json!({"metadata": {}}));
}

#[test]
fn the_patches_of_kubectl_do_what_their_commands_say() {
    let deployment = schema("apps", "v1", "Deployment");
    let container = json!({"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}]});
    let document = json!({
        "metadata": {"name": "web", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "old"}},
        "spec": {
            "replicas": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container, {"name": "log", "image": "log:1"}]}},
        },
    });
    for (command, patch, pointer, want) in [
        (
            "set image deployment/web web=web:2",
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "web"}, {"name": "log"}],
                                                  "containers": [{"image": "web:2", "name": "web"}]}}}}),
            "/spec/template/spec/containers",
            json!([{"name": "web", "image": "web:2", "env": [{"name": "A", "value": "1"}]}, {"name": "log", "image": "log:1"}]),
        ),
        (
            "rollout restart",
            json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}),
            "/spec/template/metadata",
            json!({"labels": {"app": "web"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}),
        ),
        (
            "apply with another strategy",
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "new"}},
                   "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            "/spec/strategy",
            json!({"type": "Recreate"}),
        ),
        (
            "apply without the second container and the variable",
            json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "web"}],
            "containers": [
                {"$setElementOrder/env": [{"name": "B"}], "env": [{"name": "B", "value": "2"}, {"$patch": "delete", "name": "A"}], "name": "web"},
                {"$patch": "delete", "name": "log"},
            ]}}}}),
            "/spec/template/spec/containers",
            json!([{"name": "web", "image": "web:1", "env": [{"name": "B", "value": "2"}]}]),
        ),
        ("edit: fewer replicas", json!({"spec": {"replicas": 1}}), "/spec/replicas", json!(1)),
        ("annotate", json!({"metadata": {"annotations": {"a": "b"}}}), "/metadata/annotations/a", json!("b")),
        (
            "set env A-",
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "web"}, {"name": "log"}],
                                                  "containers": [{"env": [{"$patch": "delete", "name": "A"}], "name": "web"}]}}}}),
            "/spec/template/spec/containers/0",
            json!({"name": "web", "image": "web:1", "env": []}),
        ),
    ] {
        let got = apply(document.clone(), &patch, &deployment).unwrap_or_else(|status| panic!("{command}: {status}"));
        assert_eq!(got.pointer(pointer), Some(&want), "{command}");
    }
}

#[test]
fn a_field_with_the_replace_strategy_is_replaced() {
    let document = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let patch = json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}});
    let got = apply(document, &patch, &schema("policy", "v1", "PodDisruptionBudget")).unwrap();
    assert_eq!(got, patch);
}

#[test]
fn what_cannot_be_merged_is_refused_in_upstreams_words() {
    let pod = schema("", "v1", "Pod");
    let document =
        json!({"metadata": {"finalizers": ["a"]}, "spec": {"containers": [{"name": "a"}], "securityContext": {}}});
    for (case, patch, code, words) in [
        (
            "no merge key",
            json!({"spec": {"containers": [{"image": "x"}]}}),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            "no merge key to delete by",
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            500,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            "an unknown directive",
            json!({"spec": {"securityContext": {"$patch": "spin"}}}),
            500,
            "unknown patch type: spin in map: map[$patch:spin]",
        ),
        (
            "merge is not a directive for items",
            json!({"spec": {"containers": [{"$patch": "merge", "name": "a"}]}}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            "an item of another type",
            json!({"spec": {"containers": ["a"]}}),
            500,
            "list element types are not identical: [[map[name:a]] [a]]",
        ),
        (
            "retained keys that do not name what is set",
            json!({"spec": {"$retainKeys": ["containers"], "hostname": "h"}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            "retained keys that are no list",
            json!({"spec": {"$retainKeys": "a"}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            "values to delete that are no list",
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}),
            400,
            "invalid patch format of primitive list",
        ),
        (
            "a directive without a field",
            json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
            400,
            "invalid patch format of primitive list",
        ),
        (
            "an order without a field",
            json!({"spec": {"$setElementOrder": []}}),
            400,
            "invalid patch format of setElementOrder list",
        ),
        (
            "an order that the patch does not follow",
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
                            "containers": [{"name": "b"}, {"name": "a"}]}}),
            500,
            "The order in patch list:\n[map[name:b] map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:a] map[name:b]]\n",
        ),
        ("not a map", json!([]), 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ] {
        let status = apply(document.clone(), &patch, &pod).unwrap_err();
        assert_eq!((status.code, &*status.message), (code, words), "{case}");
    }
}

/// A tree of names that matter to merging, well formed or not.
fn random_tree(rng: &mut StdRng, depth: usize) -> Value {
    const NAMES: [&str; 14] = [
        "metadata",
        "spec",
        "containers",
        "name",
        "env",
        "ports",
        "containerPort",
        "finalizers",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "volumes",
    ];
    const TEXTS: [&str; 6] = ["a", "b", "delete", "replace", "merge", "name"];
    match rng.random_range(0..if depth == 0 { 3 } else { 8 }) {
        0 => Value::Null,
        1 => json!(rng.random_range(0..3)),
        2 => json!(TEXTS[rng.random_range(0..TEXTS.len())]),
        3 | 4 => (0..rng.random_range(0..4)).map(|_| random_tree(rng, depth - 1)).collect(),
        _ => {
            let fields = (0..rng.random_range(0..5)).map(|_| NAMES[rng.random_range(0..NAMES.len())].to_owned());
            let names: Vec<_> = fields.collect();
            Value::Object(names.into_iter().map(|name| (name, random_tree(rng, depth - 1))).collect())
        }
    }
}

#[test]
fn no_patch_panics_and_no_directive_is_left_in_what_it_makes() {
    let pod = schema("", "v1", "Pod");
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..20_000 {
        let patch = random_tree(&mut rng, 5);
        let document =
            json!({ "metadata": {"finalizers": ["a"]}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]} });
        // Onto an object that has nothing of it, and onto one that has what the patch is about.
        for document in [json!({}), document] {
            if let Ok(merged) = apply(document, &patch, &pod) {
                let text = merged.to_string();
                assert!(!text.contains('$'), "{patch} made {text}");
            }
        }
    }
}
