//! What a pod asks of its node, in sum.

use std::collections::BTreeMap;

use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};

type Amounts = BTreeMap<String, Quantity>;

#[derive(Clone, Copy)]
enum Side {
    Requests,
    Limits,
}

fn amounts(resources: Option<&ResourceRequirements>, side: Side) -> Amounts {
    let of_side = resources.and_then(|r| match side {
        Side::Requests => r.requests.as_ref(),
        Side::Limits => r.limits.as_ref(),
    });
    of_side.into_iter().flatten().map(|(name, amount)| (name.clone(), Quantity::of(amount))).collect()
}

fn add(sum: &mut Amounts, more: Amounts) {
    for (name, amount) in more {
        *sum.entry(name).or_insert(Quantity::ZERO) += amount;
    }
}

fn at_least(sum: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let known = sum.entry(name).or_insert(amount);
        if *known < amount {
            *known = amount;
        }
    }
}

/// An init container that keeps running beside the others. Source: KEP-753, sidecar containers.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What one container requests.
pub fn container_requests(container: &Container) -> BTreeMap<String, Quantity> {
    amounts(container.resources.as_ref(), Side::Requests)
}

/// What the pod requests: the larger of what its containers and sidecars need together and what any init container
/// needs beside the sidecars started before it; pod-level requests in their stead; and the overhead of its sandbox.
///
/// Source: KEP-753, "Resources calculation for scheduling and pod admission"; KEP-2837, pod-level resources.
pub fn pod_requests(spec: &PodSpec) -> BTreeMap<String, Quantity> {
    total(spec, Side::Requests)
}

/// The same sum over limits.
pub fn pod_limits(spec: &PodSpec) -> BTreeMap<String, Quantity> {
    total(spec, Side::Limits)
}

fn total(spec: &PodSpec, side: Side) -> Amounts {
    let mut sum = Amounts::new();
    for container in &spec.containers {
        add(&mut sum, amounts(container.resources.as_ref(), side));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let own = amounts(container.resources.as_ref(), side);
        if is_sidecar(container) {
            add(&mut sidecars, own);
            at_least(&mut peak, sidecars.clone());
        } else {
            let mut together = own;
            add(&mut together, sidecars.clone());
            at_least(&mut peak, together);
        }
    }
    add(&mut sum, sidecars);
    at_least(&mut sum, peak);
    for (name, amount) in amounts(spec.resources.as_ref(), side) {
        sum.insert(name, amount);
    }
    for (name, amount) in spec.overhead.iter().flatten() {
        match (side, sum.get_mut(name)) {
            (_, Some(known)) => *known += Quantity::of(amount),
            (Side::Requests, None) => drop(sum.insert(name.clone(), Quantity::of(amount))),
            // What has no limit has none with overhead either.
            (Side::Limits, None) => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn sums_know_init_containers_sidecars_and_overhead() {
        let cpu = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        let sidecar = |name: &str, amount: &str| {
            let mut container = cpu(name, amount);
            container["restartPolicy"] = json!("Always");
            container
        };
        for (case, spec, expected) in [
            ("containers add up", json!({"containers": [cpu("a", "100m"), cpu("b", "200m")]}), "300m"),
            (
                "a small init container hides",
                json!({"initContainers": [cpu("i", "50m")], "containers": [cpu("a", "100m")]}),
                "100m",
            ),
            (
                "a large one counts",
                json!({"initContainers": [cpu("i", "500m")], "containers": [cpu("a", "100m")]}),
                "500m",
            ),
            (
                "a sidecar adds to containers",
                json!({"initContainers": [sidecar("s", "50m")], "containers": [cpu("a", "100m")]}),
                "150m",
            ),
            (
                "a sidecar adds to later init containers",
                json!({"initContainers": [sidecar("s", "50m"), cpu("i", "500m")], "containers": [cpu("a", "100m")]}),
                "550m",
            ),
            (
                "not to earlier ones",
                json!({"initContainers": [cpu("i", "500m"), sidecar("s", "50m")], "containers": [cpu("a", "100m")]}),
                "500m",
            ),
            (
                "the overhead comes on top",
                json!({"containers": [cpu("a", "100m")], "overhead": {"cpu": "10m"}}),
                "110m",
            ),
            (
                "the pod's own requests count instead",
                json!({"containers": [cpu("a", "100m")], "resources": {"requests": {"cpu": "1"}}}),
                "1",
            ),
        ] {
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            assert_eq!(pod_requests(&spec)["cpu"].to_string(), expected, "{case}");
        }
    }

    #[test]
    fn overhead_adds_to_limits_that_exist() {
        let spec: Value = json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}],
            "overhead": {"cpu": "100m", "memory": "1Mi"}});
        let limits = pod_limits(&serde_json::from_value(spec).unwrap());
        assert_eq!(limits.len(), 1);
        assert_eq!(limits["cpu"].to_string(), "1100m");
    }
}
