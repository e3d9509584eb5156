//! `ResourceQuota`: how much a namespace may use in all.

use sdk_api::k8s_openapi::api::core::v1::ResourceQuota;
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::{each_invalid, resources};
use serde_json::Value;

use super::fields::{differences, text};

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::compute("Request", |quota, _| used(quota, |name| !is_limit(name)).into()),
    Column::compute("Limit", |quota, _| used(quota, is_limit).into()),
    Column::AGE,
];

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
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
        let Some(spec) = &new.spec else { return found };
        for (name, amount) in spec.hard.iter().flatten() {
            let path = format!("spec.hard[{name}]");
            each_invalid(&mut found, &path, name, names::qualified_name(name));
            resources::amount(&mut found, name, amount, &path);
        }
        let scopes = spec.scopes.as_deref().unwrap_or_default();
        for scope in scopes.iter().filter(|scope| !SCOPES.contains(&scope.as_str())) {
            found.invalid("spec.scopes", scope.as_str(), "unsupported scope");
        }
        let has = |scope: &str| scopes.iter().any(|known| known == scope);
        if has("BestEffort") && has("NotBestEffort") || has("Terminating") && has("NotTerminating") {
            found.invalid("spec.scopes", Value::from(scopes.to_vec()), "conflicting scopes");
        }
        let selector = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
        for requirement in selector {
            let path = "spec.scopeSelector.matchExpressions";
            if !SCOPES.contains(&requirement.scope_name.as_str()) {
                found.invalid(format!("{path}.scopeName"), requirement.scope_name.as_str(), "unsupported scope");
            }
            let values = requirement.values.as_deref().unwrap_or_default();
            match requirement.operator.as_str() {
                "In" | "NotIn" if values.is_empty() => {
                    let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    found.required(format!("{path}.values"), why);
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                    found.invalid(format!("{path}.values"), values.to_vec(), why);
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                operator => found.invalid(format!("{path}.operator"), operator, "not a valid selector operator"),
            }
        }
        let before = old.and_then(|old| old.spec.as_ref()).map(|spec| spec.scopes.clone().unwrap_or_default());
        if let Some(before) = before.filter(|before| before != scopes) {
            let changed = differences(&before, &scopes.to_vec(), "spec.scopes");
            found.invalid("spec.scopes", Value::from(scopes.to_vec()), format!("field is immutable\n{changed}"));
        }
        found
    }

    fn validate_status(&self, new: &ResourceQuota, _old: &ResourceQuota) -> Violations {
        let mut found = Violations::default();
        if text(&new.metadata.resource_version).is_empty() {
            found.required("resourceVersion", "");
        }
        for (side, amounts) in [
            ("hard", new.status.as_ref().and_then(|s| s.hard.as_ref())),
            ("used", new.status.as_ref().and_then(|s| s.used.as_ref())),
        ] {
            for (name, amount) in amounts.into_iter().flatten() {
                resources::amount(&mut found, name, amount, &format!("status.{side}[{name}]"));
            }
        }
        found
    }
}

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
        ] {
            let quota: ResourceQuota = serde_json::from_value(json!({ "spec": spec })).unwrap();
            assert_eq!(QuotaStrategy.validate(&quota, None).fields(), wrong, "{case}");
        }
    }
}
