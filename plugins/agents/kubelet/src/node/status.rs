//! The Node object and its status, as pure functions.

use std::net::IpAddr;

use sdk_api::time::rfc3339;
use sdk_api::{Object, Quantity, Timestamp};
use sdk_plugin::node::Image;
use serde_json::{Map, Value, json};

use crate::node::health::Pressure;
use crate::node::machine::Machine;
use crate::running::Health;
use crate::settings::{Capacity, Settings};

/// All that the status is made of.
pub(crate) struct Facts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) machine: &'a Machine,
    /// `containerd://1.6.20`
    pub(crate) runtime: &'a str,
    pub(crate) health: &'a Health,
    pub(crate) pressure: Pressure,
    pub(crate) images: Vec<Value>,
}

/// The Node to register.
pub(crate) fn node(settings: &Settings, machine: &Machine) -> Value {
    let name = &settings.node_name;
    let (os, arch) = (&machine.operating_system, &machine.architecture);
    let mut labels: Map<String, Value> =
        settings.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    for (key, value) in [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", os),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", os),
        ("beta.kubernetes.io/arch", arch),
    ] {
        labels.insert(key.into(), value.as_str().into());
    }
    let mut spec = Map::new();
    if !settings.taints.is_empty() {
        spec.insert("taints".into(), json!(settings.taints));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
    })
}

fn resources(capacity: Capacity) -> Value {
    json!({
        "cpu": Quantity::from_milli(capacity.cpu_milli).to_string(),
        "memory": format!("{}Ki", capacity.memory_bytes / 1024),
        "ephemeral-storage": format!("{}Ki", capacity.ephemeral_bytes / 1024),
        "pods": capacity.pods.to_string(),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    })
}

fn allocatable(settings: &Settings) -> Capacity {
    let (all, kept) = (settings.capacity, settings.reserved);
    Capacity {
        cpu_milli: (all.cpu_milli - kept.cpu_milli).max(0),
        memory_bytes: (all.memory_bytes - kept.memory_bytes).max(0),
        ephemeral_bytes: (all.ephemeral_bytes - kept.ephemeral_bytes).max(0),
        pods: (all.pods - kept.pods).max(0),
    }
}

/// Images for the status: the largest first, each with at most five names.
///
/// Source: `pkg/kubelet/nodestatus/setters.go`.
pub(crate) fn images(mut images: Vec<Image>, images_max: usize) -> Vec<Value> {
    images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
    let describe = |image: Image| {
        let names: Vec<String> = image.repo_digests.into_iter().chain(image.repo_tags).take(5).collect();
        json!({"names": names, "sizeBytes": image.size_bytes})
    };
    images.into_iter().take(images_max).map(describe).collect()
}

/// The status, without the times of its conditions.
pub(crate) fn of_node(facts: &Facts<'_>) -> Value {
    let (settings, machine) = (facts.settings, facts.machine);
    let address = |ip: &IpAddr| json!({"type": "InternalIP", "address": ip.to_string()});
    let mut addresses: Vec<Value> = settings.node_ips.iter().map(address).collect();
    addresses.push(json!({"type": "Hostname", "address": settings.node_name}));
    json!({
        "capacity": resources(settings.capacity),
        "allocatable": resources(allocatable(settings)),
        "conditions": conditions(facts),
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel_version,
            "osImage": machine.os_image,
            "containerRuntimeVersion": facts.runtime,
            "kubeletVersion": settings.version,
            "kubeProxyVersion": "",
            "operatingSystem": machine.operating_system,
            "architecture": machine.architecture,
        },
        "images": facts.images,
    })
}

fn conditions(facts: &Facts<'_>) -> Value {
    let pressure = |kind: &str, under: bool, bad: (&str, &str), good: (&str, &str)| {
        let (reason, message) = if under { bad } else { good };
        json!({"type": kind, "status": if under { "True" } else { "False" }, "reason": reason, "message": message})
    };
    let mut problems = vec![];
    match &facts.health.runtime {
        Some(Ok(())) => {}
        Some(Err(why)) => problems.push(why.clone()),
        None => problems.push("container runtime status check may not have completed yet".into()),
    }
    if let (Some(Ok(())), Some(Err(why))) = (&facts.health.runtime, &facts.health.network) {
        problems.push(format!(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:{why}"
        ));
    }
    let ready = if problems.is_empty() {
        json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"})
    } else {
        let message = if problems.len() == 1 { problems.remove(0) } else { format!("[{}]", problems.join(", ")) };
        json!({"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message})
    };
    json!([
        pressure(
            "MemoryPressure",
            facts.pressure.memory,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pressure(
            "DiskPressure",
            facts.pressure.disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressure(
            "PIDPressure",
            facts.pressure.pids,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        ready,
    ])
}

/// The patch that brings a Node to the wanted status: conditions get their times.
pub(crate) fn patch(known: &Object, wanted: &Value, now: Timestamp) -> Value {
    let mut status = wanted.clone();
    let tree = known.tree();
    let known = tree["status"]["conditions"].as_array();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let before = known.into_iter().flatten().find(|before| before["type"] == condition["type"]);
        let same = before.filter(|before| before["status"] == condition["status"]);
        let since = same.and_then(|before| before["lastTransitionTime"].as_str()).map(str::to_owned);
        condition["lastHeartbeatTime"] = rfc3339(now).into();
        condition["lastTransitionTime"] = since.unwrap_or_else(|| rfc3339(now)).into();
    }
    // Addresses merge by type, which would lose a second one of the same type.
    if let Some(addresses) = status["addresses"].as_array_mut() {
        addresses.push(json!({"$patch": "replace"}));
    }
    json!({ "status": status })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sdk_api::GroupResource;

    use super::*;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    fn settings() -> Settings {
        let mut settings = Settings::new("n1", Ground::Simulated, Arc::new(NoRuntime));
        settings.capacity = Capacity { cpu_milli: 4000, memory_bytes: 8 << 30, ephemeral_bytes: 1 << 40, pods: 110 };
        settings.reserved = Capacity { cpu_milli: 500, memory_bytes: 1 << 30, ..Capacity::default() };
        settings
    }

    #[test]
    fn the_status_says_what_the_node_has() {
        let (settings, machine) = (settings(), Machine::simulated());
        for (case, runtime, network, ready, reason, message) in [
            ("well", Some(Ok(())), Some(Ok(())), "True", "KubeletReady", "kubelet is posting ready status"),
            (
                "no network",
                Some(Ok(())),
                Some(Err("cni plugin not initialized".to_owned())),
                "False",
                "KubeletNotReady",
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized",
            ),
            (
                "runtime down",
                Some(Err("container runtime is down".to_owned())),
                Some(Err("x".into())),
                "False",
                "KubeletNotReady",
                "container runtime is down",
            ),
            (
                "not looked at",
                None,
                None,
                "False",
                "KubeletNotReady",
                "container runtime status check may not have completed yet",
            ),
        ] {
            let health = Health { runtime, network };
            let facts = Facts {
                settings: &settings,
                machine: &machine,
                runtime: "containerd://1.6.20",
                health: &health,
                pressure: Pressure::default(),
                images: vec![],
            };
            let status = of_node(&facts);
            let condition = &status["conditions"][3];
            assert_eq!(
                (&condition["status"], &condition["reason"], &condition["message"]),
                (&json!(ready), &json!(reason), &json!(message)),
                "{case}"
            );
            assert_eq!((&status["capacity"]["cpu"], &status["allocatable"]["cpu"]), (&json!("4"), &json!("3500m")));
            assert_eq!(status["allocatable"]["memory"], "7340032Ki");
            assert_eq!(status["conditions"][0]["reason"], "KubeletHasSufficientMemory");
            assert_eq!(status["nodeInfo"]["containerRuntimeVersion"], "containerd://1.6.20");
        }
    }

    #[test]
    fn transition_times_stay_while_the_status_does() {
        let known = Object::from_tree(
            &GroupResource::new("", "nodes"),
            json!({"metadata": {"name": "n1"}, "status": {
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"},
                {"type": "DiskPressure", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}}),
        );
        let wanted =
            json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]});
        let patch = patch(&known, &wanted, "2026-01-01T00:00:00Z".parse().unwrap());
        let conditions = &patch["status"]["conditions"];
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert_eq!(conditions[1]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_eq!(conditions[1]["lastHeartbeatTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn images_are_bounded() {
        let image = |id: &str, size: u64| Image {
            id: id.into(),
            repo_tags: (0..9).map(|n| format!("{id}:{n}")).collect(),
            size_bytes: size,
            ..Image::default()
        };
        let listed = images(vec![image("a", 1), image("b", 3), image("c", 2)], 2);
        assert_eq!((listed.len(), &listed[0]["names"][0]), (2, &json!("b:0")));
        assert_eq!(listed[0]["names"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn nodes_are_labelled() {
        let node = node(&settings(), &Machine::simulated());
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
        assert_eq!(node["metadata"]["labels"]["beta.kubernetes.io/os"], "linux");
        assert_eq!(node["spec"], json!({}));
    }
}
