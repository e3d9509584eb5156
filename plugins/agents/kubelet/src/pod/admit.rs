//! Whether a pod that was bound to this node fits on it: the last look before anything is made for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::{Pod, PodSpec};
use sdk_plugin::EventType;

use crate::pod::slot::{Slot, Stage};
use crate::running::Node;
use crate::settings::Settings;

/// Why a pod is refused: the status' reason and message.
type Refusal = (String, String);

impl Node {
    /// Takes the pod in, or says why not. A pod that was taken in before, by this kubelet or an earlier one, stays.
    pub(crate) fn admit(&self, slot: &Arc<Slot>, pod: &Pod) -> Option<Refusal> {
        let Some(spec) = &pod.spec else { return None };
        // One at a time, so that two pods do not both take the last place.
        let _turn = self.admission.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let started = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        {
            let mut state = slot.state();
            if state.admitted || started || state.observed.sandbox().is_some() {
                state.admitted = true;
                return None;
            }
        }
        let others: Vec<Arc<Pod>> =
            self.slots().iter().filter(|other| other.uid != slot.uid).filter_map(taken).collect();
        let others: Vec<&PodSpec> = others.iter().filter_map(|pod| pod.spec.as_ref()).collect();
        match refusal(spec, &others, &self.settings) {
            None => {
                slot.state().admitted = true;
                None
            }
            Some((reason, message)) => {
                self.event(pod, None, EventType::Warning, &reason, &message);
                Some((reason, format!("Pod was rejected: {message}")))
            }
        }
    }
}

/// A pod that holds its share of the node.
fn taken(slot: &Arc<Slot>) -> Option<Arc<Pod>> {
    let state = slot.state();
    state.pod.clone().filter(|_| state.stage <= Stage::Ending && (state.admitted || state.observed.sandbox().is_some()))
}

fn host_ports(spec: &PodSpec) -> impl Iterator<Item = (&str, i32, &str)> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
        port.host_port.filter(|port| *port > 0).map(|port| (protocol, port, ip))
    })
}

/// Kernel settings that are a pod's own and cannot harm others.
///
/// Source: Kubernetes documentation, "Using sysctls in a Kubernetes Cluster: Safe and Unsafe Sysctls".
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

fn forbidden_sysctl(spec: &PodSpec) -> Option<Refusal> {
    let sysctls = spec.security_context.as_ref()?.sysctls.iter().flatten();
    let forbidden = |name: &str| {
        let message = if spec.host_network == Some(true) && name.starts_with("net.") {
            format!("forbidden sysctl: {name:?} not allowed with host net enabled")
        } else if !SAFE_SYSCTLS.contains(&name) {
            format!("forbidden sysctl: {name:?} not allowlisted")
        } else {
            return None;
        };
        Some(("SysctlForbidden".to_owned(), message))
    };
    sysctls.map(|sysctl| sysctl.name.replace('/', ".")).find_map(|name| forbidden(&name))
}

/// Source: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/sysctl/allowlist.go`.
fn refusal(spec: &PodSpec, others: &[&PodSpec], settings: &Settings) -> Option<Refusal> {
    if let Some(refusal) = forbidden_sysctl(spec) {
        return Some(refusal);
    }
    let (all, kept) = (settings.capacity, settings.reserved);
    let out_of = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        Some((format!("OutOf{name}"), message))
    };
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if count >= all.pods - kept.pods {
        return out_of("pods", 1, count, all.pods - kept.pods);
    }
    let wanted = sdk_workload::pod_requests(spec);
    let mut used: BTreeMap<String, Quantity> = BTreeMap::new();
    for (name, amount) in others.iter().flat_map(|other| sdk_workload::pod_requests(other)) {
        *used.entry(name).or_insert(Quantity::ZERO) += amount;
    }
    for (name, capacity, is_cpu) in [
        ("cpu", all.cpu_milli - kept.cpu_milli, true),
        ("memory", all.memory_bytes - kept.memory_bytes, false),
        ("ephemeral-storage", all.ephemeral_bytes - kept.ephemeral_bytes, false),
    ] {
        let read = |amounts: &BTreeMap<String, Quantity>| {
            amounts.get(name).map_or(0, |amount| if is_cpu { amount.milli() } else { amount.units() })
        };
        let (requested, used) = (read(&wanted), read(&used));
        if requested > 0 && used.saturating_add(requested) > capacity {
            return out_of(name, requested, used, capacity);
        }
    }
    let any = |ip: &str| ip == "0.0.0.0" || ip == "::";
    let collides = host_ports(spec).any(|(protocol, port, ip)| {
        others.iter().flat_map(|other| host_ports(other)).any(|(other_protocol, other_port, other_ip)| {
            protocol == other_protocol && port == other_port && (ip == other_ip || any(ip) || any(other_ip))
        })
    });
    collides.then(|| {
        (
            "NodePorts".into(),
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports".into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::{Capacity, Ground};
    use crate::test_support::NoRuntime;

    fn spec(requests: Value, port: Option<i32>) -> PodSpec {
        let ports: Vec<Value> = port.iter().map(|port| json!({"containerPort": 80, "hostPort": port})).collect();
        let container = json!({"name": "c", "resources": {"requests": requests}, "ports": ports});
        serde_json::from_value(json!({ "containers": [container] })).unwrap()
    }

    #[test]
    fn pods_that_do_not_fit_are_refused() {
        let mut settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        settings.capacity = Capacity { cpu_milli: 2000, memory_bytes: 1 << 30, ephemeral_bytes: 1 << 30, pods: 3 };
        settings.reserved = Capacity { cpu_milli: 500, ..Capacity::default() };
        let one = spec(json!({"cpu": "1"}), Some(8080));
        for (case, spec, others, reason) in [
            ("fits", spec(json!({"cpu": "500m", "memory": "1Gi"}), None), vec![&one], None),
            ("too much cpu", spec(json!({"cpu": "501m"}), None), vec![&one], Some("OutOfcpu")),
            ("too much memory", spec(json!({"memory": "2Gi"}), None), vec![], Some("OutOfmemory")),
            ("asks for nothing", spec(json!({}), None), vec![&one, &one], None),
            ("one too many", spec(json!({}), None), vec![&one, &one, &one], Some("OutOfpods")),
            ("port taken", spec(json!({}), Some(8080)), vec![&one], Some("NodePorts")),
            ("port free", spec(json!({}), Some(8081)), vec![&one], None),
        ] {
            let got = refusal(&spec, &others, &settings);
            assert_eq!(got.as_ref().map(|(reason, _)| reason.as_str()), reason, "{case}");
        }
        for (name, host_network, refused) in [
            ("net.ipv4.tcp_syncookies", false, false),
            ("net/ipv4/tcp_syncookies", false, false),
            ("net.ipv4.tcp_syncookies", true, true),
            ("kernel.msgmax", false, true),
        ] {
            let mut spec = spec(json!({}), None);
            spec.host_network = Some(host_network);
            spec.security_context = serde_json::from_value(json!({"sysctls": [{"name": name, "value": "1"}]})).unwrap();
            let got = refusal(&spec, &[], &settings).map(|(reason, _)| reason);
            assert_eq!(got.as_deref() == Some("SysctlForbidden"), refused, "{name}");
        }
        let (_, message) = refusal(&spec(json!({"cpu": "3"}), None), &[], &settings).unwrap();
        assert_eq!(message, "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 1500");
    }
}
