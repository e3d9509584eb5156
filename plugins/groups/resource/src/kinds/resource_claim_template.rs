//! `ResourceClaimTemplate`: from which claims of pods are made.

use sdk_api::k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use sdk_api::{Violations, checks};
use sdk_plugin::{Kind, Strategy};
use sdk_workload::validate::metadata;

use super::resource_claim::spec;

/// The row.
pub fn kind() -> Kind {
    Kind::of(ResourceClaimTemplateStrategy).delete_answers_object()
}

struct ResourceClaimTemplateStrategy;
impl Strategy for ResourceClaimTemplateStrategy {
    type Object = ResourceClaimTemplate;

    fn default(&self, template: &mut ResourceClaimTemplate) {
        spec::default(&mut template.spec.spec);
    }

    fn validate(&self, new: &ResourceClaimTemplate, old: Option<&ResourceClaimTemplate>) -> Violations {
        let mut found = Violations::default();
        if let Some(old) = old {
            checks::unchanged(&mut found, "spec", &new.spec, &old.spec);
            return found;
        }
        if let Some(meta) = &new.spec.metadata {
            metadata::labels(&mut found, meta.labels.as_ref(), "spec.metadata.labels");
            metadata::annotations(&mut found, meta.annotations.as_ref(), "spec.metadata.annotations");
        }
        spec::validate(&mut found, "spec.spec", &new.spec.spec);
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn templates_are_checked_like_claims() {
        let template = |metadata: Value, class: &str| -> ResourceClaimTemplate {
            let exactly = json!({"deviceClassName": class});
            let claim = json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}});
            let spec = json!({"metadata": metadata, "spec": claim});
            let mut template = serde_json::from_value(json!({"metadata": {"name": "t"}, "spec": spec})).unwrap();
            ResourceClaimTemplateStrategy.default(&mut template);
            template
        };
        let plain = template(json!({}), "c");
        for (case, new, old, wrong) in [
            ("plain", template(json!({"labels": {"a": "b"}}), "c"), None, vec![]),
            ("a bad label", template(json!({"labels": {"a": "b c"}}), "c"), None, vec!["spec.metadata.labels"]),
            ("no class", template(json!({}), ""), None, vec!["spec.spec.devices.requests[0].exactly.deviceClassName"]),
            ("another class", template(json!({}), "d"), Some(&plain), vec!["spec"]),
        ] {
            assert_eq!(ResourceClaimTemplateStrategy.validate(&new, old).fields(), wrong, "{case}");
        }
    }
}
