//! One row a rule: what is right, and what is wrong where.

use serde_json::{Value, json};

use super::*;
use crate::defaults::defaults;

/// A good spec with one field changed: `a.b[0].c` style paths are not needed, the change is merged on top.
fn spec(change: &Value) -> PodSpec {
    let mut spec = json!({"containers": [{"name": "c", "image": "i:1"}]});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut spec = serde_json::from_value(spec).unwrap();
    defaults(&mut spec);
    spec
}

/// The same with fields of its one container changed.
fn container(change: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i:1"});
    for (field, value) in change.as_object().unwrap() {
        container[field] = value.clone();
    }
    json!({ "containers": [container] })
}

const OF_POD: Options<'_> = Options { pod: Some("p"), stored: false };

fn check(rows: Vec<(&str, Value, Vec<&str>)>) {
    for (case, change, wrong) in rows {
        let found = validate_spec(&spec(&change), "spec", OF_POD);
        assert_eq!(found.fields(), wrong, "{case}: {}", found.summary());
    }
}

#[test]
fn pods() {
    check(vec![
        ("good", json!({}), vec![]),
        ("no containers", json!({"containers": []}), vec!["spec.containers"]),
        ("unknown restart policy", json!({"restartPolicy": "Sometimes"}), vec!["spec.restartPolicy"]),
        ("unknown dns policy", json!({"dnsPolicy": "Guess"}), vec!["spec.dnsPolicy"]),
        ("dns by itself, without", json!({"dnsPolicy": "None"}), vec!["spec.dnsConfig"]),
        ("dns by itself, no server", json!({"dnsPolicy": "None", "dnsConfig": {}}), vec!["spec.dnsConfig.nameservers"]),
        (
            "dns with a bad server and search",
            json!({"dnsConfig": {"nameservers": ["x"], "searches": ["a_b.c", "_", "-x"]}}),
            vec!["spec.dnsConfig.nameservers[0]", "spec.dnsConfig.searches[1]", "spec.dnsConfig.searches[2]"],
        ),
        (
            "too many servers",
            json!({"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}}),
            vec!["spec.dnsConfig.nameservers"],
        ),
        ("a bad host name", json!({"hostname": "A.b"}), vec!["spec.hostname"]),
        ("a bad node", json!({"nodeName": "A"}), vec!["spec.nodeName"]),
        ("a bad account", json!({"serviceAccountName": "A"}), vec!["spec.serviceAccountName"]),
        ("a bad selector", json!({"nodeSelector": {"a b": "c d"}}), vec!["spec.nodeSelector", "spec.nodeSelector"]),
        ("no time at all", json!({"activeDeadlineSeconds": 0}), vec!["spec.activeDeadlineSeconds"]),
        ("an unknown preemption", json!({"preemptionPolicy": "x"}), vec!["spec.preemptionPolicy"]),
        ("an unknown system", json!({"os": {"name": "plan9"}}), vec!["spec.os"]),
        (
            "aliases",
            json!({"hostAliases": [{"ip": "x", "hostnames": ["a", "A"]}]}),
            vec!["spec.hostAliases[0].ip", "spec.hostAliases[0].hostnames[1]"],
        ),
        (
            "processes shared twice",
            json!({"shareProcessNamespace": true, "hostPID": true}),
            vec!["spec.securityContext.shareProcessNamespace"],
        ),
        ("a gate twice", json!({"schedulingGates": [{"name": "a"}, {"name": "a"}]}), vec!["spec.schedulingGates[1]"]),
        (
            "a bad gate",
            json!({"readinessGates": [{"conditionType": "a b"}]}),
            vec!["spec.readinessGates[0].conditionType"],
        ),
        (
            "users of its own on the host's network",
            json!({"hostUsers": false, "hostNetwork": true}),
            vec!["spec.hostNetwork"],
        ),
    ]);
}

#[test]
fn containers() {
    check(vec![
        ("no name", container(json!({"name": ""})), vec!["spec.containers[0].name"]),
        ("a bad name", container(json!({"name": "A"})), vec!["spec.containers[0].name"]),
        ("no image", container(json!({"image": ""})), vec!["spec.containers[0].image"]),
        ("a padded image", container(json!({"image": " i"})), vec!["spec.containers[0].image"]),
        (
            "one name twice",
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            vec!["spec.containers[1].name"],
        ),
        (
            "one name twice, in init",
            json!({"initContainers": [{"name": "c", "image": "i"}]}),
            vec!["spec.initContainers[0].name"],
        ),
        (
            "an unknown pull policy",
            container(json!({"imagePullPolicy": "x"})),
            vec!["spec.containers[0].imagePullPolicy"],
        ),
        (
            "ports",
            container(
                json!({"ports": [{"containerPort": 0}, {"containerPort": 70000}, {"containerPort": 1, "protocol": "x"},
                {"containerPort": 2, "name": "A"}]}),
            ),
            vec![
                "spec.containers[0].ports[0].containerPort",
                "spec.containers[0].ports[1].containerPort",
                "spec.containers[0].ports[2].protocol",
                "spec.containers[0].ports[3].name",
                "spec.containers[0].ports[3].name",
            ],
        ),
        (
            "one port name twice",
            container(json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]})),
            vec!["spec.containers[0].ports[1].name"],
        ),
        (
            "one host port twice",
            json!({"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]},
                {"name": "b", "image": "i", "ports": [{"containerPort": 2, "hostPort": 80}]}]}),
            vec!["spec.containers[1].ports[0].hostPort"],
        ),
        (
            "an init container with a probe",
            json!({"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}]}),
            vec!["spec.initContainers[0].livenessProbe"],
        ),
        (
            "a sidecar with a probe",
            json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always",
                "livenessProbe": {"exec": {"command": ["x"]}}}]}),
            vec![],
        ),
        (
            "rules without a policy",
            container(
                json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
            ),
            vec!["spec.containers[0].restartPolicy"],
        ),
    ]);
}

#[test]
fn environment() {
    let path = "spec.containers[0].env[0]";
    let from = |source: Value| container(json!({"env": [{"name": "A", "valueFrom": source}]}));
    let (value_from, name) = (format!("{path}.valueFrom"), format!("{path}.name"));
    let field = format!("{path}.valueFrom.fieldRef.fieldPath");
    let resource = format!("{path}.valueFrom.resourceFieldRef.resource");
    let divisor = format!("{path}.valueFrom.resourceFieldRef.divisor");
    let key = format!("{path}.valueFrom.configMapKeyRef.key");
    check(vec![
        ("a value", container(json!({"env": [{"name": "A.b-C", "value": "1"}]})), vec![]),
        ("no name", container(json!({"env": [{"name": ""}]})), vec![&name]),
        ("a name with =", container(json!({"env": [{"name": "a=b"}]})), vec![&name]),
        ("a field", from(json!({"fieldRef": {"fieldPath": "status.podIP"}})), vec![]),
        ("a label", from(json!({"fieldRef": {"fieldPath": "metadata.labels['a']"}})), vec![]),
        ("an unknown field", from(json!({"fieldRef": {"fieldPath": "status.x"}})), vec![&field]),
        ("all labels", from(json!({"fieldRef": {"fieldPath": "metadata.labels"}})), vec![&field]),
        ("a resource", from(json!({"resourceFieldRef": {"resource": "limits.cpu"}})), vec![]),
        ("an unknown resource", from(json!({"resourceFieldRef": {"resource": "x"}})), vec![&resource]),
        (
            "an odd divisor",
            from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}})),
            vec![&divisor],
        ),
        ("no key", from(json!({"configMapKeyRef": {"name": "m", "key": ""}})), vec![&key]),
        ("nothing", from(json!({})), vec![&value_from]),
        (
            "two sources",
            from(json!({"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "s", "key": "k"}})),
            vec![&value_from],
        ),
        (
            "a value and a source",
            container(
                json!({"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            vec![&value_from],
        ),
        ("all of a map", container(json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}]})), vec![]),
        ("all of nothing", container(json!({"envFrom": [{}]})), vec!["spec.containers[0].envFrom"]),
    ]);
}

#[test]
fn probes_and_handlers() {
    let probe = |probe: Value| container(json!({ "readinessProbe": probe }));
    let path = |field: &str| format!("spec.containers[0].{field}");
    let (port, ready) = (path("readinessProbe.httpGet.port"), path("readinessProbe"));
    let (tcp, seconds) = (path("readinessProbe.tcpSocket"), path("readinessProbe.timeoutSeconds"));
    let (once, grace) = (path("livenessProbe.successThreshold"), path("readinessProbe.terminationGracePeriodSeconds"));
    let (command, sleep) = (path("lifecycle.preStop.exec.command"), path("lifecycle.preStop.sleep"));
    let header = path("readinessProbe.httpGet.httpHeaders");
    check(vec![
        ("good", probe(json!({"httpGet": {"port": "http"}})), vec![]),
        ("no handler", probe(json!({})), vec![&ready]),
        ("a bad port", probe(json!({"httpGet": {"port": 0}})), vec![&port]),
        ("two handlers", probe(json!({"httpGet": {"port": 80}, "tcpSocket": {"port": 80}})), vec![&tcp]),
        ("negative", probe(json!({"tcpSocket": {"port": 80}, "timeoutSeconds": -1})), vec![&seconds]),
        (
            "a bad header",
            probe(json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}})),
            vec![&header],
        ),
        (
            "grace for readiness",
            probe(json!({"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 5})),
            vec![&grace],
        ),
        (
            "alive twice",
            container(json!({"livenessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2}})),
            vec![&once],
        ),
        ("no command", container(json!({"lifecycle": {"preStop": {"exec": {}}}})), vec![&command]),
        ("sleeps too long", container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}})), vec![&sleep]),
    ]);
}

#[test]
fn amounts() {
    let with = |resources: Value| container(json!({ "resources": resources }));
    let path = |field: &str| format!("spec.containers[0].resources.{field}");
    let (requests, limits) = (path("requests"), path("limits"));
    let disk = path("requests[disk]");
    let (memory, gpu) = (path("limits[memory]"), path("limits[example.com/gpu]"));
    let huge = "spec.containers[0].resources";
    check(vec![
        ("good", with(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}})), vec![]),
        ("more asked than allowed", with(json!({"requests": {"cpu": "3"}, "limits": {"cpu": "2"}})), vec![&requests]),
        ("negative", with(json!({"limits": {"memory": "-1"}})), vec![&memory]),
        ("no number", with(json!({"limits": {"memory": "lots"}})), vec![&memory]),
        ("an unknown resource", with(json!({"requests": {"disk": "1"}})), vec![&disk, &disk]),
        ("extended", with(json!({"limits": {"example.com/gpu": "1"}})), vec![]),
        ("half of one", with(json!({"limits": {"example.com/gpu": "500m"}})), vec![&gpu]),
        ("extended without a limit", with(json!({"requests": {"example.com/gpu": "1"}})), vec![&limits]),
        (
            "extended, not all of it",
            with(json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}})),
            vec![&requests],
        ),
        ("huge pages alone", with(json!({"limits": {"hugepages-2Mi": "2Mi"}})), vec![huge]),
    ]);
    let found = validate_spec(
        &spec(&with(json!({"requests": {"cpu": "3"}, "limits": {"cpu": "2"}}))),
        "spec",
        Options::default(),
    );
    assert_eq!(
        found.summary(),
        "spec.containers[0].resources.requests: Invalid value: \"3\": must be less than or equal to cpu limit of 2"
    );
    check(vec![
        (
            "less for the pod than for its containers",
            json!({"resources": {"requests": {"cpu": "1"}},
                "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]}),
            vec!["spec.resources.requests[cpu]"],
        ),
        (
            "storage for the pod",
            json!({"resources": {"requests": {"ephemeral-storage": "1Gi"}}}),
            vec!["spec.resources.requests[ephemeral-storage]"],
        ),
    ]);
}

#[test]
fn volumes_and_mounts() {
    let one = |volume: Value| json!({ "volumes": [volume] });
    let mount = |volume: Value, mount: Value| {
        let mut spec = container(json!({"volumeMounts": [mount]}));
        spec["volumes"] = json!([volume]);
        spec
    };
    let empty = json!({"name": "v", "emptyDir": {}});
    check(vec![
        ("good", mount(empty.clone(), json!({"name": "v", "mountPath": "/a"})), vec![]),
        ("no name", one(json!({"name": ""})), vec!["spec.volumes[0].name"]),
        ("a bad name", one(json!({"name": "A"})), vec!["spec.volumes[0].name"]),
        ("one name twice", json!({"volumes": [empty, empty]}), vec!["spec.volumes[1].name"]),
        (
            "two sources",
            one(json!({"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}})),
            vec!["spec.volumes[0].hostPath"],
        ),
        (
            "an unknown type",
            one(json!({"name": "v", "hostPath": {"path": "/a", "type": "x"}})),
            vec!["spec.volumes[0].hostPath.type"],
        ),
        (
            "a climbing path",
            one(json!({"name": "v", "hostPath": {"path": "/a/../b"}})),
            vec!["spec.volumes[0].hostPath.path"],
        ),
        ("no secret", one(json!({"name": "v", "secret": {}})), vec!["spec.volumes[0].secret.secretName"]),
        ("no map", one(json!({"name": "v", "configMap": {}})), vec!["spec.volumes[0].configMap.name"]),
        (
            "a bad mode",
            one(json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 512}})),
            vec!["spec.volumes[0].secret.defaultMode"],
        ),
        (
            "items",
            one(
                json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "", "path": "../x"}, {"key": "a", "path": "..x"}]}}),
            ),
            vec![
                "spec.volumes[0].configMap.items[0].key",
                "spec.volumes[0].configMap.items[0].path",
                "spec.volumes[0].configMap.items[1].path",
            ],
        ),
        (
            "no claim",
            one(json!({"name": "v", "persistentVolumeClaim": {"claimName": ""}})),
            vec!["spec.volumes[0].persistentVolumeClaim.claimName"],
        ),
        (
            "no server",
            one(json!({"name": "v", "nfs": {"server": "", "path": "x"}})),
            vec!["spec.volumes[0].nfs.server", "spec.volumes[0].nfs.path"],
        ),
        (
            "a short token",
            one(
                json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}}),
            ),
            vec!["spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds"],
        ),
        (
            "one path twice",
            one(
                json!({"name": "v", "projected": {"sources": [{"downwardAPI": {"items": [{"path": "t", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "t"}]}}]}}),
            ),
            vec!["spec.volumes[0].projected"],
        ),
        (
            "a claim of its own without size",
            one(
                json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
            ),
            vec!["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]"],
        ),
        (
            "a file of labels",
            one(
                json!({"name": "v", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
            ),
            vec![],
        ),
        (
            "a file of nothing",
            one(json!({"name": "v", "downwardAPI": {"items": [{"path": "l"}]}})),
            vec!["spec.volumes[0].downwardAPI"],
        ),
        (
            "an unknown volume",
            mount(empty.clone(), json!({"name": "w", "mountPath": "/a"})),
            vec!["spec.containers[0].volumeMounts[0].name"],
        ),
        (
            "nowhere",
            mount(empty.clone(), json!({"name": "v", "mountPath": ""})),
            vec!["spec.containers[0].volumeMounts[0].mountPath"],
        ),
        (
            "an absolute part",
            mount(empty.clone(), json!({"name": "v", "mountPath": "/a", "subPath": "/x"})),
            vec!["spec.containers[0].volumeMounts.subPath"],
        ),
        (
            "seen by the host",
            mount(empty.clone(), json!({"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"})),
            vec!["spec.containers[0].volumeMounts.mountPropagation"],
        ),
        (
            "one path twice",
            {
                let mut spec = container(
                    json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}),
                );
                spec["volumes"] = json!([empty]);
                spec
            },
            vec!["spec.containers[0].volumeMounts[1].mountPath"],
        ),
    ]);
}

#[test]
fn places() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let node = |term: Value| json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [term]}}}});
    let pods = |term: Value| json!({"affinity": {"podAntiAffinity": {required: [term]}}});
    let node_path = format!("spec.affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[0]");
    let (values, operator) = (format!("{node_path}.values"), format!("{node_path}.operator"));
    let topology = format!("spec.affinity.podAntiAffinity.{required}[0].topologyKey");
    let no_terms = format!("spec.affinity.nodeAffinity.{required}.nodeSelectorTerms");
    let tolerate = |toleration: Value| json!({"tolerations": [toleration]});
    let spread = |change: Value| {
        let mut constraint =
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}});
        for (field, value) in change.as_object().unwrap() {
            constraint[field] = value.clone();
        }
        json!({"topologySpreadConstraints": [constraint]})
    };
    check(vec![
        ("good", node(json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]})), vec![]),
        ("in nothing", node(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})), vec![&values]),
        ("an unknown operator", node(json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})), vec![&operator]),
        ("no terms", json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": []}}}}), vec![&no_terms]),
        (
            "a bad weight",
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]}}}),
            vec!["spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight"],
        ),
        ("pods", pods(json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}})), vec![]),
        ("pods nowhere", pods(json!({"topologyKey": ""})), vec![&topology, &topology, &topology]),
        ("tolerate all", tolerate(json!({"operator": "Exists"})), vec![]),
        ("tolerate nothing", tolerate(json!({})), vec!["spec.tolerations[0].operator"]),
        (
            "tolerate for a while what never acts",
            tolerate(json!({"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5})),
            vec!["spec.tolerations[0].effect"],
        ),
        (
            "tolerate a value that exists",
            tolerate(json!({"key": "a", "operator": "Exists", "value": "b"})),
            vec!["spec.tolerations[0].operator"],
        ),
        ("an unknown effect", tolerate(json!({"key": "a", "effect": "x"})), vec!["spec.tolerations[0].effect"]),
        ("spread", spread(json!({})), vec![]),
        ("no skew", spread(json!({"maxSkew": 0})), vec!["spec.topologySpreadConstraints[0].maxSkew"]),
        ("nowhere", spread(json!({"topologyKey": ""})), vec!["spec.topologySpreadConstraints[0].topologyKey"]),
        (
            "an unknown way out",
            spread(json!({"whenUnsatisfiable": "x"})),
            vec!["spec.topologySpreadConstraints[0].whenUnsatisfiable"],
        ),
        (
            "domains that do not matter",
            spread(json!({"minDomains": 1, "whenUnsatisfiable": "ScheduleAnyway"})),
            vec!["spec.topologySpreadConstraints[0].minDomains"],
        ),
    ]);
}

#[test]
fn security() {
    let of_pod = |context: Value| json!({ "securityContext": context });
    let of_container = |context: Value| container(json!({ "securityContext": context }));
    check(vec![
        (
            "good",
            of_pod(json!({"runAsUser": 0, "fsGroup": 2000, "seccompProfile": {"type": "RuntimeDefault"}})),
            vec![],
        ),
        ("a negative user", of_pod(json!({"runAsUser": -1})), vec!["spec.securityContext.runAsUser"]),
        ("a large group", of_pod(json!({"fsGroup": 4_294_967_296_i64})), vec!["spec.securityContext.fsGroup"]),
        (
            "a bad sysctl",
            of_pod(json!({"sysctls": [{"name": "A", "value": ""}]})),
            vec!["spec.securityContext.sysctls[0].name"],
        ),
        (
            "a profile without its file",
            of_pod(json!({"seccompProfile": {"type": "Localhost"}})),
            vec!["spec.securityContext.seccompProfile.localhostProfile"],
        ),
        (
            "a file without its profile",
            of_container(json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}})),
            vec!["spec.containers[0].securityContext.seccompProfile.localhostProfile"],
        ),
        (
            "windows on linux",
            json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}),
            vec!["spec.securityContext.windowsOptions"],
        ),
        (
            "users on windows",
            json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"runAsUser": 1}}),
            vec!["spec.hostPID", "spec.securityContext.runAsUser"],
        ),
        (
            "privileged without",
            of_container(json!({"privileged": true, "allowPrivilegeEscalation": false})),
            vec!["spec.containers[0].securityContext"],
        ),
    ]);
}

#[test]
fn templates_have_labels_and_no_debugging() {
    let template = |value: Value| {
        let mut template: PodTemplateSpec = serde_json::from_value(value).unwrap();
        crate::template_defaults(&mut template);
        validate_template(&template, "spec.template", Options::default())
    };
    let containers = json!([{"name": "c", "image": "i"}]);
    for (case, value, wrong) in [
        ("good", json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}), vec![]),
        (
            "a bad label",
            json!({"metadata": {"labels": {"a": "b c"}}, "spec": {"containers": containers}}),
            vec!["spec.template.labels"],
        ),
        ("nothing", json!({}), vec!["spec.template.spec.containers"]),
        (
            "debugged",
            json!({"spec": {"containers": containers, "ephemeralContainers": [{"name": "d", "image": "i"}]}}),
            vec!["spec.template.spec.ephemeralContainers"],
        ),
    ] {
        assert_eq!(template(value).fields(), wrong, "{case}");
    }
}
