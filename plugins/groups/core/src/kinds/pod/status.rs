//! The status of a pod, written by its node: what it carries over, and what cannot have happened.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sdk_api::k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use sdk_api::{Status, Violations, names};
use sdk_plugin::Part;
use sdk_workload::validate::{each_invalid, pod_annotation_updates, pod_annotations};
use serde_json::Value;

use super::super::fields::{immutable, text};
use super::validate::annotations;

const IP_WRONG: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const STATES_STAY: &str = "may not be transitioned to non-terminated state";

/// `pods/status`. Owner references are not the node's to change, the quality of service never changes, and who does not
/// know of observed generations does not erase them. Source: `podStatusStrategy`.
pub struct StatusPart;
impl Part for StatusPart {
    fn read(&self, object: &Value) -> Result<Value, Status> {
        Ok(object.clone())
    }

    fn write(&self, object: &mut Value, new: &Value) -> Result<(), Status> {
        let before = object["status"].take();
        let mut status = new["status"].clone();
        if !status.is_object() {
            status = Value::Object(Default::default());
        }
        if text_of(&status["qosClass"]).is_empty() && !text_of(&before["qosClass"]).is_empty() {
            status["qosClass"] = before["qosClass"].clone();
        }
        keep_generation(&mut status, &before);
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            let known = before["conditions"].as_array().into_iter().flatten();
            if let Some(known) = known.into_iter().find(|known| known["type"] == condition["type"]) {
                keep_generation(condition, known);
            }
        }
        object["status"] = status;
        for field in ["labels", "annotations", "finalizers"] {
            match new["metadata"].get(field) {
                Some(value) => object["metadata"][field] = value.clone(),
                None => drop(object["metadata"].as_object_mut().and_then(|fields| fields.remove(field))),
            }
        }
        Ok(())
    }

    fn writes(&self) -> Vec<String> {
        ["status", "metadata.labels", "metadata.annotations", "metadata.finalizers"].map(Into::into).into()
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn keep_generation(new: &mut Value, before: &Value) {
    let number = |value: &Value| value["observedGeneration"].as_i64().unwrap_or(0);
    if new.is_object() && number(new) == 0 && number(before) != 0 {
        new["observedGeneration"] = before["observedGeneration"].clone();
    }
}

/// What is wrong with a new status.
pub fn validate(new: &Pod, old: &Pod) -> Violations {
    let mut found = Violations::default();
    let out = &mut found;
    if annotations(new) != annotations(old) {
        let spec = old.spec.clone().unwrap_or_default();
        out.extend(pod_annotation_updates(annotations(new), annotations(old), "metadata.annotations"));
        out.extend(pod_annotations(annotations(new), &spec, "metadata.annotations"));
    }
    let (status, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let spec = old.spec.clone().unwrap_or_default();
    for (i, condition) in status.conditions.iter().flatten().enumerate() {
        if !matches!(condition.type_.as_str(), "PodScheduled" | "Ready" | "Initialized") {
            let path = format!("metadata.conditions[{i}].Type");
            each_invalid(out, &path, &condition.type_, names::qualified_name(&condition.type_));
        }
    }
    let nominated = text(&status.nominated_node_name);
    if !nominated.is_empty() && status.nominated_node_name != before.nominated_node_name {
        each_invalid(out, "status.nominatedNodeName", nominated, names::dns1123_subdomain(nominated));
    }
    if before.qos_class.is_some() {
        immutable(out, "status.qosClass", &status.qos_class, &before.qos_class);
    }
    transitions(out, &status, &before, &spec);
    claims(out, &status, &spec);
    addresses(out, &status);
    let containers = [
        ("containerStatuses", &status.container_statuses, spec.containers.as_slice()),
        ("initContainerStatuses", &status.init_container_statuses, spec.init_containers.as_deref().unwrap_or_default()),
        ("ephemeralContainerStatuses", &status.ephemeral_container_statuses, &[]),
    ];
    for (field, list, specs) in &containers {
        let path = format!("status.{field}");
        users(out, list.as_deref().unwrap_or_default(), &spec, &path);
        devices(out, list.as_deref().unwrap_or_default(), specs, *field == "ephemeralContainerStatuses", &path);
    }
    found
}

/// What has ended for good stays so.
fn transitions(found: &mut Violations, new: &PodStatus, old: &PodStatus, spec: &PodSpec) {
    // One container's rule may start all of them anew. Source: KEP-5532.
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut rules = all.flat_map(|container| container.restart_policy_rules.iter().flatten());
    if rules.any(|rule| rule.action == "RestartAllContainers") {
        return;
    }
    let of_pod = text(&spec.restart_policy);
    let policy = |container: Option<&Container>| match container {
        Some(container) if container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty()) => "Always",
        Some(container) => match text(&container.restart_policy) {
            "Always" => "Always",
            "OnFailure" => "OnFailure",
            "Never" => "Never",
            _ => "",
        },
        None => "",
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let lists: [(&str, _, _, Option<&[Container]>); 3] = [
        ("containerStatuses", &new.container_statuses, &old.container_statuses, Some(&spec.containers)),
        ("initContainerStatuses", &new.init_container_statuses, &old.init_container_statuses, Some(init)),
        ("ephemeralContainerStatuses", &new.ephemeral_container_statuses, &old.ephemeral_container_statuses, None),
    ];
    for (field, new, old, specs) in lists {
        for (i, before) in old.iter().flatten().enumerate() {
            let Some(ended) = before.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
            let own = specs.map(|specs| policy(specs.iter().find(|container| container.name == before.name)));
            let policy = match own {
                None => "Never",
                Some("") => of_pod,
                Some(own) => own,
            };
            if policy == "Always" || (policy == "OnFailure" && ended.exit_code != 0) {
                continue;
            }
            let runs = |status: &&ContainerStatus| {
                status.name == before.name && status.state.as_ref().is_none_or(|state| state.terminated.is_none())
            };
            for _ in new.iter().flatten().filter(runs) {
                found.forbidden(format!("status.{field}[{i}].state"), STATES_STAY);
            }
        }
    }
}

fn claims(found: &mut Violations, status: &PodStatus, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (i, claim) in status.resource_claim_statuses.iter().flatten().enumerate() {
        let path = format!("status.resourceClaimStatuses[{i}].name");
        if !spec.resource_claims.iter().flatten().any(|known| known.name == claim.name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            found.invalid(&path, claim.name.as_str(), why);
        }
        if !seen.insert(&claim.name) {
            found.duplicate(&path, claim.name.as_str());
        }
        if let Some(name) = &claim.resource_claim_name {
            each_invalid(found, &path, name, names::dns1123_subdomain(name));
        }
    }
}

fn addresses(found: &mut Violations, status: &PodStatus) {
    let list = |ips: Vec<&str>| -> Vec<String> { ips.into_iter().map(Into::into).collect() };
    let pods = list(status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect());
    let hosts = list(status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect());
    if let Some(first) = hosts.first().filter(|first| first.as_str() != text(&status.host_ip)) {
        found.invalid("status.hostIPs[0].ip", first.as_str(), "must be equal to `hostIP`");
    }
    for (field, ips) in [("podIPs", pods), ("hostIPs", hosts)] {
        let path = format!("status.{field}");
        let shown = || ips.iter().map(|ip| serde_json::json!({ "ip": ip })).collect::<Vec<_>>();
        for (i, ip) in ips.iter().enumerate().filter(|(_, ip)| ip.parse::<IpAddr>().is_err()) {
            found.invalid(format!("{path}[{i}]"), ip.as_str(), IP_WRONG);
        }
        if ips.len() < 2 {
            continue;
        }
        let parsed: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        let both = parsed.iter().any(IpAddr::is_ipv4) && parsed.iter().any(IpAddr::is_ipv6);
        if !both || ips.len() > 2 {
            found.invalid(&path, shown(), "may specify no more than one IP for each IP family");
        }
        for (i, ip) in ips.iter().enumerate().filter(|(i, ip)| ips[..*i].contains(ip)) {
            found.duplicate(format!("{path}[{i}]"), serde_json::json!({ "ip": ip }));
        }
    }
}

fn users(found: &mut Violations, statuses: &[ContainerStatus], spec: &PodSpec, path: &str) {
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    for (i, status) in statuses.iter().enumerate() {
        let Some(linux) = status.user.as_ref().and_then(|user| user.linux.as_ref()) else { continue };
        let path = format!("{path}[{i}].linux");
        if windows {
            found.forbidden(path, "cannot be set for a windows pod");
            continue;
        }
        let groups = linux.supplemental_groups.iter().flatten().enumerate();
        let groups = groups.map(|(g, group)| (format!("supplementalGroups[{g}]"), *group));
        for (field, id) in [("uid".to_owned(), linux.uid), ("gid".to_owned(), linux.gid)].into_iter().chain(groups) {
            if !(0..=i64::from(i32::MAX)).contains(&id) {
                found.invalid(format!("{path}.{field}"), id, "must be between 0 and 2147483647, inclusive");
            }
        }
    }
}

/// The health of devices that a container asked for. Source: KEP-4680.
fn devices(found: &mut Violations, statuses: &[ContainerStatus], specs: &[Container], none: bool, path: &str) {
    for (i, status) in statuses.iter().enumerate() {
        let all = status.allocated_resources_status.as_deref().unwrap_or_default();
        if none && !all.is_empty() {
            let why = "must not be specified in container status";
            found.forbidden(format!("{path}[{i}].allocatedResourcesStatus"), why);
            continue;
        }
        let container = specs.iter().find(|container| container.name == status.name);
        for (j, allocated) in all.iter().enumerate() {
            let path = format!("{path}[{i}].allocatedResourcesStatus[{j}]");
            if let Some(why) = container.and_then(|container| unasked(container, &allocated.name)) {
                found.invalid(format!("{path}.name"), allocated.name.as_str(), why);
            }
            let mut seen = BTreeSet::new();
            for (k, resource) in allocated.resources.iter().flatten().enumerate() {
                let health = text(&resource.health);
                if !matches!(health, "Healthy" | "Unhealthy" | "Unknown") {
                    let known = ["Healthy", "Unhealthy", "Unknown"];
                    found.not_supported(format!("{path}.resources[{k}].health"), health, &known);
                }
                if !seen.insert(&resource.resource_id) {
                    found.duplicate(format!("{path}.resources[{k}].resourceID"), resource.resource_id.as_str());
                }
            }
        }
    }
}

/// Why a container cannot have been given this: it did not ask.
fn unasked(container: &Container, name: &str) -> Option<&'static str> {
    let resources = container.resources.clone().unwrap_or_default();
    if name.starts_with("claim:") {
        let asked = resources.claims.iter().flatten().any(|claim| match text(&claim.request) {
            "" => name == format!("claim:{}", claim.name),
            request => name == format!("claim:{}/{request}", claim.name),
        });
        let why = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
            'claim:<claimName>' if request is empty";
        return (!asked).then_some(why);
    }
    let asked = resources.requests.is_some_and(|requests| requests.contains_key(name));
    (!asked).then_some("must match one of the container's resource requests")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(policy: &str, status: Value) -> Pod {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "c", "resources": {"requests": {"x/y": "1"}}},
            {"name": "d", "restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}],
            "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn what_cannot_have_happened() {
        let ended = |name: &str, code: i32| json!([{"name": name, "state": {"terminated": {"exitCode": code}}}]);
        let runs = |name: &str| json!([{"name": name, "state": {"running": {}}}]);
        let of = |field: &str, list: Value| json!({ field: list });
        let stays = |field: &str| format!("status.{field}[0].state: Forbidden: {STATES_STAY}");
        for (case, policy, old, new, wrong) in [
            ("nothing", "Never", json!({}), json!({}), String::new()),
            (
                "restarted",
                "Always",
                of("containerStatuses", ended("c", 0)),
                of("containerStatuses", runs("c")),
                String::new(),
            ),
            (
                "restarted after failure",
                "OnFailure",
                of("containerStatuses", ended("c", 1)),
                of("containerStatuses", runs("c")),
                String::new(),
            ),
            (
                "restarted after success",
                "OnFailure",
                of("containerStatuses", ended("c", 0)),
                of("containerStatuses", runs("c")),
                stays("containerStatuses"),
            ),
            (
                "restarted by a rule",
                "Never",
                of("containerStatuses", ended("d", 1)),
                of("containerStatuses", runs("d")),
                String::new(),
            ),
            (
                "a sidecar restarted",
                "Never",
                of("initContainerStatuses", ended("s", 1)),
                of("initContainerStatuses", runs("s")),
                String::new(),
            ),
            (
                "debugged again",
                "Always",
                of("ephemeralContainerStatuses", ended("e", 0)),
                of("ephemeralContainerStatuses", runs("e")),
                stays("ephemeralContainerStatuses"),
            ),
            (
                "another class",
                "Always",
                json!({"qosClass": "Burstable"}),
                json!({"qosClass": "BestEffort"}),
                "status.qosClass: Invalid value: \"BestEffort\": field is immutable".into(),
            ),
            (
                "two addresses of one family",
                "Always",
                json!({}),
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
                "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]: may specify no more than one IP for \
                 each IP family"
                    .into(),
            ),
            (
                "another host",
                "Always",
                json!({}),
                json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}),
                "status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`".into(),
            ),
            (
                "a device nobody asked for",
                "Always",
                json!({}),
                json!({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": [{"name": "x/z"}]}]}),
                "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"x/z\": must match one of the \
                 container's resource requests"
                    .into(),
            ),
        ] {
            let found = validate(&pod(policy, new), &pod(policy, old));
            assert_eq!(if found.is_empty() { String::new() } else { found.summary() }, wrong, "{case}");
        }
    }

    #[test]
    fn a_status_keeps_what_older_nodes_do_not_know() {
        let mut stored = json!({"metadata": {"name": "p", "ownerReferences": [{"name": "o"}], "labels": {"a": "b"}},
            "status": {"qosClass": "Burstable", "observedGeneration": 2, "conditions": [{"type": "Ready", "observedGeneration": 2}]}});
        let new = json!({"metadata": {"name": "p", "labels": {"a": "c"}}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready"}, {"type": "Other"}]}});
        StatusPart.write(&mut stored, &new).unwrap();
        let expected = json!({"metadata": {"name": "p", "ownerReferences": [{"name": "o"}], "labels": {"a": "c"}},
            "status": {"phase": "Running", "qosClass": "Burstable", "observedGeneration": 2,
                "conditions": [{"type": "Ready", "observedGeneration": 2}, {"type": "Other"}]}});
        assert_eq!(stored, expected);
    }
}
