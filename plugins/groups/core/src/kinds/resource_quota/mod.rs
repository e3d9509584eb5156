//! `ResourceQuota`: how much a namespace may use in all.

mod scopes;

use std::collections::{BTreeMap, BTreeSet};

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::core::v1::ResourceQuota;
use sdk_api::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::resources;
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Request", |quota, _| used(quota, |name| !is_limit(name)).into()),
    Column::compute("Limit", |quota, _| used(quota, is_limit).into()),
    Column::AGE,
];

/// The row.
pub fn kind() -> Kind {
    Kind::of(QuotaStrategy).short_names(&["quota"]).columns(COLUMNS).status().delete_answers_object()
}

fn is_limit(name: &str) -> bool {
    name.starts_with("limits")
}

/// `cpu: 1/2, memory: 1Gi/2Gi`: what is used of what is allowed.
fn used(quota: &Value, wanted: fn(&str) -> bool) -> String {
    let status = &quota["status"];
    let text = |amount: &Value| amount.as_str().unwrap_or("0").to_owned();
    let hard = status["hard"].as_object().into_iter().flatten().filter(|(name, _)| wanted(name));
    let mut parts: Vec<_> =
        hard.map(|(name, hard)| format!("{name}: {}/{}", text(&status["used"][name]), text(hard))).collect();
    parts.sort_unstable();
    parts.join(", ")
}

struct QuotaStrategy;
impl Strategy for QuotaStrategy {
    type Object = ResourceQuota;

    fn validate(&self, new: &ResourceQuota, old: Option<&ResourceQuota>) -> Violations {
        let mut found = Violations::default();
        let spec = new.spec.clone().unwrap_or_default();
        hard(&mut found, spec.hard.as_ref(), "spec.hard");
        scopes::list(&mut found, &spec);
        scopes::selector(&mut found, &spec);
        if let Some(old) = old {
            let set = |quota: &ResourceQuota| -> BTreeSet<String> {
                quota.spec.iter().flat_map(|spec| spec.scopes.iter().flatten()).cloned().collect()
            };
            if set(new) != set(old) {
                found.invalid("spec.scopes", spec.scopes.unwrap_or_default(), "field is immutable");
            }
        }
        found
    }

    fn validate_status(&self, new: &ResourceQuota, _old: &ResourceQuota) -> Violations {
        let mut found = Violations::default();
        let status = new.status.clone().unwrap_or_default();
        hard(&mut found, status.hard.as_ref(), "status.hard");
        hard(&mut found, status.used.as_ref(), "status.used");
        found
    }
}

/// Amounts of what a quota may count: standard resources, numbers of objects, and resources with a domain.
fn hard(found: &mut Violations, amounts: Option<&Amounts>, path: &str) {
    for (name, amount) in amounts.into_iter().flatten() {
        let path = format!("{path}[{name}]");
        resources::name(found, name, &path);
        if !name.contains('/') && !scopes::is_counted(name) {
            found.invalid(&path, name.as_str(), "must be a standard resource for quota");
        }
        resources::amount(found, name, amount, &path);
    }
}

type Amounts = BTreeMap<String, Quantity>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_shows_used_of_hard() {
        let quota = json!({"status": {"hard": {"cpu": "2", "limits.cpu": "4", "pods": "10"}, "used": {"cpu": "1", "pods": "3"}}});
        assert_eq!(used(&quota, |name| !is_limit(name)), "cpu: 1/2, pods: 3/10");
        assert_eq!(used(&quota, is_limit), "limits.cpu: 0/4");
    }

    #[test]
    fn amounts_and_scopes() {
        for (case, spec, wrong) in [
            ("amounts", json!({"hard": {"cpu": "2", "count/jobs.batch": "1"}}), vec![]),
            ("half a pod", json!({"hard": {"pods": "500m"}}), vec!["spec.hard[pods]"]),
            ("less than nothing", json!({"hard": {"cpu": "-1"}}), vec!["spec.hard[cpu]"]),
            ("an unknown scope", json!({"scopes": ["Best"]}), vec!["spec.scopes"]),
            ("both of a pair", json!({"scopes": ["Terminating", "NotTerminating"]}), vec!["spec.scopes"]),
            ("nothing that is counted", json!({"hard": {"storage": "1"}}), vec!["spec.hard[storage]"]),
            ("an unknown resource", json!({"hard": {"x": "1"}}), vec!["spec.hard[x]", "spec.hard[x]"]),
            ("huge pages", json!({"hard": {"requests.hugepages-2Mi": "2Mi"}}), vec![]),
            ("pods of a scope", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}), vec![]),
            (
                "CPU of those that ask for none",
                json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
                vec!["spec.scopes"],
            ),
            ("services of a scope", json!({"hard": {"services": "1"}, "scopes": ["Terminating"]}), vec!["spec.scopes"]),
            (
                "selected",
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}),
                vec![],
            ),
            (
                "selected badly",
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "In", "values": []},
                    {"scopeName": "PriorityClass", "operator": "Exists", "values": ["x"]},
                    {"scopeName": "PriorityClass", "operator": "Like"}]}}),
                vec![
                    "spec.scopeSelector.matchExpressions.operator",
                    "spec.scopeSelector.matchExpressions.values",
                    "spec.scopeSelector.matchExpressions.values",
                    "spec.scopeSelector.matchExpressions.operator",
                ],
            ),
        ] {
            let quota: ResourceQuota = serde_json::from_value(json!({ "spec": spec })).unwrap();
            assert_eq!(QuotaStrategy.validate(&quota, None).fields(), wrong, "{case}");
        }
    }

    #[test]
    fn scopes_stay() {
        let quota =
            |scopes: Value| -> ResourceQuota { serde_json::from_value(json!({"spec": {"scopes": scopes}})).unwrap() };
        let both = quota(json!(["BestEffort", "Terminating"]));
        let turned = quota(json!(["Terminating", "BestEffort"]));
        assert!(QuotaStrategy.validate(&turned, Some(&both)).is_empty());
        let fewer = QuotaStrategy.validate(&quota(json!(["Terminating"])), Some(&both));
        assert_eq!(fewer.summary(), "spec.scopes: Invalid value: [\"Terminating\"]: field is immutable");
    }
}
