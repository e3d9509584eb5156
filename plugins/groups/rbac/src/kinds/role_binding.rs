//! `RoleBinding`: gives subjects a role in its namespace.

use sdk_api::k8s_openapi::api::rbac::v1::RoleBinding;
use sdk_api::{Violations, names};
use sdk_plugin::{Column, Kind, Strategy};

use super::rules;

const COLUMNS: &[Column] = &rules::binding_columns([
    "Users in the roleBinding",
    "Groups in the roleBinding",
    "ServiceAccounts in the roleBinding",
]);

/// The row.
pub fn kind() -> Kind {
    Kind::of(RoleBindingStrategy).columns(COLUMNS).name_rule(names::path_segment).create_on_update()
}

struct RoleBindingStrategy;
impl Strategy for RoleBindingStrategy {
    type Object = RoleBinding;

    fn default(&self, binding: &mut RoleBinding) {
        rules::default_binding(&mut binding.role_ref, binding.subjects.as_mut());
    }

    fn validate(&self, new: &RoleBinding, old: Option<&RoleBinding>) -> Violations {
        let mut found = Violations::default();
        let subjects = new.subjects.as_deref().unwrap_or_default();
        rules::validate_binding(&mut found, &new.role_ref, old.map(|old| &old.role_ref), subjects, true);
        found
    }
}
