//! The quality-of-service class of a pod.

use std::collections::BTreeMap;

use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};

type Amounts = BTreeMap<String, Quantity>;

fn counted(
    amounts: Option<&BTreeMap<String, sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
) -> Amounts {
    let all = amounts.into_iter().flatten().map(|(name, amount)| (name.clone(), Quantity::of(amount)));
    all.filter(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && *amount > Quantity::ZERO).collect()
}

/// `Guaranteed`: every container limits CPU and memory and requests as much; `BestEffort`: none says anything;
/// `Burstable`: the rest. Pod-level resources, where given, count instead of the containers'.
///
/// Source: Kubernetes documentation, "Pod Quality of Service Classes".
pub fn qos_class(spec: &PodSpec) -> &'static str {
    let of_pod = spec.resources.as_ref().filter(|r| r.requests.is_some() || r.limits.is_some());
    let of_containers = spec.init_containers.iter().flatten().chain(&spec.containers).map(|c| c.resources.as_ref());
    let each: Vec<Option<&ResourceRequirements>> =
        if of_pod.is_some() { vec![of_pod] } else { of_containers.collect() };
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut guaranteed = !each.is_empty();
    for resources in each {
        let asked = counted(resources.and_then(|r| r.requests.as_ref()));
        let limited = counted(resources.and_then(|r| r.limits.as_ref()));
        guaranteed &= limited.len() == 2;
        for (name, amount) in asked {
            *requests.entry(name).or_insert(Quantity::ZERO) += amount;
        }
        for (name, amount) in limited {
            *limits.entry(name).or_insert(Quantity::ZERO) += amount;
        }
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests.iter().all(|(name, amount)| limits.get(name) == Some(amount)) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let container = |resources: Value| json!({"name": "c", "resources": resources});
        for (case, containers, class) in [
            ("nothing", vec![container(json!({}))], "BestEffort"),
            ("only storage", vec![container(json!({"requests": {"ephemeral-storage": "1Gi"}}))], "BestEffort"),
            ("limits equal requests", vec![container(json!({"limits": both, "requests": both}))], "Guaranteed"),
            ("cpu alone", vec![container(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}))], "Burstable"),
            ("less requested", vec![container(json!({"limits": both, "requests": {"cpu": "500m"}}))], "Burstable"),
            (
                "one of two says nothing",
                vec![container(json!({"limits": both, "requests": both})), container(json!({}))],
                "Burstable",
            ),
        ] {
            let spec: PodSpec = serde_json::from_value(json!({ "containers": containers })).unwrap();
            assert_eq!(qos_class(&spec), class, "{case}");
        }
    }

    #[test]
    fn resources_of_the_pod_count_instead() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let spec = json!({"containers": [{"name": "c"}], "resources": {"limits": both, "requests": both}});
        assert_eq!(qos_class(&serde_json::from_value(spec).unwrap()), "Guaranteed");
    }
}
