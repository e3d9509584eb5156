//! `matchLabelKeys`: the pod's own labels become part of its affinity and spread selectors when it is created.
//!
//! Source: KEP-3633 and KEP-3243.

use std::collections::BTreeMap;

use sdk_api::k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use sdk_api::k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

type Labels = BTreeMap<String, String>;

/// Adds the values of the named labels to the selectors.
pub fn merge_label_keys(pod: &mut Pod) {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let Some(spec) = &mut pod.spec else { return };
    if let Some(affinity) = &mut spec.affinity {
        if let Some(pods) = &mut affinity.pod_affinity {
            let required = pods.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
            let preferred = pods.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
            required.chain(preferred.map(|weighted| &mut weighted.pod_affinity_term)).for_each(|t| term(t, &labels));
        }
        if let Some(pods) = &mut affinity.pod_anti_affinity {
            let required = pods.required_during_scheduling_ignored_during_execution.iter_mut().flatten();
            let preferred = pods.preferred_during_scheduling_ignored_during_execution.iter_mut().flatten();
            required.chain(preferred.map(|weighted| &mut weighted.pod_affinity_term)).for_each(|t| term(t, &labels));
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        if let Some(selector) = &mut constraint.label_selector {
            merge(selector, constraint.match_label_keys.as_deref(), "In", &labels);
        }
    }
}

fn term(term: &mut PodAffinityTerm, labels: &Labels) {
    if let Some(selector) = &mut term.label_selector {
        merge(selector, term.match_label_keys.as_deref(), "In", labels);
        merge(selector, term.mismatch_label_keys.as_deref(), "NotIn", labels);
    }
}

fn merge(selector: &mut LabelSelector, keys: Option<&[String]>, operator: &str, labels: &Labels) {
    for (key, value) in keys.into_iter().flatten().filter_map(|key| labels.get_key_value(key)) {
        selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
            key: key.clone(),
            operator: operator.into(),
            values: Some(vec![value.clone()]),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_labels_join_the_selector() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"labels": {"hash": "x", "tenant": "t"}},
            "spec": {"containers": [], "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["hash", "missing"],
                    "mismatchLabelKeys": ["tenant"]}]}}},
        }))
        .unwrap();
        merge_label_keys(&mut pod);
        let pod = serde_json::to_value(pod).unwrap();
        let term = &pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        let expected = json!([{"key": "hash", "operator": "In", "values": ["x"]},
            {"key": "tenant", "operator": "NotIn", "values": ["t"]}]);
        assert_eq!(term["labelSelector"]["matchExpressions"], expected);
    }
}
