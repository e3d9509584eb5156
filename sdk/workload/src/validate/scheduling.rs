//! Where a pod may run: affinity, tolerations, spread, gates.

use std::collections::BTreeSet;

use sdk_api::k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec, Toleration,
    TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use sdk_api::{Violations, checks, names};

use super::{Options, each_invalid, one_of_if_set, one_of_in_order};

/// Readiness gates and scheduling gates.
pub(super) fn gates(found: &mut Violations, spec: &PodSpec, path: &str) {
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = format!("{path}.readinessGates[{i}].conditionType");
        each_invalid(found, &path, &gate.condition_type, names::qualified_name(&gate.condition_type));
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = format!("{path}.schedulingGates[{i}]");
        each_invalid(found, &path, &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(&gate.name) {
            found.duplicate(path, gate.name.as_str());
        }
    }
}

pub(super) fn affinity(found: &mut Violations, affinity: Option<&Affinity>, path: &str, options: Options<'_>) {
    let Some(affinity) = affinity else { return };
    if let Some(node) = &affinity.node_affinity {
        let path = format!("{path}.nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution");
            node_selector(found, selector, &path, options.stored);
        }
        let preferred = node.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        for (i, term) in preferred.enumerate() {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
            weight(found, term.weight, &path);
            // A value that no node can have only means that the preference is never met.
            node_term(found, &term.preference, &format!("{path}.preference"), true);
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

/// Node selector terms, of which one must match; `values_unchecked` lets values pass that are no label values.
pub fn node_selector(found: &mut Violations, selector: &NodeSelector, path: &str, values_unchecked: bool) {
    let path = format!("{path}.nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        found.required(&path, "must have at least one node selector term");
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        node_term(found, term, &format!("{path}[{i}]"), values_unchecked);
    }
}

fn node_term(found: &mut Violations, term: &NodeSelectorTerm, path: &str, values_unchecked: bool) {
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        node_requirement(found, requirement, &format!("{path}.matchExpressions[{i}]"), values_unchecked);
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

fn node_requirement(found: &mut Violations, requirement: &NodeSelectorRequirement, path: &str, values_unchecked: bool) {
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
    for (n, value) in values.iter().enumerate().filter(|_| !values_unchecked) {
        each_invalid(found, &format!("{}[{n}]", at("values")), value, names::label_value(value));
    }
}

fn pod_affinity(
    found: &mut Violations,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    path: &str,
    options: Options<'_>,
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

fn pod_term(found: &mut Violations, term: &PodAffinityTerm, path: &str, options: Options<'_>) {
    let at = |field: &str| format!("{path}.{field}");
    for (field, selector) in [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)]
    {
        if let Some(selector) = selector {
            checks::label_selector_with(found, at(field), selector, options.stored);
        }
    }
    for namespace in term.namespaces.iter().flatten() {
        each_invalid(found, &at("namespace"), namespace, names::dns1123_label(namespace));
    }
    let matched = term.match_label_keys.as_deref().unwrap_or_default();
    let mismatched = term.mismatch_label_keys.as_deref().unwrap_or_default();
    for (field, keys) in [("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)] {
        if !keys.is_empty() && term.label_selector.is_none() {
            found.forbidden(at(field), "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            each_invalid(found, &format!("{}[{i}]", at(field)), key, names::qualified_name(key));
        }
    }
    if let Some(selector) = &term.label_selector {
        // The term that a key itself has become is the last of its name; a user's own comes before it.
        let mut stated: BTreeSet<&String> = selector.match_labels.iter().flatten().map(|(key, _)| key).collect();
        for expression in selector.match_expressions.iter().flatten() {
            let at = matched.iter().rposition(|key| *key == expression.key);
            if let Some(i) = at.filter(|_| stated.contains(&expression.key)) {
                let why = "exists in both matchLabelKeys and labelSelector";
                found.invalid(format!("{path}[{i}]"), expression.key.as_str(), why);
            }
            stated.insert(&expression.key);
        }
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let why = "exists in both matchLabelKeys and mismatchLabelKeys";
        found.invalid(format!("{}[{i}]", at("matchLabelKeys")), key.as_str(), why);
    }
    if term.topology_key.is_empty() {
        found.required(at("topologyKey"), "can not be empty");
    }
    each_invalid(found, &at("topologyKey"), &term.topology_key, names::qualified_name(&term.topology_key));
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
            "Equal" | "" => {
                let wrong = names::label_value(&value);
                if !wrong.is_empty() {
                    found.invalid(at("operator"), value.as_str(), wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                found.invalid(at("operator"), value.as_str(), "value must be empty when `operator` is 'Exists'");
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
            other => found.not_supported_in_order(at("operator"), other, &["Equal", "Exists", "Lt", "Gt"]),
        }
        if !effect.is_empty() {
            taint_effect(found, &effect, &at("effect"));
        }
    }
}

/// What a taint does to pods that do not tolerate it.
pub fn taint_effect(found: &mut Violations, effect: &str, path: &str) {
    one_of_in_order(found, path, Some(effect), &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

pub(super) fn spread(found: &mut Violations, spec: &PodSpec, path: &str, options: Options<'_>) {
    let all = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    for (i, constraint) in all.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        if constraint.max_skew <= 0 {
            found.invalid(at("maxSkew"), constraint.max_skew, "must be greater than zero");
        }
        if constraint.topology_key.is_empty() {
            found.required(at("topologyKey"), "can not be empty");
        }
        let when = constraint.when_unsatisfiable.as_str();
        one_of_if_set(found, &at("whenUnsatisfiable"), Some(when), &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == when
        };
        if all[i + 1..].iter().any(same) {
            let pair = format!("{{{}, {when}}}", constraint.topology_key);
            found.duplicate(at("{topologyKey, whenUnsatisfiable}"), pair);
        }
        if let Some(domains) = constraint.min_domains {
            if domains <= 0 {
                found.invalid(at("minDomains"), domains, "must be greater than zero");
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
        spread_keys(found, constraint, &at("matchLabelKeys"), options);
        if let Some(selector) = &constraint.label_selector {
            checks::label_selector_with(found, at("labelSelector"), selector, options.stored);
        }
    }
}

/// Source: KEP-3243. A stored pod's selector holds the terms that the keys have become.
fn spread_keys(found: &mut Violations, constraint: &TopologySpreadConstraint, path: &str, options: Options<'_>) {
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    if keys.is_empty() {
        return;
    }
    let mut stated = BTreeSet::new();
    match &constraint.label_selector {
        Some(selector) => {
            stated.extend(selector.match_labels.iter().flatten().map(|(key, _)| key));
            if options.pod.is_none() {
                stated.extend(selector.match_expressions.iter().flatten().map(|term| &term.key));
            }
        }
        None => found.forbidden(path, "must not be specified when labelSelector is not set"),
    }
    for (i, key) in keys.iter().enumerate() {
        let path = format!("{path}[{i}]");
        each_invalid(found, &path, key, names::qualified_name(key));
        if stated.contains(key) {
            found.invalid(path, key.as_str(), "exists in both matchLabelKeys and labelSelector");
        }
    }
}
