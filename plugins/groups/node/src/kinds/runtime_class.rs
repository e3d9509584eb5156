//! `RuntimeClass`: a configuration of the container runtime that pods can choose.

use sdk_api::k8s_openapi::api::node::v1::RuntimeClass;
use sdk_api::{Violations, checks, names};
use sdk_plugin::{Column, Kind, Strategy};

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
        if let Some(scheduling) = &new.scheduling {
            checks::labels(&mut found, "scheduling.nodeSelector", scheduling.node_selector.iter().flatten());
        }
        if let Some(old) = old {
            checks::unchanged(&mut found, "handler", &new.handler, &old.handler);
        }
        found
    }
}
