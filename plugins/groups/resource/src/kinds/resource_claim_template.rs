//! `ResourceClaimTemplate`: from which claims of pods are made.

use sdk_api::k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use sdk_api::{Violations, checks};
use sdk_plugin::{Kind, Strategy};

/// The row.
pub fn kind() -> Kind {
    Kind::of(ResourceClaimTemplateStrategy)
}

struct ResourceClaimTemplateStrategy;
impl Strategy for ResourceClaimTemplateStrategy {
    type Object = ResourceClaimTemplate;

    fn validate(&self, new: &ResourceClaimTemplate, old: Option<&ResourceClaimTemplate>) -> Violations {
        let mut found = Violations::default();
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec", &new.spec, &old.spec);
        }
        found
    }
}
