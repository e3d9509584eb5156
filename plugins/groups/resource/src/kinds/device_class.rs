//! `DeviceClass`: a named choice of devices.

use sdk_api::Violations;
use sdk_api::k8s_openapi::api::resource::v1::DeviceClass;
use sdk_plugin::{Kind, Strategy};

use super::configuration::{self, CONFIGURATIONS_MAX};

/// The row.
pub fn kind() -> Kind {
    Kind::of(DeviceClassStrategy).delete_answers_object().generation()
}

struct DeviceClassStrategy;
impl Strategy for DeviceClassStrategy {
    type Object = DeviceClass;

    fn validate(&self, new: &DeviceClass, _old: Option<&DeviceClass>) -> Violations {
        let mut found = Violations::default();
        let spec = &new.spec;
        configuration::selectors(&mut found, "spec.selectors", spec.selectors.as_deref().unwrap_or_default());
        let configurations = spec.config.as_deref().unwrap_or_default();
        if configurations.len() > CONFIGURATIONS_MAX {
            found.too_many("spec.config", configurations.len(), CONFIGURATIONS_MAX);
        } else {
            for (at, configuration) in configurations.iter().enumerate() {
                configuration::opaque(&mut found, &format!("spec.config[{at}]"), configuration.opaque.as_ref());
            }
        }
        if let Some(name) = spec.extended_resource_name.as_deref()
            && !sdk_workload::validate::resources::is_extended(name)
        {
            found.invalid("spec.extendedResourceName", name, "must be a valid extended resource name");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes_are_checked() {
        let opaque = json!({"opaque": {"driver": "d.io", "parameters": {}}});
        for (case, spec, wrong) in [
            ("nothing", json!({}), vec![]),
            (
                "all of it",
                json!({"selectors": [{"cel": {"expression": "true"}}], "config": [opaque],
                    "extendedResourceName": "example.com/gpu"}),
                vec![],
            ),
            ("a resource of its own", json!({"extendedResourceName": "cpu"}), vec!["spec.extendedResourceName"]),
            ("too many parameters", json!({"config": vec![opaque; 33]}), vec!["spec.config"]),
            ("no parameters", json!({"config": [{}]}), vec!["spec.config[0].opaque"]),
            ("no expression", json!({"selectors": [{}]}), vec!["spec.selectors[0].cel"]),
        ] {
            let class = serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
            assert_eq!(DeviceClassStrategy.validate(&class, None).fields(), wrong, "{case}");
        }
    }
}
