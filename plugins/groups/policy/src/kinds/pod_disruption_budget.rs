//! `PodDisruptionBudget`: how many pods may be away at once by somebody's choice.

use sdk_api::k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sdk_api::{Timestamp, Violations, checks, conditions};
use sdk_plugin::cells::int_or_string;
use sdk_plugin::{Column, Kind, Strategy};
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Min Available", |budget, _| amount(&budget["spec"]["minAvailable"]))
        .describe("The minimum number of pods that must be available."),
    Column::compute("Max Unavailable", |budget, _| amount(&budget["spec"]["maxUnavailable"]))
        .describe("The maximum number of pods that may be unavailable."),
    Column::integer("Allowed Disruptions", ".status.disruptionsAllowed")
        .describe("Calculated number of pods that may be disrupted at this time."),
    Column::AGE,
];

fn amount(value: &Value) -> Value {
    int_or_string(value).unwrap_or_else(|| "N/A".into()).into()
}

/// The row.
pub fn kind() -> Kind {
    Kind::of(BudgetStrategy).short_names(&["pdb"]).columns(COLUMNS).status().generation().revision_required()
}

struct BudgetStrategy;
impl Strategy for BudgetStrategy {
    type Object = PodDisruptionBudget;

    fn prepare_create(&self, new: &mut PodDisruptionBudget, _now: Timestamp) {
        new.status = None;
    }

    fn validate(&self, new: &PodDisruptionBudget, _old: Option<&PodDisruptionBudget>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            let value = serde_json::to_value(spec).unwrap_or(Value::Null);
            found.invalid("spec", value, "minAvailable and maxUnavailable cannot be both set");
        }
        for (field, value) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
            checks::int_or_percent(&mut found, format!("spec.{field}"), value.as_ref());
            checks::at_most_100_percent(&mut found, format!("spec.{field}"), value.as_ref());
        }
        if let Some(selector) = &spec.selector {
            checks::label_selector(&mut found, "spec.selector", selector);
        }
        if let Some(policy) = spec.unhealthy_pod_eviction_policy.as_deref()
            && !matches!(policy, "IfHealthyBudget" | "AlwaysAllow")
        {
            found.not_supported("spec.unhealthyPodEvictionPolicy", policy, &["AlwaysAllow", "IfHealthyBudget"]);
        }
        found
    }

    fn validate_status(&self, new: &PodDisruptionBudget, _old: &PodDisruptionBudget) -> Violations {
        let mut found = Violations::default();
        let Some(status) = &new.status else { return found };
        for (field, number) in [
            ("disruptionsAllowed", status.disruptions_allowed),
            ("currentHealthy", status.current_healthy),
            ("desiredHealthy", status.desired_healthy),
            ("expectedPods", status.expected_pods),
        ] {
            checks::not_negative(&mut found, format!("status.{field}"), number);
        }
        let list = status.conditions.as_deref().unwrap_or_default();
        conditions::conditions(&mut found, "status.conditions", list);
        found
    }

    fn warnings(&self, new: &PodDisruptionBudget) -> Vec<String> {
        let selector = new.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if selector.is_some_and(checks::is_empty_selector) {
            return vec!["spec.selector: an empty spec.selector matches all pods in the namespace".into()];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn budgets_are_checked() {
        for (case, spec, wrong) in [
            ("nothing", json!({}), vec![]),
            ("a number", json!({"minAvailable": 2}), vec![]),
            ("a percentage", json!({"maxUnavailable": "30%"}), vec![]),
            ("both", json!({"minAvailable": 1, "maxUnavailable": 1}), vec!["spec"]),
            ("too much", json!({"minAvailable": "130%"}), vec!["spec.minAvailable"]),
            ("words", json!({"minAvailable": "some"}), vec!["spec.minAvailable"]),
            ("negative", json!({"maxUnavailable": -1}), vec!["spec.maxUnavailable"]),
            (
                "an unknown policy",
                json!({"unhealthyPodEvictionPolicy": "Sometimes"}),
                vec!["spec.unhealthyPodEvictionPolicy"],
            ),
        ] {
            let budget = serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec})).unwrap();
            assert_eq!(BudgetStrategy.validate(&budget, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn a_status_is_checked() {
        for (status, wrong) in [
            (json!({"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}), vec![]),
            (
                json!({"disruptionsAllowed": -1, "expectedPods": -1}),
                vec!["status.disruptionsAllowed", "status.expectedPods"],
            ),
            (
                json!({"conditions": [{"type": "A", "status": "X", "reason": "R", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
                vec!["status.conditions[0].status"],
            ),
        ] {
            let budget = serde_json::from_value(json!({"metadata": {"name": "b"}, "status": status})).unwrap();
            assert_eq!(BudgetStrategy.validate_status(&budget, &budget).fields(), wrong);
        }
    }

    #[test]
    fn missing_amounts_show_as_such() {
        let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "50%"}});
        let now = Timestamp::UNIX_EPOCH;
        let cells: Vec<_> = COLUMNS[..4].iter().map(|column| column.value(&budget, now)).collect();
        assert_eq!(cells, [Value::from("b"), "50%".into(), "N/A".into(), 0.into()]);
    }
}
