//! `Role`: what may be done in its namespace.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::rbac::v1::Role;
use sdk_api::names;
use sdk_plugin::{Kind, Strategy};

use super::rules;

/// The row.
pub fn kind() -> Kind {
    Kind::of(RoleStrategy).columns(rules::ROLE_COLUMNS).name_rule(names::path_segment).create_on_update()
}

struct RoleStrategy;
impl Strategy for RoleStrategy {
    type Object = Role;

    fn validate(&self, new: &Role, _old: Option<&Role>) -> Violations {
        let mut found = Violations::default();
        rules::validate_rules(&mut found, new.rules.as_deref().unwrap_or_default(), true);
        found
    }
}
