//! One row a message: the words and paths of upstream, in full.

use serde_json::{Value, json};

use super::*;
use crate::defaults::defaults;

fn wrong(change: &Value, options: Options<'_>) -> Vec<String> {
    let mut spec = json!({"containers": [{"name": "c", "image": "i:1"}]});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut spec: PodSpec = serde_json::from_value(spec).unwrap();
    defaults(&mut spec);
    validate_spec(&spec, "spec", options).iter().map(ToString::to_string).collect()
}

/// The same with fields of its one container changed.
fn container(change: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i:1"});
    for (field, value) in change.as_object().unwrap() {
        container[field] = value.clone();
    }
    json!({ "containers": [container] })
}

fn check(rows: Vec<(Value, &str)>) {
    for (change, message) in rows {
        let found = wrong(&change, Options { pod: Some("p"), stored: false });
        assert_eq!(found, if message.is_empty() { vec![] } else { vec![message.to_owned()] }, "{change}");
    }
}

#[test]
fn pods_and_their_scheduling() {
    check(vec![
        (
            json!({"restartPolicy": "x"}),
            r#"spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never""#,
        ),
        (
            json!({"dnsPolicy": "x"}),
            r#"spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None""#,
        ),
        (json!({"hostUsers": false, "hostPID": true}), "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"),
        (
            json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
            r#"spec.tolerations[0].operator: Invalid value: "b": value must be empty when `operator` is 'Exists'"#,
        ),
        (
            json!({"tolerations": [{"key": "a", "effect": "x"}]}),
            r#"spec.tolerations[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 2, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            r#"spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}""#,
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["a"]}]}),
            "spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and \
             labelSelector",
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}]}}}),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: \
             \"a\": exists in both matchLabelKeys and mismatchLabelKeys",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b b"]}]}}]}}}),
            "",
        ),
        (
            json!({"os": {"name": "plan9"}}),
            r#"spec.os: Unsupported value: "plan9": supported values: "linux", "windows""#,
        ),
        (
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
            "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_syncookies\": may not be specified when \
             'hostNetwork' is true",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
        ),
        (
            json!({"dnsConfig": {"searches": ["A"]}}),
            "spec.dnsConfig.searches[0]: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case \
             alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
             'example.com', regex used for validation is \
             '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
        ),
    ]);
}

#[test]
fn containers() {
    let at = |field: &str| format!("spec.containers[0].{field}");
    let rows = [
        (
            json!({"terminationMessagePolicy": "x"}),
            "terminationMessagePolicy: Unsupported value: \"x\": supported values: \"File\", \"FallbackToLogsOnError\"",
        ),
        (
            json!({"resources": {"claims": [{"name": "a"}]}}),
            "resources.claims[0]: Not found: \"a\": must be one of the names in pod.spec.resourceClaims which is empty",
        ),
        (
            json!({"resources": {"limits": {"cpu": "1", "hugepages-2Mi": "3Mi"}, "requests": {"hugepages-2Mi": "3Mi"}}}),
            "resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}}}]}),
            "env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are \
             supported with the cpu resource",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.x"}}}]}),
            "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"status.x\": error converting fieldPath: field label not \
             supported: status.x",
        ),
        (json!({"envFrom": [{"secretRef": {"name": ""}}]}), "envFrom[0].secretRef.name: Required value"),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}}),
            "securityContext.appArmorProfile.localhostProfile: Invalid value: \" a\": must not be padded with whitespace",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": ""}}}),
            "securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set",
        ),
        (
            json!({"securityContext": {"procMount": "Unmasked"}}),
            "securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
        ),
    ];
    for (change, message) in rows {
        let found = wrong(&container(change.clone()), Options { pod: Some("p"), stored: false });
        let first = found.first().map(String::as_str).unwrap_or_default();
        assert_eq!(first, at(message), "{change}");
    }
    let resize = |policy: Value| {
        let mut spec = container(json!({"resizePolicy": policy}));
        spec["restartPolicy"] = json!("Never");
        spec
    };
    check(vec![
        (resize(json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}])), ""),
        (
            resize(json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])),
            "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is \
             'Never'",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]},
                {"name": "j", "image": "i", "ports": [{"containerPort": 1, "hostPort": 80}]}]}),
            "",
        ),
        (
            json!({"resources": {"limits": {"cpu": "1"}},
                "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}]}),
            "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1",
        ),
    ]);
}

#[test]
fn volumes() {
    let one = |source: &str, fields: Value| json!({"volumes": [{"name": "v", source: fields}]});
    check(vec![
        (
            one("gitRepo", json!({"repository": "r", "directory": "/x"})),
            "spec.volumes[0].gitRepo.directory: Invalid value: \"/x\": must be a relative path",
        ),
        (
            one("gcePersistentDisk", json!({"pdName": "", "partition": 1})),
            "spec.volumes[0].persistentDisk.pdName: Required value",
        ),
        (
            one("awsElasticBlockStore", json!({"volumeID": "v", "partition": 256})),
            "spec.volumes[0].awsElasticBlockStore.partition: Invalid value: 256: must be between 1 and 255, inclusive",
        ),
        (
            one("iscsi", json!({"targetPortal": "p", "iqn": "iqn.x", "lun": 0})),
            "spec.volumes[0].iscsi.iqn: Invalid value: \"iqn.x\": must be valid format",
        ),
        (one("iscsi", json!({"targetPortal": "p", "iqn": "iqn.2001-04.com.example:a.b", "lun": 0})), ""),
        (
            one("iscsi", json!({"targetPortal": "p", "iqn": "eui.0123456789abcdef", "lun": 256})),
            "spec.volumes[0].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
        ),
        (
            one("fc", json!({"targetWWNs": ["a"]})),
            "spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified",
        ),
        (
            one("flocker", json!({"datasetName": "a/b"})),
            "spec.volumes[0].flocker.datasetName: Invalid value: \"a/b\": must not contain '/'",
        ),
        (
            one("quobyte", json!({"registry": "x", "volume": "v"})),
            "spec.volumes[0].quobyte.registry: Invalid value: \"x\": must be a host:port pair or multiple pairs separated by commas",
        ),
        (
            one("azureDisk", json!({"diskName": "d", "diskURI": "https://x", "kind": "Managed"})),
            "spec.volumes[0].azureDisk.diskURI: Unsupported value: \"https://x\": supported values: \
             \"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}\"",
        ),
        (
            one("csi", json!({"driver": "d".repeat(64)})),
            "spec.volumes[0].csi.driver: Too long: may not be more than 63 bytes",
        ),
        (
            one("projected", json!({"sources": [{"clusterTrustBundle": {"path": "p"}}]})),
            "spec.volumes[0].projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified",
        ),
        (
            one("projected", json!({"sources": [{"serviceAccountToken": {"path": "../t"}}]})),
            "spec.volumes[0].projected.path: Invalid value: \"../t\": must not contain '..'",
        ),
        (
            one(
                "ephemeral",
                json!({"volumeClaimTemplate": {"metadata": {"name": "n"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}}),
            ),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
        ),
        (
            {
                let mut spec = container(json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "b"}]}));
                spec["volumes"] = json!([{"name": "v", "image": {"reference": "i:1"}}]);
                spec
            },
            "spec.containers[0].volumeMounts[0].subPath: Invalid value: \"b\": not allowed in image volume sources",
        ),
    ]);
}

#[test]
fn templates_may_leave_to_the_pod_what_is_the_pods() {
    for (case, change) in [
        (
            "a host port",
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}),
        ),
        ("an image in spaces", container(json!({"image": " i "}))),
        ("an image volume", json!({"volumes": [{"name": "v", "image": {}}]})),
    ] {
        assert_eq!(wrong(&change, Options::default()), Vec::<String>::new(), "{case}");
        assert_eq!(wrong(&change, Options { pod: Some("p"), stored: false }).len(), 1, "{case}");
    }
}
