//! Requests and limits as the kernel takes them, and as `resourceFieldRef` reads them.

use std::collections::BTreeMap;

use sdk_api::Quantity;
use sdk_api::k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceFieldSelector};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_plugin::node::LinuxResources;

use crate::pod::members;
use crate::settings::Settings;

const PERIOD_MICROS: i64 = 100_000;
const QUOTA_MIN_MICROS: i64 = 1000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const SYSTEM_CRITICAL_PRIORITY: i32 = 2_000_000_000;

fn amount(amounts: Option<&BTreeMap<String, ApiQuantity>>, name: &str) -> Option<Quantity> {
    amounts?.get(name).map(Quantity::of)
}

fn request(container: &Container, name: &str) -> Option<Quantity> {
    let resources = container.resources.as_ref()?;
    amount(resources.requests.as_ref(), name).or_else(|| amount(resources.limits.as_ref(), name))
}

fn limit(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.limits.as_ref(), name)
}

pub(crate) fn shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

pub(crate) fn quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(PERIOD_MICROS) / 1000).max(QUOTA_MIN_MICROS) }
}

pub(crate) const fn period() -> i64 {
    PERIOD_MICROS
}

/// The limits of one container.
pub(crate) fn linux(pod: &Pod, container: &Container, memory_capacity: i64) -> LinuxResources {
    let cpu_limit = limit(container, "cpu").map_or(0, Quantity::milli);
    LinuxResources {
        cpu_period: if cpu_limit == 0 { 0 } else { PERIOD_MICROS },
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(request(container, "cpu").map_or(0, Quantity::milli)),
        memory_limit_bytes: limit(container, "memory").map_or(0, Quantity::units),
        oom_score_adj: oom_score(pod, container, memory_capacity),
        unified: BTreeMap::new(),
    }
}

/// Who is killed first when the node runs out of memory.
///
/// Source: `pkg/kubelet/qos/policy.go`, `GetContainerOOMScoreAdjust`.
fn oom_score(pod: &Pod, container: &Container, memory_capacity: i64) -> i64 {
    let Some(spec) = &pod.spec else { return 1000 };
    if spec.priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL_PRIORITY) {
        return -997;
    }
    match qos(pod, spec) {
        "Guaranteed" => return -997,
        "BestEffort" => return 1000,
        _ => {}
    }
    let memory = i128::from(request(container, "memory").map_or(0, Quantity::units));
    let share = 1000 * memory / i128::from(memory_capacity.max(1));
    // Between those that must never go first and those that always do.
    i64::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
}

/// The pod's class, from its status where the API has set it.
pub(crate) fn qos<'a>(pod: &'a Pod, spec: &'a PodSpec) -> &'a str {
    let known = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    known.filter(|class| !class.is_empty()).unwrap_or_else(|| sdk_workload::qos_class(spec))
}

/// The value of `resourceFieldRef`, divided and rounded up. What has no limit has the node's allocatable.
pub(crate) fn field(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    settings: &Settings,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty() && *name != container.name);
    let other = match named {
        Some(name) => {
            Some(members::find(pod, name).ok_or_else(|| format!("container {name} not found"))?.spec.into_owned())
        }
        None => None,
    };
    let container = other.as_ref().unwrap_or(container);
    let (side, name) = selector.resource.split_once('.').unwrap_or(("", &selector.resource));
    let allocatable = settings.capacity;
    let free = |name: &str| match name {
        "cpu" => Some(Quantity::from_milli(allocatable.cpu_milli - settings.reserved.cpu_milli)),
        "memory" => Some(Quantity::from_bytes(allocatable.memory_bytes - settings.reserved.memory_bytes)),
        "ephemeral-storage" => {
            Some(Quantity::from_bytes(allocatable.ephemeral_bytes - settings.reserved.ephemeral_bytes))
        }
        _ => None,
    };
    let found = match side {
        "limits" => limit(container, name).filter(|limit| !limit.is_zero()).or_else(|| free(name)),
        "requests" => container.resources.as_ref().and_then(|r| amount(r.requests.as_ref(), name)),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let found = found.unwrap_or(Quantity::ZERO);
    let divisor = selector.divisor.as_ref().map_or(Quantity::ZERO, Quantity::of);
    let divisor = if divisor.is_zero() { Quantity::from_units(1) } else { divisor };
    let (value, divisor) =
        if name == "cpu" { (found.milli(), divisor.milli()) } else { (found.units(), divisor.units()) };
    let divisor = divisor.max(1);
    Ok((value / divisor + i64::from(value % divisor > 0)).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::pod::test_support::pod;
    use crate::settings::Ground;
    use crate::test_support::NoRuntime;

    #[test]
    fn limits_as_the_kernel_takes_them() {
        const MEMORY: i64 = 8 << 30;
        for (case, resources, want) in [
            ("nothing", json!({}), (0, 0, 2, 0, 1000)),
            ("request", json!({"requests": {"cpu": "100m", "memory": "800Mi"}}), (0, 0, 102, 0, 903)),
            ("limit", json!({"limits": {"cpu": "1500m"}}), (100_000, 150_000, 1536, 0, 999)),
            ("tiny limit", json!({"limits": {"cpu": "1m", "memory": "64Mi"}}), (100_000, 1000, 2, 64 << 20, -997)),
            ("nearly all memory", json!({"requests": {"memory": "8Gi"}}), (0, 0, 2, 0, 3)),
        ] {
            let pod = pod(json!({"containers": [{"name": "c", "resources": resources}]}));
            let got = linux(&pod, &pod.spec.as_ref().unwrap().containers[0], MEMORY);
            let got = (got.cpu_period, got.cpu_quota, got.cpu_shares, got.memory_limit_bytes, got.oom_score_adj);
            assert_eq!(got, want, "{case}");
        }
    }

    #[test]
    fn fields_divide_and_round_up() {
        let pod = pod(json!({"containers": [
            {"name": "c", "resources": {"limits": {"cpu": "1200m", "memory": "100Mi"}, "requests": {"cpu": "250m"}}},
            {"name": "d"}]}));
        let settings = Settings::new("n", Ground::Simulated, Arc::new(NoRuntime));
        for (selector, want) in [
            (json!({"resource": "limits.cpu"}), "2"),
            (json!({"resource": "limits.cpu", "divisor": "1m"}), "1200"),
            (json!({"resource": "requests.cpu", "divisor": "0"}), "1"),
            (json!({"resource": "limits.memory"}), "104857600"),
            (json!({"resource": "limits.memory", "divisor": "1Mi"}), "100"),
            (json!({"resource": "limits.cpu", "containerName": "d"}), "4"),
            (json!({"resource": "requests.memory", "containerName": "d"}), "0"),
        ] {
            let selector: ResourceFieldSelector = serde_json::from_value(selector).unwrap();
            let got = field(&pod, &pod.spec.as_ref().unwrap().containers[0], &selector, &settings);
            assert_eq!(got.as_deref(), Ok(want), "{selector:?}");
        }
        let wrong = ResourceFieldSelector { resource: "x.cpu".into(), ..Default::default() };
        assert!(field(&pod, &pod.spec.as_ref().unwrap().containers[0], &wrong, &settings).is_err());
    }
}
