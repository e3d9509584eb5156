//! Requests, limits, and the names of resources.

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use sdk_api::quantity::WRONG_FORMAT;
use sdk_api::{Quantity, Violations, names};

use super::{Options, each_invalid};
use crate::requests::{pod_limits, pod_requests};

type Amounts = BTreeMap<String, ApiQuantity>;

/// A resource with a domain of its own, such as `example.com/gpu`. Source: Kubernetes documentation, "Extended resources".
pub fn is_extended(name: &str) -> bool {
    name.contains('/')
        && !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_hugepages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a container may use more than it requested.
fn overcommits(name: &str) -> bool {
    is_native(name) && !is_hugepages(name)
}

/// Checks an amount: a number, not negative, whole where the resource is counted in pieces.
pub fn amount(found: &mut Violations, name: &str, amount: &ApiQuantity, path: &str) {
    let Ok(quantity) = amount.0.parse::<Quantity>() else {
        return found.invalid(path, amount.0.as_str(), WRONG_FORMAT);
    };
    if quantity.is_negative() {
        found.invalid(path, amount.0.as_str(), "must be greater than or equal to 0");
    }
    if (is_extended(name) || is_counted(name)) && !quantity.is_whole() {
        found.invalid(path, amount.0.as_str(), "must be an integer");
    }
}

fn is_counted(name: &str) -> bool {
    name.starts_with("count/")
        || matches!(
            name,
            "pods"
                | "services"
                | "replicationcontrollers"
                | "resourcequotas"
                | "secrets"
                | "configmaps"
                | "persistentvolumeclaims"
                | "services.nodeports"
                | "services.loadbalancers"
        )
}

/// Resources that need no domain: those of containers, and what quotas count.
fn is_standard(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(plain, "cpu" | "memory" | "ephemeral-storage" | "storage") || is_hugepages(plain) || is_counted(name)
}

/// What a container, pod or quota may name: a standard resource, or one with a domain.
pub fn name(found: &mut Violations, name: &str, path: &str) -> bool {
    let wrong = names::qualified_name(name);
    let fits = wrong.is_empty();
    each_invalid(found, path, name, wrong);
    if fits && !name.contains('/') && !is_standard(name) {
        found.invalid(path, name, "must be a standard resource type or fully qualified");
        return false;
    }
    fits
}

/// What a container may ask for.
pub fn container_name(found: &mut Violations, name: &str, path: &str) {
    self::name(found, name, path);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_hugepages(name) {
            found.invalid(path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        found.invalid(path, name, "doesn't follow extended resource name standard");
    }
}

/// The resources of a container.
pub(super) fn requirements(
    found: &mut Violations,
    resources: Option<&ResourceRequirements>,
    spec: &PodSpec,
    path: &str,
    options: Options<'_>,
) {
    let Some(resources) = resources else { return };
    sides(found, resources, container_name, path, options);
    claim_names(found, resources, spec, &format!("{path}.claims"));
}

/// The claims that a container uses are claims of its pod, each or each request of it once. Source: KEP-4381.
fn claim_names(found: &mut Violations, resources: &ResourceRequirements, spec: &PodSpec, path: &str) {
    let known: BTreeSet<&str> = spec.resource_claims.iter().flatten().map(|claim| claim.name.as_str()).collect();
    let known: BTreeSet<&str> = known.into_iter().filter(|name| !name.is_empty()).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in resources.claims.iter().flatten().enumerate() {
        let (path, name) = (format!("{path}[{i}]"), claim.name.as_str());
        if name.is_empty() {
            found.required(path, "");
            continue;
        }
        if seen.contains(name) {
            found.duplicate(&path, name);
        } else {
            let request = claim.request.as_deref().filter(|request| !request.is_empty());
            let key = request.map_or_else(|| name.to_owned(), |request| format!("{name}/{request}"));
            if let Some(request) = request {
                each_invalid(found, &format!("{path}.request"), request, names::dns1123_label(request));
            }
            if seen.contains(&key) {
                found.duplicate(&path, key.as_str());
            } else if request.is_none() {
                for _ in seen.iter().filter(|key| key.split_once('/').is_some_and(|(of, _)| of == name)) {
                    found.duplicate(&path, name);
                }
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let among = match known.is_empty() {
                true => " which is empty".to_owned(),
                false => format!(": {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            found.not_found_among(path, name, format!("must be one of the names in pod.spec.resourceClaims{among}"));
        }
    }
}

/// Checks both sides and how they relate; gives both.
fn sides<'a>(
    found: &mut Violations,
    resources: &'a ResourceRequirements,
    name_rule: fn(&mut Violations, &str, &str),
    path: &str,
    options: Options<'_>,
) -> (&'a Amounts, &'a Amounts) {
    static NONE: Amounts = Amounts::new();
    let limits = resources.limits.as_ref().unwrap_or(&NONE);
    let requests = resources.requests.as_ref().unwrap_or(&NONE);
    let limits_path = format!("{path}.limits");
    let requests_path = format!("{path}.requests");
    let one = |found: &mut Violations, name: &str, value: &ApiQuantity, path: &str| {
        name_rule(found, name, path);
        amount(found, name, value, path);
    };
    for (name, limit) in limits {
        let path = format!("{limits_path}[{name}]");
        one(found, name, limit, &path);
        pages(found, name, limit, &path, options);
    }
    for (name, request) in requests {
        let path = format!("{requests_path}[{name}]");
        one(found, name, request, &path);
        match limits.get(name).map(Quantity::of) {
            None if !overcommits(name) => {
                found.required(&limits_path, "Limit must be set for non overcommitable resources");
            }
            None => {}
            Some(most) => {
                let asked = Quantity::of(request);
                if !overcommits(name) && asked != most {
                    let why = format!("must be equal to {name} limit of {most}");
                    found.invalid(&requests_path, asked.to_string(), why);
                } else if asked > most {
                    let why = format!("must be less than or equal to {name} limit of {most}");
                    found.invalid(&requests_path, asked.to_string(), why);
                }
            }
        }
        pages(found, name, request, &path, options);
    }
    let mut named = limits.keys().chain(requests.keys());
    let any = named.clone().any(|name| is_hugepages(name));
    if any && !named.any(|name| matches!(name.as_str(), "cpu" | "memory")) {
        found.forbidden(path, "HugePages require cpu or memory");
    }
    (limits, requests)
}

/// Huge pages come whole.
fn pages(found: &mut Violations, name: &str, value: &ApiQuantity, path: &str, options: Options<'_>) {
    let Some(size) = name.strip_prefix("hugepages-").filter(|_| !options.stored) else { return };
    let (Ok(size), value) = (size.parse::<Quantity>(), Quantity::of(value)) else { return };
    if size.units() <= 0 || value.units() % size.units() != 0 {
        found.invalid(path, value.to_string(), format!("{value} is not positive integer multiple of {name}"));
    }
}

fn pod_level_name(found: &mut Violations, name: &str, path: &str) {
    if self::name(found, name, path) && !matches!(name, "cpu" | "memory") && !is_hugepages(name) {
        found.not_supported(path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// The resources of the pod as a whole. Source: KEP-2837.
pub(super) fn pod_level(found: &mut Violations, spec: &PodSpec, path: &str, options: Options<'_>) {
    let Some(resources) = &spec.resources else { return };
    if resources.claims.is_some() {
        found.forbidden(format!("{path}.claims"), "claims cannot be set for Resources at pod-level");
    }
    let (limits, requests) = sides(found, resources, pod_level_name, path, options);
    let alone = PodSpec { resources: None, overhead: None, ..spec.clone() };
    let sums = pod_requests(&alone);
    for (name, request) in requests {
        let request = Quantity::of(request);
        if let Some(sum) = sums.get(name).filter(|sum| **sum > request) {
            let why = format!("must be greater than or equal to aggregate container requests of {sum}");
            found.invalid(format!("{path}.requests[{name}]"), request.to_string(), why);
        }
    }
    let sums = pod_limits(&alone);
    for (name, limit) in limits.iter().filter(|(name, _)| is_hugepages(name)) {
        let limit = Quantity::of(limit);
        if let Some(sum) = sums.get(name).filter(|sum| **sum > limit) {
            let why = format!("must be greater than or equal to aggregate container limits of {sum}");
            found.invalid(format!("{path}.limits[{name}]"), limit.to_string(), why);
        }
    }
    for (i, container) in spec.containers.iter().enumerate() {
        let own = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, limit) in own.into_iter().flatten() {
            let limit = Quantity::of(limit);
            if let Some(most) = limits.get(name).map(Quantity::of).filter(|most| limit > *most) {
                let path = format!("{path}.containers[{i}][{name}].limits");
                found.invalid(path, limit.to_string(), format!("must be less than or equal to pod limits of {most}"));
            }
        }
    }
}

/// What the sandbox costs, by the rules of a container's limits.
pub fn overhead(found: &mut Violations, overhead: Option<&Amounts>, path: &str, options: Options<'_>) {
    let Some(overhead) = overhead else { return };
    let limits = ResourceRequirements { limits: Some(overhead.clone()), ..ResourceRequirements::default() };
    sides(found, &limits, container_name, path, options);
}

/// The resource claims of a pod.
pub(super) fn claims(found: &mut Violations, spec: &PodSpec, path: &str) {
    let mut seen = BTreeSet::new();
    for (i, claim) in spec.resource_claims.iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        if claim.name.is_empty() {
            found.required(format!("{path}.name"), "");
        } else if !seen.insert(&claim.name) {
            found.duplicate(format!("{path}.name"), claim.name.as_str());
        } else {
            each_invalid(found, &format!("{path}.name"), &claim.name, names::dns1123_label(&claim.name));
        }
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(of_name), Some(template)) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                found.invalid(&path, super::shown(claim), why);
                let field = format!("{path}.resourceClaimName");
                each_invalid(found, &field, of_name, names::dns1123_subdomain(of_name));
                let field = format!("{path}.resourceClaimTemplateName");
                each_invalid(found, &field, template, names::dns1123_subdomain(template));
            }
            (None, None) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                found.invalid(path, super::shown(claim), why);
            }
            (Some(name), None) => {
                each_invalid(found, &format!("{path}.resourceClaimName"), name, names::dns1123_subdomain(name));
            }
            (None, Some(name)) => {
                each_invalid(found, &format!("{path}.resourceClaimTemplateName"), name, names::dns1123_subdomain(name));
            }
        }
    }
}
