//! That every kind of the group is there, with the names clients know.

use std::sync::Arc;

use futures::FutureExt;
use sdk_api::{Status, Timestamp};
use sdk_plugin::{Tables, TokenClaims, TokenIssuer};
use serde_json::{Value, json};

use crate::Settings;

struct NoTokens;
impl TokenIssuer for NoTokens {
    fn issue(&self, _claims: &TokenClaims) -> Result<(String, Timestamp), Status> {
        Err(Status::internal("no tokens here"))
    }

    fn default_audiences(&self) -> Vec<String> {
        vec!["here".into()]
    }
}

fn tables() -> Tables {
    let settings = Settings {
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        node_ports: (30000, 32767),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        root_ca: String::new(),
        tokens: Arc::new(NoTokens),
        event_ttl: std::time::Duration::from_secs(3600),
        shared_store: false,
    };
    let mut tables = Tables::default();
    super::register(&mut tables, &settings);
    tables
}

#[test]
fn every_kind_is_registered() {
    let mut rows: Vec<String> = tables()
        .kinds
        .iter()
        .map(|kind| {
            let parts: Vec<&str> = kind.subresources.iter().map(|(name, _)| *name).collect();
            format!("{} {} {} [{}]", kind.plural, kind.gvk.kind, kind.short_names.join(","), parts.join(" "))
        })
        .collect();
    rows.sort_unstable();
    let expected = [
        "bindings Binding  []",
        "componentstatuses ComponentStatus cs []",
        "configmaps ConfigMap cm []",
        "endpoints Endpoints ep []",
        "events Event ev []",
        "limitranges LimitRange limits []",
        "namespaces Namespace ns [status finalize]",
        "nodes Node no [status proxy]",
        "persistentvolumeclaims PersistentVolumeClaim pvc [status]",
        "persistentvolumes PersistentVolume pv [status]",
        "pods Pod po [status ephemeralcontainers resize binding eviction attach exec log portforward proxy]",
        "podtemplates PodTemplate  []",
        "replicationcontrollers ReplicationController rc [status scale]",
        "resourcequotas ResourceQuota quota [status]",
        "secrets Secret  []",
        "serviceaccounts ServiceAccount sa [token]",
        "services Service svc [status proxy]",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn every_column_stands_an_empty_object() {
    for kind in &tables().kinds {
        for column in kind.columns.iter() {
            let cell = column.value(&json!({}), Timestamp::UNIX_EPOCH);
            let scalar = !cell.is_object() && !cell.is_array();
            assert!(scalar, "{} {}: {cell}", kind.plural, column.name);
        }
        for field in kind.fields.iter() {
            assert!(matches!(&*(field.value)(&json!({})), "" | "false" | "0"), "{} {}", kind.plural, field.name);
        }
    }
}

/// Rich documents of the kinds with the most rules.
fn samples() -> Vec<(&'static str, Value)> {
    let container = json!({
        "name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80, "name": "http"}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "example.com/gpu": "1"}},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}],
        "livenessProbe": {"httpGet": {"port": "http"}}, "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "securityContext": {"capabilities": {"add": ["X"]}, "seccompProfile": {"type": "RuntimeDefault"}},
    });
    let spec = json!({
        "nodeName": "n", "containers": [container], "initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always"}],
        "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}]}},
            {"name": "w", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}}}],
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z",
            "labelSelector": {"matchExpressions": [{"key": "b", "operator": "In", "values": ["b"]}]}, "matchLabelKeys": ["a"]}]}},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        "schedulingGates": [{"name": "g"}], "resources": {"requests": {"cpu": "3"}},
        "dnsConfig": {"nameservers": ["1.1.1.1"]}, "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["h"]}],
    });
    let status = json!({
        "phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 1, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}}],
    });
    let small = json!({"containers": [{"name": "c", "image": "i"}]});
    let metadata = json!({"name": "x", "namespace": "a", "labels": {"a": "b"}});
    vec![
        ("pods", json!({"metadata": metadata, "spec": spec, "status": status})),
        ("podtemplates", json!({"metadata": metadata, "template": {"metadata": metadata, "spec": small}})),
        (
            "replicationcontrollers",
            json!({"metadata": metadata, "spec": {"replicas": 1, "template": {"metadata": metadata, "spec": small}}}),
        ),
        (
            "services",
            json!({"metadata": metadata, "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
                "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Local", "healthCheckNodePort": 30081,
                "sessionAffinity": "ClientIP", "externalIPs": ["1.2.3.4"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        ),
        (
            "nodes",
            json!({"metadata": metadata, "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "k", "effect": "NoExecute"}]},
                "status": {"capacity": {"cpu": "1"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
        ),
        (
            "persistentvolumes",
            json!({"metadata": metadata, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/x"}, "claimRef": {"name": "c", "namespace": "a"}}}),
        ),
        (
            "persistentvolumeclaims",
            json!({"metadata": metadata, "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "v",
                "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}),
        ),
        (
            "limitranges",
            json!({"metadata": metadata, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}),
        ),
        ("resourcequotas", json!({"metadata": metadata, "spec": {"hard": {"pods": "1"}, "scopes": ["Terminating"]}})),
        (
            "endpoints",
            json!({"metadata": metadata, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
        ),
        (
            "events",
            json!({"metadata": metadata, "involvedObject": {"kind": "Pod", "namespace": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z"}),
        ),
        (
            "secrets",
            json!({"metadata": metadata, "type": "kubernetes.io/tls", "stringData": {"a": "b"}, "data": {"c": "eA=="}}),
        ),
        ("namespaces", json!({"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}})),
    ]
}

/// All documents that differ from this one in one place: something missing, empty, negative, or of another type.
fn neighbours(document: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let odd = [
        json!(null),
        json!(""),
        json!("x"),
        json!(-1),
        json!(i64::MAX),
        json!([]),
        json!({}),
        json!([null]),
        json!(true),
    ];
    let replaced = odd.into_iter();
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                for other in neighbours(value).into_iter().chain(replaced.clone()) {
                    let mut changed = document.clone();
                    changed[name] = other;
                    all.push(changed);
                }
                let mut without = document.clone();
                without.as_object_mut().unwrap().remove(name);
                all.push(without);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                for other in neighbours(value) {
                    let mut changed = document.clone();
                    changed[i] = other;
                    all.push(changed);
                }
            }
            let twice: Vec<Value> = items.iter().chain(items).cloned().collect();
            all.push(twice.into());
        }
        _ => {}
    }
    all
}

#[test]
fn no_document_makes_a_strategy_panic_or_defaults_waver() {
    let tables = tables();
    let now = "2026-01-01T00:01:00Z".parse().unwrap();
    let mut checked = 0;
    for (plural, sample) in samples() {
        let kind = tables.kinds.iter().find(|kind| kind.plural == plural).expect("a sample of a registered kind");
        let strategy = &kind.strategy;
        let mut stored = sample.clone();
        strategy.default(&mut stored).unwrap();
        for odd in neighbours(&sample) {
            kind.columns.iter().for_each(|column| drop(column.value(&odd, now)));
            kind.fields.iter().for_each(|field| drop((field.value)(&odd)));
            let mut document = odd.clone();
            // What does not fit the type is refused; all else goes all the way.
            if strategy.default(&mut document).is_err() {
                continue;
            }
            let once = document.clone();
            strategy.default(&mut document).unwrap();
            assert_eq!(document, once, "{plural}: the second run of defaults changed {odd}");
            checked += 1;
            strategy.validate(&document, Some(&stored)).unwrap();
            strategy.validate_status(&document, &stored).unwrap();
            for part in ["scale", "resize", "ephemeralcontainers"] {
                strategy.validate_part(part, &document, &stored).unwrap();
            }
            strategy.warnings(&document);
            strategy.grace(&document, Some(-1));
            strategy.prepare_update(&mut document.clone(), &stored, now).unwrap();
            strategy.prepare_create(&mut document, now).unwrap();
            if let Some(hook) = &kind.hook {
                // Refusals are fine; what was reserved is given back at once.
                drop(hook.before(&mut document.clone(), Some(&stored), true).now_or_never().expect("nothing waits"));
                drop(hook.before(&mut document, None, true).now_or_never().expect("nothing waits"));
            }
            strategy.validate(&document, None).unwrap();
            strategy.is_held(&document);
            strategy.begin_deletion(&mut document).unwrap();
        }
    }
    assert!(checked > 800, "only {checked} documents fitted their types");
}

#[test]
fn the_samples_are_valid() {
    let tables = tables();
    for (plural, sample) in samples().into_iter().filter(|(plural, _)| !matches!(*plural, "events" | "secrets")) {
        let kind = tables.kinds.iter().find(|kind| kind.plural == plural).expect("a sample of a registered kind");
        let mut document = sample;
        kind.strategy.default(&mut document).unwrap();
        kind.strategy.prepare_create(&mut document, Timestamp::UNIX_EPOCH).unwrap();
        let found = kind.strategy.validate(&document, None).unwrap();
        let expected: &[&str] = if plural == "pods" { &["spec.nodeName"] } else { &[] };
        assert_eq!(found.fields(), expected, "{plural}: {}", found.summary());
    }
}
