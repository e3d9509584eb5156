//! What a quota counts, and the scopes that narrow it. Source: Kubernetes documentation, "Quota scopes".

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::ResourceQuotaSpec;

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const COMPUTE: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const OTHER: [&str; 13] = [
    "configmaps",
    "ephemeral-storage",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.ephemeral-storage",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Whether a quota counts a resource of this name, which has no domain.
pub fn is_counted(name: &str) -> bool {
    let pages = name.strip_prefix("requests.").unwrap_or(name).starts_with("hugepages-");
    COMPUTE.contains(&name) || OTHER.contains(&name) || pages
}

/// Whether the scope says anything about the resource.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn inapplicable(spec: &ResourceQuotaSpec, scope: &str) -> usize {
    let names = spec.hard.iter().flatten().map(|(name, _)| name);
    names.filter(|name| is_counted(name) && !applies(scope, name)).count()
}

fn conflict(scopes: &[&str]) -> usize {
    let has = |scope: &str| scopes.contains(&scope);
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    pairs.iter().filter(|(one, other)| has(one) && has(other)).count()
}

/// Checks `spec.scopes`.
pub fn list(found: &mut Violations, spec: &ResourceQuotaSpec) {
    let (path, scopes) = ("spec.scopes", spec.scopes.clone().unwrap_or_default());
    for scope in &scopes {
        if !SCOPES.contains(&scope.as_str()) {
            found.invalid(path, scopes.clone(), "unsupported scope");
        }
        for _ in 0..inapplicable(spec, scope) {
            found.invalid(path, scopes.clone(), "unsupported scope applied to resource");
        }
    }
    for _ in 0..conflict(&scopes.iter().map(String::as_str).collect::<Vec<_>>()) {
        found.invalid(path, scopes.clone(), "conflicting scopes");
    }
}

/// Checks `spec.scopeSelector`.
pub fn selector(found: &mut Violations, spec: &ResourceQuotaSpec) {
    let Some(selector) = &spec.scope_selector else { return };
    let path = "spec.scopeSelector.matchExpressions";
    let terms = selector.match_expressions.as_deref().unwrap_or_default();
    for term in terms {
        let (scope, operator) = (term.scope_name.as_str(), term.operator.as_str());
        if !SCOPES.contains(&scope) {
            found.invalid(format!("{path}.scopeName"), scope, "unsupported scope");
        }
        for _ in 0..inapplicable(spec, scope) {
            let shown = serde_json::to_value(selector).unwrap_or_default();
            found.invalid(path, shown, "unsupported scope applied to resource");
        }
        let alone = ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
        if alone.contains(&scope) && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            found.invalid(format!("{path}.operator"), operator, why);
        }
        let values = term.values.clone().unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                found.required(format!("{path}.values"), why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                found.invalid(format!("{path}.values"), values, why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => found.invalid(format!("{path}.operator"), other, "not a valid selector operator"),
        }
    }
    for _ in 0..conflict(&terms.iter().map(|term| term.scope_name.as_str()).collect::<Vec<_>>()) {
        found.invalid("spec.scopeSelector.matchExpressions", spec.scopes.clone(), "conflicting scopes");
    }
}
