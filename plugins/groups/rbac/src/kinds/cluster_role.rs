//! `ClusterRole`: what may be done anywhere, outside namespaces, and on paths that are no resources.

use sdk_api::k8s_openapi::api::rbac::v1::ClusterRole;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Kind, Strategy};

use super::rules;

/// The row.
pub fn kind() -> Kind {
    Kind::of(ClusterRoleStrategy).columns(rules::ROLE_COLUMNS).name_rule(names::path_segment).create_on_update()
}

struct ClusterRoleStrategy;
impl Strategy for ClusterRoleStrategy {
    type Object = ClusterRole;

    fn validate(&self, new: &ClusterRole, _old: Option<&ClusterRole>) -> Violations {
        let mut found = Violations::default();
        rules::validate_rules(&mut found, new.rules.as_deref().unwrap_or_default(), false);
        if let Some(aggregation) = &new.aggregation_rule {
            const FIELD: &str = "aggregationRule.clusterRoleSelectors";
            let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
            if selectors.is_empty() {
                found.required(FIELD, "at least one clusterRoleSelector required if aggregationRule is non-nil");
            }
            for (at, selector) in selectors.iter().enumerate() {
                checks::label_selector(&mut found, format!("{FIELD}[{at}]"), selector);
            }
        }
        found
    }
}
