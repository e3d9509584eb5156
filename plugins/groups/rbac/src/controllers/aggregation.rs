//! `clusterrole-aggregation`: ClusterRoles with an `aggregationRule` hold the rules of those they select.

use sdk_api::k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use sdk_api::{Key, LabelSelector, Object};
use sdk_client::Patch;
use sdk_plugin::{Controller, Plan, View, Watch};
use serde_json::json;

/// See the module.
pub struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    type Object = ClusterRole;
    const NAME: &'static str = "clusterrole-aggregation";

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::of::<ClusterRole>(|view, changed| {
            let roles = view.list::<ClusterRole>("");
            let selecting = roles.iter().filter(|role| selects(role, changed));
            selecting.map(|role| Key::of::<ClusterRole>("", name(role))).collect()
        })]
    }

    fn plan(&self, view: &View<'_>, role: &ClusterRole) -> Plan {
        if role.aggregation_rule.is_none() {
            return Plan::nothing();
        }
        let mut wanted: Vec<PolicyRule> = Vec::new();
        for source in view.cache.list(&sdk_api::GroupResource::of::<ClusterRole>(), "") {
            if source.name() == name(role) || !selects(role, &source) {
                continue;
            }
            let Ok(source) = source.typed::<ClusterRole>() else { continue };
            for rule in source.rules.iter().flatten() {
                if !wanted.contains(rule) {
                    wanted.push(rule.clone());
                }
            }
        }
        if role.rules.as_deref().unwrap_or_default() == wanted {
            return Plan::nothing();
        }
        // The revision makes a change that came between win.
        let metadata = json!({"resourceVersion": role.metadata.resource_version, "uid": role.metadata.uid});
        let patch = Patch::merge(json!({"metadata": metadata, "rules": wanted}));
        Plan::nothing().patch(Key::of::<ClusterRole>("", name(role)), "", patch)
    }
}

fn name(role: &ClusterRole) -> &str {
    role.metadata.name.as_deref().unwrap_or_default()
}

/// Whether the role's aggregation selects another.
fn selects(role: &ClusterRole, other: &Object) -> bool {
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    selectors
        .filter_map(|selector| LabelSelector::from_typed(selector).ok())
        .any(|selector| selector.matches(&other.meta().labels))
}

#[cfg(test)]
mod tests {
    use sdk_api::Timestamp;
    use sdk_plugin::PlannedWrite;
    use sdk_testkit::FixedCache;
    use serde_json::Value;

    use super::*;

    fn role(name: &str, labels: Value, rules: Value) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": rules,
            "metadata": {"name": name, "labels": labels, "resourceVersion": "1", "uid": name},
        })
    }

    #[test]
    fn rules_are_gathered_once() {
        let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let jobs = json!({"verbs": ["get"], "apiGroups": ["batch"], "resources": ["jobs"]});
        let yes = json!({"to": "view"});
        for (case, sources, rules, wanted) in [
            (
                "two sources, one rule in both",
                vec![role("b", yes.clone(), json!([jobs, pods])), role("a", yes.clone(), json!([pods]))],
                json!([]),
                Some(json!([pods, jobs])),
            ),
            ("up to date", vec![role("a", yes.clone(), json!([pods]))], json!([pods]), None),
            ("no longer selected", vec![role("a", json!({}), json!([pods]))], json!([pods]), Some(json!([]))),
        ] {
            let mut view_role = role("view", yes.clone(), rules);
            view_role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": yes}]});
            let cache = FixedCache::new(sources.into_iter().chain([view_role.clone()]));
            let typed = serde_json::from_value(view_role).unwrap();
            let plan = ClusterRoleAggregation.plan(&cache.view(Timestamp::UNIX_EPOCH), &typed);
            let patched = plan.writes.iter().map(|write| match write {
                PlannedWrite::Patch { patch, .. } => patch.body["rules"].clone(),
                other => panic!("{other:?}"),
            });
            assert_eq!(patched.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>(), "{case}");
        }
    }

    #[test]
    fn a_change_wakes_those_who_select_it() {
        let mut view_role = role("view", json!({}), json!([]));
        view_role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]});
        let cache = FixedCache::new([view_role]);
        let watch = &ClusterRoleAggregation.watches()[0];
        for (labels, woken) in [(json!({"to": "view"}), 1), (json!({"to": "edit"}), 0)] {
            let changed = sdk_testkit::cache::object(role("a", labels, json!([])));
            assert_eq!((watch.keys)(&cache.view(Timestamp::UNIX_EPOCH), &changed).len(), woken);
        }
    }
}
