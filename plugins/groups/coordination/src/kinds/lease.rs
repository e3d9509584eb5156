//! `Lease`: a heartbeat, or the lock of a leader election.

use sdk_api::k8s_openapi::api::coordination::v1::Lease;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];
const COLUMNS: &[Column] = &[Column::NAME, Column::path("Holder", ".spec.holderIdentity"), Column::AGE];

/// The row. A PUT may create a lease, since leader election wants one request for both.
pub fn kind() -> Kind {
    Kind::of(LeaseStrategy).columns(COLUMNS).revision_required().create_on_update()
}

struct LeaseStrategy;
impl Strategy for LeaseStrategy {
    type Object = Lease;

    fn validate(&self, new: &Lease, _old: Option<&Lease>) -> Violations {
        let mut found = Violations::default();
        let Some(spec) = &new.spec else { return found };
        checks::positive(&mut found, "spec.leaseDurationSeconds", spec.lease_duration_seconds);
        checks::not_negative(&mut found, "spec.leaseTransitions", spec.lease_transitions);
        if let Some(strategy) = &spec.strategy {
            let problems = if strategy.contains('/') {
                names::qualified_name(strategy)
            } else if STRATEGIES.contains(&strategy.as_str()) {
                vec![]
            } else {
                found.not_supported("spec.strategy", strategy.as_str(), &STRATEGIES);
                vec![]
            };
            for problem in problems {
                found.invalid("spec.strategy", strategy.as_str(), problem);
            }
        }
        if spec.preferred_holder.as_deref().is_some_and(|holder| !holder.is_empty())
            && spec.strategy.as_deref().is_none_or(str::is_empty)
        {
            found.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_positive() {
        for (case, spec, wrong) in [
            ("no fields", json!({}), vec![]),
            ("one second", json!({"leaseDurationSeconds": 1}), vec![]),
            ("zero seconds", json!({"leaseDurationSeconds": 0}), vec!["spec.leaseDurationSeconds"]),
            ("negative transitions", json!({"leaseTransitions": -1}), vec!["spec.leaseTransitions"]),
            ("an unknown strategy", json!({"strategy": "Fastest"}), vec!["spec.strategy"]),
            ("a strategy of one's own", json!({"strategy": "example.com/fastest", "preferredHolder": "x"}), vec![]),
            ("preferred without strategy", json!({"preferredHolder": "x"}), vec!["spec.preferredHolder"]),
        ] {
            let lease = serde_json::from_value(json!({"metadata": {"name": "l"}, "spec": spec})).unwrap();
            assert_eq!(LeaseStrategy.validate(&lease, None).fields(), wrong, "{case}");
        }
    }
}
