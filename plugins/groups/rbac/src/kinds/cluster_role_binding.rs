//! `ClusterRoleBinding`: gives subjects a role everywhere.

use sdk_api::k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};

use super::rules;

const COLUMNS: &[Column] = &rules::binding_columns([
    "Users in the clusterRoleBinding",
    "Groups in the clusterRoleBinding",
    "ServiceAccounts in the clusterRoleBinding",
]);

/// The row.
pub fn kind() -> Kind {
    Kind::of(ClusterRoleBindingStrategy).columns(COLUMNS).name_rule(names::path_segment).create_on_update()
}

struct ClusterRoleBindingStrategy;
impl Strategy for ClusterRoleBindingStrategy {
    type Object = ClusterRoleBinding;

    fn default(&self, binding: &mut ClusterRoleBinding) {
        rules::default_binding(&mut binding.role_ref, binding.subjects.as_mut());
    }

    fn validate(&self, new: &ClusterRoleBinding, old: Option<&ClusterRoleBinding>) -> Violations {
        let mut found = Violations::default();
        let subjects = new.subjects.as_deref().unwrap_or_default();
        rules::validate_binding(&mut found, &new.role_ref, old.map(|old| &old.role_ref), subjects, false);
        found
    }
}
