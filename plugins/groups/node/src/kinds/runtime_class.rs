//! `RuntimeClass`: a configuration of the container runtime that pods can choose.

use sdk_api::k8s_openapi::api::node::v1::RuntimeClass;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};
use sdk_workload::validate::{Options, resources, scheduling};
use serde_json::json;

const COLUMNS: &[Column] = &[Column::NAME, Column::path("Handler", ".handler"), Column::AGE];

/// The row.
pub fn kind() -> Kind {
    Kind::of(RuntimeClassStrategy).columns(COLUMNS).revision_required()
}

struct RuntimeClassStrategy;
impl Strategy for RuntimeClassStrategy {
    type Object = RuntimeClass;

    fn validate(&self, new: &RuntimeClass, old: Option<&RuntimeClass>) -> Violations {
        let mut found = Violations::default();
        for problem in names::dns1123_label(&new.handler) {
            found.invalid("handler", new.handler.as_str(), problem);
        }
        if let Some(overhead) = &new.overhead {
            // Upstream checks it as the limits of a container, and so names the field.
            resources::overhead(&mut found, overhead.pod_fixed.as_ref(), "overhead", Options::default());
        }
        if let Some(scheduling) = &new.scheduling {
            let tolerations = scheduling.tolerations.as_deref().unwrap_or_default();
            scheduling::tolerations(&mut found, tolerations, "scheduling.tolerations");
            for (at, toleration) in tolerations.iter().enumerate() {
                if tolerations[..at].contains(toleration) {
                    found.duplicate(format!("scheduling.tolerations[{at}]"), json!(toleration));
                }
            }
            checks::labels(&mut found, "scheduling.nodeSelector", scheduling.node_selector.iter().flatten());
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "handler", &new.handler, &old.handler);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn classes_are_checked() {
        let class = |change: Value| -> RuntimeClass {
            let mut body = json!({"metadata": {"name": "c"}, "handler": "runc"});
            for (name, value) in change.as_object().unwrap() {
                body[name] = value.clone();
            }
            serde_json::from_value(body).unwrap()
        };
        let toleration = json!({"key": "a", "operator": "Exists"});
        let old = class(json!({}));
        for (case, change, old, wrong) in [
            ("plain", json!({}), None, vec![]),
            ("no handler", json!({"handler": ""}), None, vec!["handler"]),
            ("overhead", json!({"overhead": {"podFixed": {"cpu": "10m"}}}), None, vec![]),
            ("less than nothing", json!({"overhead": {"podFixed": {"cpu": "-1"}}}), None, vec!["overhead.limits[cpu]"]),
            (
                "a place",
                json!({"scheduling": {"nodeSelector": {"a": "b c"}, "tolerations": [toleration, toleration]}}),
                None,
                vec!["scheduling.tolerations[1]", "scheduling.nodeSelector"],
            ),
            ("another handler", json!({"handler": "kata"}), Some(&old), vec!["handler"]),
        ] {
            assert_eq!(RuntimeClassStrategy.validate(&class(change), old).fields(), wrong, "{case}");
        }
    }
}
