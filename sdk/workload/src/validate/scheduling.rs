//! Where a pod may run: affinity, tolerations, spread, gates.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration,
    WeightedPodAffinityTerm,
};
use sdk_api::{Violations, names};

use super::selector::label_selector;
use super::{Options, each_invalid, one_of, one_of_if_set, shown};

pub(super) fn scheduling(found: &mut Violations, spec: &PodSpec, path: &str, options: Options) {
    let at = |field: &str| format!("{path}.{field}");
    if let Some(affinity) = &spec.affinity {
        self::affinity(found, affinity, &at("affinity"), options);
    }
    tolerations(found, spec.tolerations.as_deref().unwrap_or_default(), &at("tolerations"));
    spread(found, spec, &at("topologySpreadConstraints"), options);
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = format!("{}[{i}].conditionType", at("readinessGates"));
        each_invalid(found, &path, &gate.condition_type, names::qualified_name(&gate.condition_type));
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = format!("{}[{i}]", at("schedulingGates"));
        each_invalid(found, &path, &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(&gate.name) {
            found.duplicate(path, gate.name.as_str());
        }
    }
}

fn affinity(found: &mut Violations, affinity: &Affinity, path: &str, options: Options) {
    if let Some(node) = &affinity.node_affinity {
        let path = format!("{path}.nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution");
            node_selector(found, selector, &path, options);
        }
        let preferred = node.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        for (i, term) in preferred.enumerate() {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
            weight(found, term.weight, &path);
            node_term(found, &term.preference, &format!("{path}.preference"), options);
        }
    }
    if let Some(pod) = &affinity.pod_affinity {
        let required = pod.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.as_deref();
        pod_affinity(found, required, preferred, &format!("{path}.podAffinity"), options);
    }
    if let Some(pod) = &affinity.pod_anti_affinity {
        let required = pod.required_during_scheduling_ignored_during_execution.as_deref();
        let preferred = pod.preferred_during_scheduling_ignored_during_execution.as_deref();
        pod_affinity(found, required, preferred, &format!("{path}.podAntiAffinity"), options);
    }
}

fn weight(found: &mut Violations, weight: i32, path: &str) {
    if !(1..=100).contains(&weight) {
        found.invalid(format!("{path}.weight"), weight, "must be in the range 1-100");
    }
}

/// Node selector terms, of which one must match.
pub fn node_selector(found: &mut Violations, selector: &NodeSelector, path: &str, options: Options) {
    let path = format!("{path}.nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        found.required(&path, "must have at least one node selector term");
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        node_term(found, term, &format!("{path}[{i}]"), options);
    }
}

fn node_term(found: &mut Violations, term: &NodeSelectorTerm, path: &str, options: Options) {
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        node_requirement(found, requirement, &format!("{path}.matchExpressions[{i}]"), options);
    }
    for (i, requirement) in term.match_fields.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}.matchFields[{i}].{field}");
        match requirement.operator.as_str() {
            "In" | "NotIn" if requirement.values.as_ref().map_or(0, Vec::len) != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                found.required(at("values"), why);
            }
            "In" | "NotIn" => {}
            operator => found.invalid(at("operator"), operator, "not a valid selector operator"),
        }
        if requirement.key != "metadata.name" {
            found.invalid(at("key"), requirement.key.as_str(), "not a valid field selector key");
            continue;
        }
        for (n, name) in requirement.values.iter().flatten().enumerate() {
            each_invalid(found, &format!("{}[{n}]", at("values")), name, names::dns1123_subdomain(name));
        }
    }
}

fn node_requirement(found: &mut Violations, requirement: &NodeSelectorRequirement, path: &str, options: Options) {
    let at = |field: &str| format!("{path}.{field}");
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            found.required(at("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            found.forbidden(at("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            found.required(at("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        operator => found.invalid(at("operator"), operator, "not a valid selector operator"),
    }
    each_invalid(found, &at("key"), &requirement.key, names::qualified_name(&requirement.key));
    for (n, value) in values.iter().enumerate().filter(|_| !options.label_values_unchecked) {
        each_invalid(found, &format!("{}[{n}]", at("values")), value, names::label_value(value));
    }
}

fn pod_affinity(
    found: &mut Violations,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    path: &str,
    options: Options,
) {
    for (i, term) in required.into_iter().flatten().enumerate() {
        pod_term(found, term, &format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{i}]"), options);
    }
    for (i, term) in preferred.into_iter().flatten().enumerate() {
        let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
        weight(found, term.weight, &path);
        pod_term(found, &term.pod_affinity_term, &format!("{path}.podAffinityTerm"), options);
    }
}

fn pod_term(found: &mut Violations, term: &PodAffinityTerm, path: &str, options: Options) {
    let at = |field: &str| format!("{path}.{field}");
    let unchecked = options.label_values_unchecked;
    if let Some(selector) = &term.label_selector {
        label_selector(found, selector, &at("labelSelector"), unchecked);
    }
    if let Some(selector) = &term.namespace_selector {
        label_selector(found, selector, &at("namespaceSelector"), unchecked);
    }
    for namespace in term.namespaces.iter().flatten() {
        each_invalid(found, &at("namespace"), namespace, names::dns1123_label(namespace));
    }
    topology_key(found, &term.topology_key, &at("topologyKey"));
    for (field, keys) in [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)]
    {
        for (i, key) in keys.iter().flatten().enumerate() {
            each_invalid(found, &format!("{}[{i}]", at(field)), key, names::qualified_name(key));
        }
        if term.label_selector.is_none() && keys.as_ref().is_some_and(|keys| !keys.is_empty()) {
            found.forbidden(at(field), "must not be specified when labelSelector is not set");
        }
    }
    let both = term.mismatch_label_keys.iter().flatten();
    for (i, key) in both.enumerate().filter(|(_, key)| term.match_label_keys.iter().flatten().any(|k| k == *key)) {
        let why = "exists in both matchLabelKeys and mismatchLabelKeys";
        found.invalid(format!("{}[{i}]", at("mismatchLabelKeys")), key.as_str(), why);
    }
}

fn topology_key(found: &mut Violations, key: &str, path: &str) {
    if key.is_empty() {
        found.required(path, "can not be empty");
    } else {
        each_invalid(found, path, key, names::qualified_name(key));
    }
}

/// Tolerations. Source: Kubernetes documentation, "Taints and Tolerations".
pub fn tolerations(found: &mut Violations, tolerations: &[Toleration], path: &str) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (key, operator) = (text(&toleration.key), text(&toleration.operator));
        let (value, effect) = (text(&toleration.value), text(&toleration.effect));
        if !key.is_empty() {
            each_invalid(found, &at("key"), &key, names::qualified_name(&key));
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            found.invalid(at("operator"), operator.as_str(), why);
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            found.invalid(at("effect"), effect.as_str(), why);
        }
        match operator.as_str() {
            "Equal" | "" => each_invalid(found, &at("operator"), &value, names::label_value(&value)),
            "Exists" if !value.is_empty() => {
                found.invalid(at("operator"), shown(toleration), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => {
                if value.parse::<i64>().is_err() {
                    found.invalid(
                        at("value"),
                        value.as_str(),
                        "value must be a valid integer when `operator` is 'Lt' or 'Gt'",
                    );
                }
            }
            other => found.not_supported(at("operator"), other, &["Equal", "Exists", "Gt", "Lt"]),
        }
        if !effect.is_empty() {
            one_of(found, &at("effect"), Some(&effect), &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

fn spread(found: &mut Violations, spec: &PodSpec, path: &str, options: Options) {
    let mut seen = BTreeSet::new();
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if constraint.max_skew <= 0 {
            found.invalid(at("maxSkew"), constraint.max_skew, "must be greater than 0");
        }
        topology_key(found, &constraint.topology_key, &at("topologyKey"));
        let when = constraint.when_unsatisfiable.as_str();
        one_of(found, &at("whenUnsatisfiable"), Some(when), &["DoNotSchedule", "ScheduleAnyway"]);
        if !seen.insert((&constraint.topology_key, when)) {
            let pair = format!("{{{}, {when}}}", constraint.topology_key);
            found.duplicate(at("{topologyKey, whenUnsatisfiable}"), pair);
        }
        if let Some(domains) = constraint.min_domains {
            if domains <= 0 {
                found.invalid(at("minDomains"), domains, "must be greater than 0");
            }
            if when != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
                found.invalid(at("minDomains"), domains, why);
            }
        }
        for (field, policy) in [
            ("nodeAffinityPolicy", constraint.node_affinity_policy.as_deref()),
            ("nodeTaintsPolicy", constraint.node_taints_policy.as_deref()),
        ] {
            one_of_if_set(found, &at(field), policy, &["Honor", "Ignore"]);
        }
        for (n, key) in constraint.match_label_keys.iter().flatten().enumerate() {
            each_invalid(found, &format!("{}[{n}]", at("matchLabelKeys")), key, names::qualified_name(key));
        }
        match &constraint.label_selector {
            Some(selector) => {
                label_selector(found, selector, &at("labelSelector"), options.label_values_unchecked);
            }
            None if constraint.match_label_keys.as_ref().is_some_and(|keys| !keys.is_empty()) => {
                found.forbidden(at("matchLabelKeys"), "must not be specified when labelSelector is not set");
            }
            None => {}
        }
    }
}
