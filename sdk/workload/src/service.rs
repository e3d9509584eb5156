//! What a Service means to a pod: whether it chooses it, on which port it reaches it, when that last changed.

use std::collections::BTreeMap;

use sdk_api::Timestamp;
use sdk_api::k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use sdk_api::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{condition, is_sidecar};

/// Whether the Service's selector takes a pod with these labels. Without a selector it takes none.
pub fn chooses(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

/// Where a pod answers for a Service's port: a number, or the number of the pod's port of that name and protocol.
/// Sidecars have ports too. `None` where the pod has no such port.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        Some(IntOrString::Int(0)) | None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let containers = spec.containers.iter().chain(sidecars);
    let mut all = containers.flat_map(|container| container.ports.iter().flatten());
    let found =
        all.find(|port| port.name.as_ref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol);
    found.map(|port| port.container_port)
}

/// When the newest change happened that the endpoints of a Service show: a pod becoming ready or not, or the Service's
/// creation. For the annotation `endpoints.kubernetes.io/last-change-trigger-time`, by which one measures how long it
/// takes until the network follows.
pub fn last_change<'a>(service: &Service, pods: impl IntoIterator<Item = &'a Pod>) -> Option<Timestamp> {
    let changes = pods.into_iter().filter_map(|pod| {
        let ready = condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
        ready.max(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
    });
    changes.chain(service.metadata.creation_timestamp.as_ref().map(|time| time.0)).max()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn services_choose_by_all_their_labels() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        for (selector, takes) in [
            (json!({"a": "1"}), true),
            (json!({"a": "1", "b": "2"}), true),
            (json!({"a": "1", "c": "3"}), false),
            (json!({"a": "2"}), false),
            (json!({}), false),
            (Value::Null, false),
        ] {
            let service: Service = serde_json::from_value(json!({"spec": {"selector": selector}})).unwrap();
            assert_eq!(chooses(&service, &labels), takes, "{selector}");
        }
    }

    #[test]
    fn ports_are_found_by_number_name_and_protocol() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "ports": [
                {"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns", "containerPort": 54}]}],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 1}]},
                {"name": "init", "ports": [{"name": "init", "containerPort": 2}]}],
        }}))
        .unwrap();
        for (port, wanted) in [
            (json!({"port": 80}), Some(80)),
            (json!({"port": 80, "targetPort": 8080}), Some(8080)),
            (json!({"port": 80, "targetPort": "dns", "protocol": "UDP"}), Some(53)),
            (json!({"port": 80, "targetPort": "dns", "protocol": "TCP"}), Some(54)),
            (json!({"port": 80, "targetPort": "side"}), Some(1)),
            (json!({"port": 80, "targetPort": "init"}), None),
            (json!({"port": 80, "targetPort": "none"}), None),
        ] {
            let port: ServicePort = serde_json::from_value(port).unwrap();
            assert_eq!(target_port(&port, &pod), wanted, "{port:?}");
        }
    }
}
